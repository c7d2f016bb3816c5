//! Why a run does not begin.

use std::path::PathBuf;

use crate::files::sink::SinkError;
use crate::files::version::OtherVersion;
use crate::integrity::{CHECKPOINTS, OnBad, Verdict};
use crate::plan::Plan;
use crate::plan::difference::Difference;
use crate::plan::disk::{Disk, Outdated, Unusable, UnusableResult, pairs};
use crate::resolved::ResolvedExperiment;
use crate::terminal::limits::{MemoryBound, MemoryLimit};
use crate::terminal::{Exit, Explained, human};

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{found}")]
    Version {
        found: OtherVersion,
        /// Whether `--fresh` would replace every such table of the folder.
        fresh_helps: bool,
    },
    #[error("{} was made with other settings{}: {difference}", path.display(), more(*others))]
    Foreign { path: PathBuf, others: usize, difference: Difference },
    #[error("{} is not a whole results file: {problem}", path.display())]
    Unreadable { path: PathBuf, problem: String },
    #[error(transparent)]
    Listing(SinkError),
    #[error("cannot open {}: {problem}", path.display())]
    Unopened { path: PathBuf, problem: String },
    #[error("{} was made from other weights than those of {cell} now", path.display())]
    OtherWeights { path: PathBuf, cell: String },
    #[error("{}", list_of_bad(bad))]
    BadCheckpoints {
        /// Their names, and what is known about each.
        bad: Vec<(String, Verdict)>,
    },
    #[error("a checkpoint of {} does not fit into a cache of {}", human::bytes(*largest), human::bytes(*max))]
    SmallBudget { largest: u64, max: u64 },
    #[error(
        "even with weights used layer by layer this needs about {}MiB of memory, and {} allows {}MiB",
        needed.div_ceil(1 << 20),
        bound.by,
        bound.bytes >> 20
    )]
    Memory {
        /// Bytes at the peak, as planned for the smallest way to hold weights.
        needed: u64,
        /// What may be taken.
        bound: MemoryBound,
    },
}

impl Explained for Refusal {
    fn exit(&self) -> Exit {
        match self {
            Self::Version { .. }
            | Self::Foreign { .. }
            | Self::Unreadable { .. }
            | Self::Unopened { .. }
            | Self::Listing(_)
            | Self::OtherWeights { .. }
            | Self::BadCheckpoints { .. } => Exit::BadInput,
            Self::SmallBudget { .. } | Self::Memory { .. } => Exit::Resources,
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Version { fresh_helps: false, .. } => {
                "choose another folder with --out DIR, or move the old results away: some are of other experiments"
            }
            Self::Version { .. } | Self::Foreign { .. } | Self::OtherWeights { .. } => {
                "choose another folder with --out DIR, or replace these results with --fresh"
            }
            Self::Unreadable { .. } => "remove that file and run the experiment again",
            Self::Unopened { .. } | Self::Listing(_) => "check the permissions of that file and of its folder",
            Self::BadCheckpoints { .. } => {
                "choose other steps, leave the bad ones out with --on-bad skip, or run them with --on-bad mark: \
                 the column checkpoint_status then says what each is"
            }
            Self::SmallBudget { .. } => "give more disk with --cache-max; three checkpoints let the stages overlap",
            Self::Memory { bound, .. } if bound.by == MemoryLimit::Asked => {
                "allow that much with --memory, or give the probes fewer prompts, for example with \
                 --set probe.0.prompts.n=2"
            }
            Self::Memory { bound, .. } if bound.by == MemoryLimit::Free => {
                "end other programs, or give the probes fewer prompts, for example with --set probe.0.prompts.n=2"
            }
            Self::Memory { .. } => {
                "ask for a job with more memory, or give the probes fewer prompts, for example with \
                 --set probe.0.prompts.n=2"
            }
        };
        Some(remedy.to_owned())
    }
}

/// Refuses to add to a folder with results of another version, checkpoints included: no reader takes a mix. A fresh run
/// may begin if it replaces all of them.
pub(crate) fn check_version(resolved: &ResolvedExperiment, disk: &Disk, fresh: bool) -> Result<(), Refusal> {
    let mut found = OtherVersion::all_in(&disk.out.join("results")).map_err(Refusal::Listing)?;
    let stays = found.iter().position(|other| !is_replaced(resolved, other));
    match (stays, found.is_empty()) {
        (Some(at), _) => Err(Refusal::Version { found: found.swap_remove(at), fresh_helps: false }),
        (None, false) if !fresh => Err(Refusal::Version { found: found.swap_remove(0), fresh_helps: true }),
        (None, _) => Ok(()),
    }
}

/// Whether a fresh run of the experiment replaces a table.
fn is_replaced(resolved: &ResolvedExperiment, other: &OtherVersion) -> bool {
    let of_model = resolved.models.iter().any(|model| model.label == other.model);
    let mut pairs = pairs(resolved);
    (other.table == CHECKPOINTS && of_model)
        || pairs.any(|(table, model)| table.folder() == other.table && model.label == other.model)
}

/// Refuses to add to results that the experiment would not have made itself: a table of mixed settings is no table.
pub(crate) fn check_results(resolved: &ResolvedExperiment, disk: &Disk) -> Result<(), Refusal> {
    let mut unusable = disk.unusable(resolved);
    // A damaged file comes first: its remedy touches no other result.
    unusable.sort_by_key(|result| matches!(result.reason, Unusable::Foreign { .. }));
    let mut unusable = unusable.into_iter();
    match unusable.next() {
        None => Ok(()),
        Some(UnusableResult { path, reason: Unusable::Damaged(problem) }) => Err(Refusal::Unreadable { path, problem }),
        Some(UnusableResult { path, reason: Unusable::Unopened(problem) }) => Err(Refusal::Unopened { path, problem }),
        Some(UnusableResult { path, reason: Unusable::Foreign { found, wanted } }) => {
            let difference = Difference::between(&found, &wanted);
            Err(Refusal::Foreign { path, others: unusable.count(), difference })
        }
    }
}

/// Refuses a plan that would fail half-way, or whose results would mislead. `cache_max`: bytes that the cache may take.
pub(crate) fn check_plan(
    resolved: &ResolvedExperiment,
    disk: &Disk,
    plan: &Plan,
    cache_max: Option<u64>,
) -> Result<(), Refusal> {
    check_weights(resolved, disk, plan)?;
    check_bad(resolved, plan)?;
    check_budget(plan.largest_fetch(), cache_max)?;
    check_memory(plan.totals().peak_memory, plan.bound.clone())
}

/// Refuses to add to results of weights that have changed since.
pub(crate) fn check_weights(resolved: &ResolvedExperiment, disk: &Disk, plan: &Plan) -> Result<(), Refusal> {
    match disk.outdated(resolved, plan) {
        Some(Outdated { path, cell }) => Err(Refusal::OtherWeights { path, cell }),
        None => Ok(()),
    }
}

/// A curve through bad checkpoints is false, so nothing runs until the user says what to do with them.
fn check_bad(resolved: &ResolvedExperiment, plan: &Plan) -> Result<(), Refusal> {
    if resolved.experiment.store.on_bad == OnBad::Mark {
        return Ok(());
    }
    let cells = plan.bad().map(|cell| (cell.name(resolved), cell.verdict.clone()));
    let bad: Vec<(String, Verdict)> = cells.chain(plan.bad_sources(resolved)).collect();
    if bad.is_empty() { Ok(()) } else { Err(Refusal::BadCheckpoints { bad }) }
}

/// Refused once, before the start, rather than for every checkpoint.
fn check_budget(largest: u64, max: Option<u64>) -> Result<(), Refusal> {
    match max {
        Some(max) if largest > max => Err(Refusal::SmallBudget { largest, max }),
        _ => Ok(()),
    }
}

/// A sweep that cannot fit would be killed by the system half-way, without a message.
fn check_memory(needed: u64, bound: Option<MemoryBound>) -> Result<(), Refusal> {
    match bound {
        Some(bound) if needed > bound.bytes => Err(Refusal::Memory { needed, bound }),
        _ => Ok(()),
    }
}

/// "and N more such files", where there are more.
fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {})", human::plural(others, "more such file")) }
}

/// The first few bad checkpoints, a line each.
fn list_of_bad(bad: &[(String, Verdict)]) -> String {
    const SHOWN: usize = 5;
    let lines = bad.iter().take(SHOWN).map(|(name, verdict)| format!("\n  {name}: {}: {verdict}", verdict.status));
    let others = bad.len().saturating_sub(SHOWN);
    let others = if others > 0 { format!("\n  and {others} more (`pythia plan` lists them)") } else { String::new() };
    format!(
        "{} of the chosen checkpoints are not what their names say:{}{others}",
        bad.len(),
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_beyond_the_free_memory_is_refused() {
        let bound = |bytes, by| Some(MemoryBound { bytes, by });
        for (by, words) in [
            (MemoryLimit::Asked, "allow that much with --memory"),
            (MemoryLimit::Free, "end other programs"),
            (MemoryLimit::Slurm("SLURM_MEM_PER_NODE"), "SLURM_MEM_PER_NODE allows"),
            (MemoryLimit::Ulimit("ulimit -v"), "ask for a job with more memory"),
        ] {
            let refusal = check_memory(3_000_000_000, bound(2_000_000_000, by)).expect_err("must refuse");
            assert_eq!(refusal.exit(), Exit::Resources);
            let report = refusal.report(false);
            assert!(report.contains("2862MiB") && report.contains("1907MiB") && report.contains(words), "{report}");
        }
        assert!(check_memory(3, bound(3, MemoryLimit::Free)).is_ok() && check_memory(u64::MAX, None).is_ok());
    }
}
