//! The progress of the runs of an output folder. Nothing is written or locked.
//!
//! What is done is read from `results/`; the journal adds failures, processes and rates over the last ten minutes.

mod log;
mod process;
mod text;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::sink::SinkError;
use crate::files::table::cell_name;
use crate::files::version::OtherVersion;
use crate::results::index::{IndexError, ResultsIndex};
use crate::results::manifest::{Manifest, ManifestError};
use pythia_files::host_name;
use pythia_report::results::{ResultsError, part};

use crate::terminal::{Exit, Explained};
use log::{History, Log};

pub(crate) use self::text::clean;

/// Seconds that "recent" means.
pub(super) const RECENT: u64 = 600;

/// The status of every experiment of an output folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Status {
    /// By name.
    pub(crate) experiments: Vec<ExperimentStatus>,
    /// The tables that another version made: this version can neither read nor continue them.
    pub(crate) other_versions: Vec<OtherVersion>,
    /// What is wrong with the parts whose layout is damaged. Their rows are not decoded.
    pub(crate) damaged: Vec<String>,
}

/// The status of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ExperimentStatus {
    pub(crate) name: String,
    pub(crate) cells: CellCounts,
    /// Processes that run it, as far as is known.
    pub(crate) processes: Vec<Process>,
    /// Cells a minute; null if no run is active, or no cell was done lately.
    pub(crate) cells_per_minute: Option<f64>,
    /// Seconds until the last cell is done at that rate.
    pub(crate) seconds_left: Option<f64>,
    /// The cell that was done last.
    pub(crate) last: Option<CellEvent>,
    /// The last few failures of cells that have not been done since.
    pub(crate) errors: Vec<CellEvent>,
    /// What was passed over or could not be read in the files of its models when the last run began.
    pub(crate) notes: Vec<String>,
}

/// Counts of cells by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CellCounts {
    pub(crate) total: usize,
    /// All tables exist.
    pub(crate) done: usize,
    /// All tables exist, and another version made one of them.
    pub(crate) other_version: usize,
    /// The last try failed.
    pub(crate) failed: usize,
    /// Left out, because the checkpoint is bad.
    pub(crate) left_out: usize,
}

impl CellCounts {
    /// Cells that were not tried yet.
    pub(crate) fn left(&self) -> usize {
        self.total.saturating_sub(self.done + self.other_version + self.failed + self.left_out)
    }
}

/// A process that works on an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Whether it runs on this machine, so that its state is known.
    pub(crate) here: bool,
    /// Seconds since it began.
    pub(crate) seconds: u64,
    /// Seconds since its last line in the journal.
    pub(crate) silent: u64,
}

/// Something that happened to a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CellEvent {
    pub(crate) cell: String,
    /// Seconds ago.
    pub(crate) seconds_ago: u64,
    /// What went wrong, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// An output folder whose status cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot read {}: {source}", path.display())]
    Journal { path: PathBuf, source: io::Error },
}

impl Explained for StatusError {
    fn exit(&self) -> Exit {
        match self {
            Self::Index(error) => error.exit(),
            Self::Manifest(error) => error.exit(),
            Self::Sink(error) => error.exit(),
            Self::Journal { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Index(error) => error.remedy(),
            Self::Sink(error) => error.remedy(),
            Self::Manifest(_) | Self::Journal { .. } => None,
        }
    }
}

impl Status {
    /// Reads the status of an output folder; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`StatusError`].
    pub(crate) fn of(out: &Path, now: u64) -> Result<Self, StatusError> {
        // The results come last: a cell is noted in the journal after its tables are there.
        let manifests = Manifest::all(out)?;
        let log = Log::read(&out.join("state/journal.jsonl"), &manifests)?;
        let index = ResultsIndex::of(out)?;
        let other_versions = OtherVersion::all_in(&out.join("results"))?;
        let status = |(manifest, history): (&Manifest, &History)| {
            ExperimentStatus::of(manifest, history, (&index, &other_versions), now)
        };
        let experiments = manifests.iter().zip(&log.histories).map(status).collect();
        let parts = index.all.iter().flat_map(|entry| entry.parts.values());
        let damaged = parts.filter_map(|path| damage(path)).collect();
        Ok(Self { experiments, other_versions, damaged })
    }

    /// Whether no run is active.
    pub(crate) fn is_settled(&self) -> bool {
        self.experiments.iter().all(|status| status.processes.is_empty())
    }
}

/// What is wrong with the layout of a part. One that was removed in the meantime is not damaged.
fn damage(path: &Path) -> Option<String> {
    match part::check(path).err()? {
        ResultsError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => None,
        error => Some(error.to_string()),
    }
}

impl ExperimentStatus {
    fn of(
        manifest: &Manifest,
        history: &History,
        (index, other_versions): (&ResultsIndex, &[OtherVersion]),
        now: u64,
    ) -> Self {
        let processes = at_work(history, now);
        let mut cells = CellCounts::default();
        let mut open = BTreeSet::new();
        let is_other = |model: &str| {
            let mut others = other_versions.iter();
            others.any(|other| other.model == model && manifest.tables.contains(&other.table))
        };
        for (model, step) in manifest.cells() {
            cells.total += 1;
            let name = cell_name(model, step);
            if manifest.tables.iter().all(|table| index.has(table, model, step)) {
                *(if is_other(model) { &mut cells.other_version } else { &mut cells.done }) += 1;
            } else if history.failed.contains(&name) {
                cells.failed += 1;
                open.insert(name);
            } else if history.left_out.contains(&name) || manifest.left_out(index, model, step) {
                cells.left_out += 1;
            }
        }
        let rate = if processes.is_empty() { None } else { rate(history, &processes, now) };
        let left = rate.map(|rate| 60.0 * cells.left() as f64 / rate);
        let noted = |(cell, time): &(String, u64), error: Option<&String>| CellEvent {
            cell: text::clean(cell),
            seconds_ago: now.saturating_sub(*time),
            error: error.map(|error| text::clean(error)),
        };
        let errors = history.errors.iter().filter(|((cell, _), _)| open.contains(cell));
        ExperimentStatus {
            name: manifest.name.clone(),
            cells,
            processes,
            cells_per_minute: rate,
            seconds_left: left,
            last: history.last.as_ref().map(|last| noted(last, None)),
            errors: errors.map(|(cell, error)| noted(cell, Some(error))).collect(),
            notes: manifest.notes.iter().map(|note| text::clean(note)).collect(),
        }
    }
}

/// The processes that have begun and not ended. The system tells which of this machine are alive; of others only the
/// journal tells.
fn at_work(history: &History, now: u64) -> Vec<Process> {
    let this_host = host_name();
    let runs = history.runs.iter().map(|((host, pid), run)| Process {
        here: host.as_ref().is_none_or(|host| *host == this_host),
        host: host.as_ref().map_or(this_host.clone(), |host| text::clean(host)),
        pid: *pid,
        seconds: now.saturating_sub(run.began),
        silent: now.saturating_sub(run.heard),
    });
    let lives = |process: &Process| match process.here {
        true => process::is_alive(process.pid, now.saturating_sub(process.seconds)),
        // A process that was killed elsewhere counts for some minutes.
        false => process.silent < RECENT,
    };
    runs.filter(lives).collect()
}

/// Another process that works on cells of this manifest, with the name of its experiment. `earlier`: only one whose
/// start stands in the journal before that of this process.
pub(super) fn others_at_work(
    out: &Path,
    mine: &Manifest,
    earlier: bool,
    now: u64,
) -> Result<Option<(String, Process)>, StatusError> {
    let manifests = Manifest::all(out)?;
    let log = Log::read(&out.join("state/journal.jsonl"), &manifests)?;
    let me = (Some(host_name()), std::process::id());
    let before = log.histories.iter().find_map(|history| history.runs.get(&me)).map(|run| run.line);
    let counts = |history: &History, process: &Process| {
        let who = (Some(process.host.clone()), process.pid);
        let line = history.runs.get(&who).map(|run| run.line);
        who != me && (!earlier || before.zip(line).is_none_or(|(before, line)| line < before))
    };
    let experiments = manifests.iter().zip(&log.histories).filter(|(manifest, _)| manifest.overlaps(mine));
    let mut found = experiments.filter_map(|(manifest, history)| {
        let other = at_work(history, now).into_iter().find(|process| counts(history, process))?;
        Some((manifest.name.clone(), other))
    });
    Ok(found.next())
}

/// Cells a minute in the recent past: since ten minutes ago, or since the first active process began.
fn rate(history: &History, processes: &[Process], now: u64) -> Option<f64> {
    let began = processes.iter().map(|process| now.saturating_sub(process.seconds)).min()?;
    let mut from = began.max(now.saturating_sub(RECENT));
    let mut count = history.done.iter().filter(|time| **time >= from).count();
    // If older times were dropped, the period starts with the first that is known.
    if history.is_full() && history.done.front().is_some_and(|first| *first > from) {
        (from, count) = (*history.done.front()?, count - 1);
    }
    let seconds = now.saturating_sub(from).max(1);
    (count > 0).then(|| 60.0 * count as f64 / seconds as f64)
}

#[cfg(test)]
mod tests;
