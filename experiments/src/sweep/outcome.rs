//! How a sweep went: what was done, and why a cell failed.

use pythia_probes::ProbeError;

use crate::checkpoint::load::LoadError;
use crate::files::sink::SinkError;
use crate::integrity::Verdict;
use crate::terminal::exit::Exit;

/// Why a cell failed.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// Its checkpoint cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is not what its name says.
    #[error("{}: {verdict}", verdict.status)]
    Bad {
        /// What is known about it.
        verdict: Verdict,
    },
    /// A probe could not answer.
    #[error("probe `{probe}`: {error}")]
    Probe {
        /// The probe's name.
        probe: String,
        /// Its own words.
        error: ProbeError,
    },
    /// Another checkpoint that a probe reads cannot be loaded.
    #[error("probe `{probe}` reads step {label}: {reason}")]
    SourceCheckpoint {
        /// The probe's name.
        probe: String,
        /// The label of the step.
        label: u32,
        /// Why it cannot be loaded.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// A probe answered without one of its tables.
    #[error("probe `{probe}` did not answer with its table {table}")]
    NoTable {
        /// The probe's name.
        probe: String,
        /// The table, counted from 0.
        table: usize,
    },
    /// A table cannot be stored.
    #[error("probe `{probe}`: {error}")]
    Sink {
        /// The probe's name.
        probe: String,
        /// What is wrong with the table.
        error: SinkError,
    },
}

impl CellError {
    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        let remedy = match self {
            CellError::Load(error) => return error.remedy(),
            CellError::Bad { .. } => "leave the step out, or set on_bad to \"mark\" or \"skip\" (--on-bad)",
            CellError::Probe { error: ProbeError::Device { .. }, .. } => {
                "lower the probe's batch or memory, or compute elsewhere: the device failed even with the least that can be computed at a time"
            }
            CellError::Probe { .. } => "change the probe's settings, or leave this step out",
            CellError::SourceCheckpoint { remedy, .. } => remedy,
            CellError::NoTable { .. } | CellError::Sink { .. } => "this is a mistake in the probe: please report it",
        };
        remedy.to_owned()
    }
}

/// A cell that failed.
#[derive(Debug)]
pub struct FailedCell {
    /// The cell in a person's words.
    pub name: String,
    /// Every error of it: a missing checkpoint is one, probes fail one by one.
    pub errors: Vec<CellError>,
}

impl Outcome {
    /// The exit that says so: where the hub was out of reach and nothing else failed, the same command may do better later.
    pub fn exit(&self) -> Exit {
        let mut errors = self.failed.iter().flat_map(|cell| &cell.errors);
        let temporary =
            |error: &CellError| matches!(error, CellError::Load(LoadError::Fetch(error)) if error.is_temporary());
        let full = |error: &CellError| matches!(error, CellError::Load(LoadError::Fetch(error)) if error.is_full());
        match self.failed.len() {
            0 => Exit::Ok,
            _ if errors.clone().all(temporary) => Exit::Temporary,
            _ if errors.all(full) => Exit::Resources,
            _ => Exit::CellsFailed,
        }
    }
}

/// How a sweep went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cells that were done now.
    pub done: usize,
    /// Cells that were left out, because their checkpoints are bad.
    pub skipped: usize,
    /// Cells that failed, in the order of the plan.
    pub failed: Vec<FailedCell>,
}
