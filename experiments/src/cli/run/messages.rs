//! What a run says on stderr.

use crate::plan::disk::Disk;
use crate::plan::{Cell, Plan};
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::results::index::{IndexError, ResultsIndex};
use crate::sweep::Summary;
use crate::sweep::outcome::{FailedCell, Outcome};
use crate::terminal::{Exit, Explained, human, quote, say};

/// Says how a sweep went.
pub(super) fn conclude(outcome: &Outcome, plan: &Plan, summary: &Summary) {
    let left_out = match plan.left_out.len() + outcome.skipped {
        0 => String::new(),
        n => format!(", {n} left out as bad"),
    };
    say!(
        "{} done in {:.1} s, {} done before, {} failed{left_out}",
        human::plural(outcome.done, "cell"),
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
        [(bad, "run and marked in the column checkpoint_status"), (plan.left_out.iter().collect(), "left out")]
    {
        if let Some(first) = cells.first() {
            let (count, name, verdict) = (cells.len(), first.name(resolved), &first.verdict);
            say!("warning: {count} bad checkpoints are {fate}; the first is {name}: {verdict}");
        }
    }
}

/// Remedies that are listed at the end of a run.
const SHOWN: usize = 10;

/// Says what to do about the cells that failed, and how to read what there is. Each failure was printed when it
/// happened, so here they are only counted.
pub(crate) fn report(resolved: &ResolvedExperiment, disk: &Disk, outcome: &Outcome) -> Exit {
    remedies(&outcome.failed).iter().for_each(|line| say!("{line}"));
    let tables = match tables_with_rows(resolved, disk) {
        Ok(tables) => tables,
        Err(error) => {
            say!("the results cannot be listed: {error}");
            return outcome.exit();
        }
    };
    if tables.is_empty() {
        say!("{} holds no results of this experiment yet", disk.out.display());
        return outcome.exit();
    }
    say!("Results are in {}; read them with", disk.out.join("results").display());
    say!("  import polars as pl");
    for table in &tables {
        say!("  {}", quote::scan_parquet(&disk.out.join("results").join(table), "**/*.parquet"));
    }
    outcome.exit()
}

/// A line per remedy: for which cells it is.
fn remedies(failed: &[FailedCell]) -> Vec<String> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for (cell, remedy) in failed.iter().flat_map(|cell| cell.errors.iter().map(move |error| (cell, error.remedy()))) {
        let Some(remedy) = remedy else { continue };
        match found.iter_mut().find(|(known, _)| *known == remedy) {
            Some((_, cells)) if cells.last() == Some(&cell.name.as_str()) => {}
            Some((_, cells)) => cells.push(&cell.name),
            None => found.push((remedy, vec![&cell.name])),
        }
    }
    let one = found.len() == 1;
    let line = |(remedy, cells): &(String, Vec<&str>)| {
        let again = if remedy.contains("same command") { "" } else { "; then run the same command again" };
        let of = match cells.as_slice() {
            _ if one => String::new(),
            [] => String::new(),
            [name] => format!(" for {name}"),
            [name, others @ ..] => format!(" for {name} and {} more", others.len()),
        };
        format!("remedy{of}: {remedy}{again}")
    };
    let mut lines: Vec<String> = found.iter().take(SHOWN).map(line).collect();
    if found.len() > SHOWN {
        lines.push(format!("and {} more remedies; state/journal.jsonl has every failure", found.len() - SHOWN));
    }
    lines
}

/// The folders of the experiment's tables that hold a file.
///
/// # Errors
/// [`IndexError`]: results that cannot be listed.
pub(crate) fn tables_with_rows(resolved: &ResolvedExperiment, disk: &Disk) -> Result<Vec<String>, IndexError> {
    let index = ResultsIndex::of(&disk.out)?;
    let tables = resolved.experiment.probes.iter().flat_map(|probe| probe.tables()).map(|table| table.folder());
    Ok(tables.filter(|table| index.all.iter().any(|entry| entry.table == *table)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::{Status, Verdict};
    use crate::sweep::outcome::CellError;

    #[test]
    fn each_remedy_stands_once_with_the_cells_it_is_for() {
        let bad = || CellError::Bad { verdict: Verdict::plain(Status::KnownBad) };
        let table = || CellError::NoTable { probe: "p".into(), table: 0 };
        let cell = |name: &str, errors| FailedCell { name: name.into(), errors };
        assert!(remedies(&[]).is_empty());
        let lines = remedies(&[cell("a", vec![bad()]), cell("b", vec![bad(), bad()])]);
        assert!(matches!(&lines[..], [line] if line.starts_with("remedy: leave the step out")), "{lines:?}");
        let lines = remedies(&[cell("a", vec![bad()]), cell("b", vec![bad(), table()]), cell("c", vec![bad()])]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("remedy for a and 2 more: leave the step out"), "{lines:?}");
        assert!(lines[1].starts_with("remedy for b: this is a bug in the probe"), "{lines:?}");
    }
}
