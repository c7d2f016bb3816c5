//! What a run says on stderr.

use crate::plan::disk::Disk;
use crate::plan::{Cell, Plan};
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::sweep::Summary;
use crate::sweep::outcome::Outcome;
use crate::terminal::{Exit, Explained, say};

/// Says how a sweep went.
pub(super) fn conclude(outcome: &Outcome, plan: &Plan, summary: &Summary) {
    let left_out = match plan.left_out.len() + outcome.skipped {
        0 => String::new(),
        n => format!(", {n} left out as bad"),
    };
    say!(
        "{} cells done in {:.1} s, {} were done before, {} failed{left_out}",
        outcome.done,
        summary.seconds,
        plan.n_done(),
        outcome.failed.len()
    );
    if outcome.done > 0 {
        say!("{summary}");
    }
}

/// Says which pairs are left out, and which checkpoints that are bad run all the same or are left out.
pub(super) fn announce(resolved: &ResolvedExperiment, plan: &Plan, pair_counts: &PairCounts) {
    for note in pair_counts.notes(resolved) {
        say!("{note}");
    }
    for note in resolved.notes() {
        say!("warning: {note}");
    }
    let bad: Vec<&Cell> = plan.bad().collect();
    for (cells, fate) in
        [(bad, "run, marked in the column checkpoint_status"), (plan.left_out.iter().collect(), "left out")]
    {
        if let Some(first) = cells.first() {
            let (count, name, verdict) = (cells.len(), first.name(resolved), &first.verdict);
            say!("warning: {count} bad checkpoints are {fate}; the first is {name}: {verdict}");
        }
    }
}

/// Failed cells that are listed at the end of a run. All of them were printed when they failed.
const SHOWN: usize = 10;

/// Says what failed and how to read what there is.
pub(crate) fn report(resolved: &ResolvedExperiment, disk: &Disk, outcome: &Outcome) -> Exit {
    let mut last_remedy: Option<String> = None;
    for failed in outcome.failed.iter().take(SHOWN) {
        for error in &failed.errors {
            if let Some(remedy) = last_remedy.filter(|last| Some(last) != error.remedy().as_ref()) {
                say!("  remedy: {remedy}");
            }
            say!("failed: {}: {error}", failed.name);
            last_remedy = error.remedy();
        }
    }
    if outcome.failed.len() > SHOWN {
        say!("and {} more, which are in state/journal.jsonl", outcome.failed.len() - SHOWN);
    }
    if let Some(remedy) = last_remedy {
        let again = if remedy.contains("same command") { "" } else { "; then run the same command again" };
        say!("  remedy: {remedy}{again}");
    }
    say!("Results are in {}; read them with", disk.out.join("results").display());
    for table in resolved.experiment.probes.iter().flat_map(|probe| probe.tables()) {
        say!("  {}", polars_call(disk, &table.folder()));
    }
    outcome.exit()
}

/// The call that reads the table in one folder of results.
fn polars_call(disk: &Disk, folder: &str) -> String {
    let glob = disk.out.join("results").join(folder).join("**/*.parquet");
    format!("pl.scan_parquet(\"{}\").collect()", glob.display())
}
