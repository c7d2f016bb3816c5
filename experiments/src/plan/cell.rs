//! One cell of a plan: a checkpoint under all probes, the location of its weights, and which of its tables are done.

use std::path::PathBuf;

use pythia_core::suite::Step;
use serde::Serialize;

use crate::files::table::cell_name;
use crate::integrity::{OnBad, Status, Verdict};
use crate::plan::cost::CellCost;
use crate::plan::key::CellConfig;
use crate::resolved::ResolvedExperiment;
use crate::resolved::weight_scope::{Location, WeightScope};

/// What is known about a results file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It exists, made by this configuration.
    Done,
    /// It does not exist.
    ToDo,
    /// It exists, made by another configuration, which is given.
    Foreign(String),
    /// It is not a whole results file, for the given reason.
    Unreadable(String),
    /// It exists and cannot be opened, for the given reason.
    Unopened(String),
}

/// One checkpoint under all probes.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Index of the model in the experiment.
    pub(crate) model: usize,
    pub(crate) step: Option<Step>,
    /// Where its weights are.
    pub(crate) location: Location,
    /// The cost of what is left to do.
    pub(crate) cost: CellCost,
    /// One file per table of each probe, in the order of the experiment.
    pub(crate) parts: Vec<Part>,
    /// What is known about the checkpoint before it is read.
    pub(crate) verdict: Verdict,
    /// What the probes that lack a file read of it.
    pub(crate) scope: WeightScope,
}

/// One results file: a table of a probe on one checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Index of the probe in the experiment.
    pub(crate) probe: usize,
    /// Index of the table among those of the probe.
    pub(crate) table: usize,
    /// The file, counted from the output folder.
    pub(crate) file: PathBuf,
    /// What determines its bytes.
    pub(crate) config: CellConfig,
    pub(crate) state: State,
}

impl Cell {
    /// Whether all of its files are there.
    pub(crate) fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.state == State::Done)
    }

    /// Whether one of its files makes a run refuse to begin.
    pub(crate) fn is_refused(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part.state, State::Done | State::ToDo))
    }

    /// Whether the checkpoint is too bad to be run: without weights there is nothing to mark either.
    pub(super) fn is_left_out(&self, on_bad: OnBad) -> bool {
        match on_bad {
            OnBad::Fail => false,
            OnBad::Mark => self.verdict.status == Status::Missing,
            OnBad::Skip => self.verdict.status.is_bad(),
        }
    }

    /// The files that are not there yet.
    pub(crate) fn to_do(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.state != State::Done)
    }

    /// The probes that lack a file, each once, in the order of the experiment.
    pub(crate) fn open_probes(&self) -> Vec<usize> {
        open_probes(&self.parts)
    }

    /// The cell for messages.
    pub(crate) fn name(&self, resolved: &ResolvedExperiment) -> String {
        cell_name(&resolved.models[self.model].label, self.step)
    }
}

/// The probes that lack a file, each once.
pub(super) fn open_probes(parts: &[Part]) -> Vec<usize> {
    // The parts of a probe are adjacent.
    let mut probes: Vec<usize> = parts.iter().filter(|part| part.state != State::Done).map(|part| part.probe).collect();
    probes.dedup();
    probes
}
