//! Checkpoints that the manifests list and the folder lacks.

use std::collections::BTreeSet;

use polars::prelude::{UniqueKeepStrategy, col};

use super::{FrameRows, Results, ResultsError, Table};

/// Tables of one model that lack checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MissingSteps {
    /// The experiment that lists them.
    pub experiment: String,
    pub table: String,
    pub model: String,
    /// The labels of the steps; none for a single model.
    pub steps: Vec<Option<u32>>,
}

/// All missing steps, in the order of experiments, tables and models. Bad checkpoints that an experiment leaves out are
/// not missing.
///
/// # Errors
/// [`ResultsError`] where the table of checkpoints cannot be read.
pub(crate) fn missing(results: &Results) -> Result<Vec<MissingSteps>, ResultsError> {
    let (bad, mut missing) = (results.bad()?, Vec::new());
    for manifest in &results.manifests {
        for table in manifest.probes.iter().flat_map(|probe| &probe.tables) {
            for model in &manifest.models {
                let have = present(results.tables.get(table), &model.label)?;
                let left_out = |step: &Option<u32>| {
                    manifest.skips_bad && bad.contains(&(model.label.clone(), step.map(i64::from)))
                };
                let lacks = |step: &&Option<u32>| !have.contains(&name(**step)) && !left_out(step);
                let steps: Vec<Option<u32>> = model.steps.iter().filter(lacks).copied().collect();
                if !steps.is_empty() {
                    let (experiment, table, model) = (manifest.name.clone(), table.clone(), model.label.clone());
                    missing.push(MissingSteps { experiment, table, model, steps });
                }
            }
        }
    }
    Ok(missing)
}

/// The names of the parts that a table has of one model; those of a merged table follow from its rows.
fn present(table: Option<&Table>, model: &str) -> Result<BTreeSet<String>, ResultsError> {
    let Some((table, parts)) = table.and_then(|table| Some((table, table.parts.get(model)?))) else {
        return Ok(BTreeSet::new());
    };
    if table.folder == "merged" {
        return merged(table, model);
    }
    let stem = |path: &std::path::PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(parts.iter().filter_map(stem).collect())
}

fn merged(table: &Table, model: &str) -> Result<BTreeSet<String>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(BTreeSet::new());
    };
    let steps = FrameRows::collect(table, frame.select([col("step")]).unique(None, UniqueKeepStrategy::Any))?;
    Ok(steps.ints("step")?.into_iter().map(|step| name(step.and_then(|step| u32::try_from(step).ok()))).collect())
}

/// The name that a checkpoint's part has, without its ending.
fn name(step: Option<u32>) -> String {
    step.map_or("model".into(), |step| format!("step{step:06}"))
}
