//! What the records promise and the folder lacks.

use std::collections::BTreeSet;

use polars::prelude::{UniqueKeepStrategy, col};

use super::{Results, ResultsError, Table};
use crate::frame::Rows;

/// Tables of one model that lack checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// The experiment that promises them.
    pub experiment: String,
    /// The table.
    pub table: String,
    /// The model.
    pub model: String,
    /// The labels of the steps; none for a single model.
    pub steps: Vec<Option<u32>>,
}

/// Every hole, in the order of experiments, tables and models. Bad checkpoints that an experiment leaves out are no holes.
///
/// # Errors
/// [`ResultsError`] where the table of checkpoints cannot be read.
pub fn holes(results: &Results) -> Result<Vec<Hole>, ResultsError> {
    let (bad, mut holes) = (results.bad()?, Vec::new());
    for record in &results.records {
        for table in record.probes.iter().flat_map(|probe| &probe.tables) {
            for model in &record.models {
                let have = present(results.tables.get(table), &model.label)?;
                let left_out =
                    |step: &Option<u32>| record.skips_bad && bad.contains(&(model.label.clone(), step.map(i64::from)));
                let lacks = |step: &&Option<u32>| !have.contains(&name(**step)) && !left_out(step);
                let steps: Vec<Option<u32>> = model.steps.iter().filter(lacks).copied().collect();
                if !steps.is_empty() {
                    let (experiment, table, model) = (record.name.clone(), table.clone(), model.label.clone());
                    holes.push(Hole { experiment, table, model, steps });
                }
            }
        }
    }
    Ok(holes)
}

/// The names of the parts of a table that one model has; those of a merged table as its rows tell them.
fn present(table: Option<&Table>, model: &str) -> Result<BTreeSet<String>, ResultsError> {
    let Some((table, parts)) = table.and_then(|table| Some((table, table.parts.get(model)?))) else {
        return Ok(BTreeSet::new());
    };
    if table.shelf == "merged" {
        return merged(table, model);
    }
    let stem = |path: &std::path::PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(parts.iter().filter_map(stem).collect())
}

fn merged(table: &Table, model: &str) -> Result<BTreeSet<String>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(BTreeSet::new());
    };
    let steps = Rows::collect(table, frame.select([col("step")]).unique(None, UniqueKeepStrategy::Any))?;
    Ok(steps.ints("step")?.into_iter().map(|step| name(step.and_then(|step| u32::try_from(step).ok()))).collect())
}

/// The name that a checkpoint's part has, without its ending.
fn name(step: Option<u32>) -> String {
    step.map_or("model".into(), |step| format!("step{step:06}"))
}
