//! What is known of the checkpoints that curves run through, and what the folder lacks.

use std::collections::BTreeMap;

use polars::prelude::{Expr, col};

use crate::listing::{Listing, ListingColumn};
use crate::results::{self, DamagedPart, FrameRows, MissingSteps, Results, ResultsError};
use crate::words;

/// Missing steps that are named one by one.
const STEPS_NAMED: usize = 6;

/// How many checkpoints of each model have which status.
///
/// # Errors
/// [`ResultsError`] where the table of checkpoints cannot be read.
pub(crate) fn checkpoints(results: &Results) -> Result<Option<Listing>, ResultsError> {
    let Some(table) = &results.checkpoints else {
        return Ok(None);
    };
    let rows = FrameRows::collect(table, table.frame()?.select([col("model"), col("checkpoint_status")]))?;
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (model, status) in rows.texts("model")?.into_iter().zip(rows.texts("checkpoint_status")?) {
        // Which step a checkpoint is a duplicate of is said one by one, below.
        let status = status.split(':').next().unwrap_or_default().to_owned();
        *counts.entry((model, status)).or_default() += 1;
    }
    let mut rows: Vec<((String, String), u64)> = counts.into_iter().collect();
    rows.sort_by(|a, b| words::by_size(&a.0.0, &b.0.0).then_with(|| a.0.1.cmp(&b.0.1)));
    let rows = rows.into_iter().map(|((model, status), count)| vec![model, status, words::count(count)]).collect();
    Ok(Some(Listing {
        id: "checkpoints".into(),
        title: "checkpoints by status".into(),
        note: "ok: its files are those that the hub lists, and no other step has the same. unverified: not \
               checked, because there is no published hash."
            .into(),
        columns: columns(&["model", "status"], &["checkpoints"], &[]),
        rows,
    }))
}

/// The checkpoints that are not what their names say, one by one.
///
/// # Errors
/// [`ResultsError`] where the table of checkpoints cannot be read.
pub(crate) fn bad_checkpoints(results: &Results) -> Result<Option<Listing>, ResultsError> {
    let Some(table) = &results.checkpoints else {
        return Ok(None);
    };
    let selected: Vec<Expr> = ["model", "step", "checkpoint_status", "reason"].map(col).to_vec();
    let rows = FrameRows::collect(table, table.frame()?.select(selected))?;
    let (models, steps) = (rows.texts("model")?, rows.ints("step")?);
    let (statuses, reasons) = (rows.texts("checkpoint_status")?, rows.texts("reason")?);
    let bad = (0..rows.len()).filter(|row| !results::is_good(&statuses[*row]));
    let step = |row: usize| steps[row].map_or(String::new(), |step| step.to_string());
    let rows: Vec<Vec<String>> =
        bad.map(|row| vec![models[row].clone(), step(row), statuses[row].clone(), reasons[row].clone()]).collect();
    let listing = Listing {
        id: "bad-checkpoints".into(),
        title: "bad checkpoints".into(),
        note:
            "Curves run through these only where the experiment said so; every row of every table carries the status."
                .into(),
        columns: columns(&["model"], &["step"], &["status", "why"]),
        rows,
    };
    Ok(Some(listing).filter(|listing| !listing.rows.is_empty()))
}

/// Tables that lack checkpoints which the experiments of the folder promise.
///
/// # Errors
/// [`ResultsError`] where the table of checkpoints cannot be read.
pub(crate) fn missing(results: &Results) -> Result<Option<Listing>, ResultsError> {
    let row = |missing: MissingSteps| {
        vec![
            missing.experiment.clone(),
            missing.table.clone(),
            missing.model.clone(),
            words::count(missing.steps.len() as u64),
            named(&missing),
        ]
    };
    let rows: Vec<Vec<String>> = results::missing(results)?.into_iter().map(row).collect();
    let listing = Listing {
        id: "missing-cells".into(),
        title: "missing cells".into(),
        note: "`pythia run` with the same experiment computes them.".into(),
        columns: columns(&["experiment", "table", "model"], &["cells"], &["steps"]),
        rows,
    };
    Ok(Some(listing).filter(|listing| !listing.rows.is_empty()))
}

/// The files that are in no table, because they cannot be decoded.
pub(crate) fn damaged(results: &Results) -> Option<Listing> {
    let row = |part: &DamagedPart| {
        let path = part.path.strip_prefix(&results.root).unwrap_or(&part.path);
        vec![path.display().to_string(), part.problem.clone()]
    };
    let listing = Listing {
        id: "damaged-parts".into(),
        title: "damaged parts".into(),
        note: "These files cannot be decoded, and nothing that is shown here is made of them. Remove them and run the \
               same experiment again: their cells are computed anew."
            .into(),
        columns: columns(&["file", "what is wrong"], &[], &[]),
        rows: results.damaged.iter().map(row).collect(),
    };
    Some(listing).filter(|listing| !listing.rows.is_empty())
}

/// Columns of text, of numbers and again of text.
fn columns(texts: &[&str], numbers: &[&str], more: &[&str]) -> Vec<ListingColumn> {
    let texts = texts.iter().map(|name| ListingColumn::text(name));
    let numbers = numbers.iter().map(|name| ListingColumn::number(name));
    texts.chain(numbers).chain(more.iter().map(|name| ListingColumn::text(name))).collect()
}

fn named(missing: &MissingSteps) -> String {
    let step = |step: &Option<u32>| step.map_or("the model".to_owned(), |step| step.to_string());
    let mut names: Vec<String> = missing.steps.iter().take(STEPS_NAMED).map(step).collect();
    if missing.steps.len() > STEPS_NAMED {
        names.push("…".into());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, floats, head_scores, part, texts};

    #[test]
    fn bad_checkpoints_and_missing_cells_are_named() {
        let scratch = Scratch::new("integrity");
        head_scores(&scratch.0, "m", (1, 2), &[0, 512]);
        for (step, status) in [(0, "ok"), (512, "duplicate_of:0")] {
            part(
                &scratch.0,
                "checkpoints",
                "",
                "m",
                Some(step),
                vec![texts("reason", vec!["equal weights".into()]), floats("embed_norm", vec![None])],
            );
            // The status is one of the columns that every part has.
            let path = scratch.0.join(format!("results/checkpoints/m/step{step:06}.parquet"));
            crate::testing::set_status(&path, status);
        }
        let state = scratch.0.join("state");
        std::fs::create_dir_all(&state).expect("a folder");
        let manifest = r#"{"name":"t","models":[{"model":"m","steps":[0,512,1000]}],
            "probes":[{"name":"head_scores","tables":["head_scores"]}]}"#;
        std::fs::write(state.join("t.json"), manifest).expect("a manifest");
        let results = Results::open(&scratch.0).expect("results");
        let counts = checkpoints(&results).expect("readable").expect("a listing");
        assert_eq!(counts.rows, [["m", "duplicate_of", "1"], ["m", "ok", "1"]]);
        let bad = bad_checkpoints(&results).expect("readable").expect("a listing");
        assert_eq!(bad.rows, [["m", "512", "duplicate_of:0", "equal weights"]]);
        let lacking = missing(&results).expect("readable").expect("missing cells");
        assert_eq!(lacking.rows, [["t", "head_scores", "m", "1", "1000"]]);
        // What an experiment was told to leave out is not missing.
        std::fs::remove_file(scratch.0.join("results/head_scores/m/step000512.parquet")).expect("a part");
        let steps = |manifest: &str| {
            std::fs::write(state.join("t.json"), manifest).expect("a manifest");
            let results = Results::open(&scratch.0).expect("results");
            missing(&results).expect("readable").expect("missing cells").rows[0][4].clone()
        };
        assert_eq!(steps(manifest), "512, 1000");
        assert_eq!(steps(&manifest.replacen('{', "{\"on_bad\":\"skip\",", 1)), "1000");
    }

    #[test]
    fn a_folder_without_manifests_lacks_nothing() {
        let scratch = Scratch::new("integrity-none");
        let results = Results::open(&scratch.0).expect("an empty folder of results");
        assert_eq!((missing(&results).expect("readable"), checkpoints(&results).expect("readable")), (None, None));
        assert!(matches!(
            Results::open(&scratch.0.join("results")),
            Err(crate::results::ResultsError::NotResults { .. })
        ));
    }
}
