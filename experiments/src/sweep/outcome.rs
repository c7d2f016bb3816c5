//! How a sweep went: what was done, and why a cell failed.

use pythia_probes::ProbeError;

use crate::checkpoint::load::LoadError;
use crate::files::sink::SinkError;
use crate::integrity::Verdict;
use crate::terminal::{Exit, Explained};

/// Why a cell failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CellError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{}: {verdict}", verdict.status)]
    Bad { verdict: Verdict },
    #[error("probe `{probe}`: {error}")]
    Probe { probe: String, error: ProbeError },
    #[error("probe `{probe}` reads step {label}: {reason}")]
    SourceCheckpoint { probe: String, label: u32, reason: String, remedy: Option<String> },
    #[error("probe `{probe}` did not answer with its table {table}")]
    NoTable {
        probe: String,
        /// The table, counted from 0.
        table: usize,
    },
    #[error("probe `{probe}`: {error}")]
    Sink { probe: String, error: SinkError },
}

impl Explained for CellError {
    /// The exit code of a sweep whose failed cells all failed like this one.
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
                "give the probe fewer prompts or less `memory`, or use another device: \
                 the device failed even with the least that can be computed at a time"
            }
            Self::Probe { .. } => "change the probe's settings, or leave this step out",
            Self::NoTable { .. } | Self::Sink { .. } => "this is a bug in the probe: please report it",
        };
        Some(remedy.to_owned())
    }
}

/// A cell that failed.
#[derive(Debug)]
pub(crate) struct FailedCell {
    /// The cell for messages.
    pub(crate) name: String,
    /// One error for a missing checkpoint, or one for each probe that failed.
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
