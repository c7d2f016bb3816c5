//! How a sweep went: what was done, and why a cell failed.

use pythia_probes::ProbeError;

use crate::checkpoint::load::LoadError;
use crate::files::sink::SinkError;
use crate::integrity::Verdict;
use crate::terminal::{Exit, Explained};

/// Why a cell failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CellError {
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
        remedy: Option<String>,
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

impl Explained for CellError {
    /// How a sweep ends of which all cells failed like this one.
    fn exit(&self) -> Exit {
        match self {
            // The same command may do better later, or with more disk.
            Self::Load(LoadError::Fetch(error)) if error.exit() != Exit::BadInput => error.exit(),
            Self::Load(_)
            | Self::Bad { .. }
            | Self::Probe { .. }
            | Self::SourceCheckpoint { .. }
            | Self::NoTable { .. }
            | Self::Sink { .. } => Exit::CellsFailed,
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Load(error) => return error.remedy(),
            Self::SourceCheckpoint { remedy, .. } => return remedy.clone(),
            Self::Bad { .. } => "leave the step out, or set on_bad to \"mark\" or \"skip\" (--on-bad)",
            Self::Probe { error: ProbeError::Device { .. }, .. } => {
                "lower the probe's batch or memory, or compute elsewhere: \
                 the device failed even with the least that can be computed at a time"
            }
            Self::Probe { .. } => "change the probe's settings, or leave this step out",
            Self::NoTable { .. } | Self::Sink { .. } => "this is a mistake in the probe: please report it",
        };
        Some(remedy.to_owned())
    }
}

/// A cell that failed.
#[derive(Debug)]
pub(crate) struct FailedCell {
    /// The cell in a person's words.
    pub(crate) name: String,
    /// Every error of it: a missing checkpoint is one, probes fail one by one.
    pub(crate) errors: Vec<CellError>,
}

/// How a sweep went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Cells that were done now.
    pub(crate) done: usize,
    /// Cells that were left out, because their checkpoints are bad.
    pub(crate) skipped: usize,
    /// Cells that failed, in the order of the plan.
    pub(crate) failed: Vec<FailedCell>,
}

impl Outcome {
    /// The exit code of the sweep: that of its failed cells where they agree.
    pub(crate) fn exit(&self) -> Exit {
        let mut exits = self.failed.iter().flat_map(|cell| &cell.errors).map(CellError::exit);
        let Some(first) = exits.next() else { return Exit::Ok };
        if exits.all(|exit| exit == first) { first } else { Exit::CellsFailed }
    }
}
