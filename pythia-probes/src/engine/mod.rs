//! Many interventions on one batch of prompts, each a [`IntervenedRun`], and the metrics of every prompt under each.
//!
//! Two engines answer alike:
//!
//! - [`naive`] runs every cell by a full forward pass with hooks. It is the judge.
//! - [`cone`] computes what an intervention can change and takes everything else from the base run: one cone goes through the
//!   layers, cells join it in the layer they touch, and the tokens they have changed so far are packed into one matrix.
//!
//! [`run`](Run::of) keeps what a run saw, [`cell`](IntervenedRun) says what to change, a [`SourceActivations`] is what is put there.

pub mod cone;
mod intervened_run;
mod naive;
mod run;
#[cfg(test)]
pub(crate) mod tests;

use burn::tensor::Tensor;
use pythia_core::model::GptNeoX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use intervened_run::{Change, IntervenedRun, SourceActivations, Value};
pub use run::Run;
pub(crate) use run::select;

use crate::error::ProbeError;
use crate::metric::Readout;

/// How cells are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Only what an intervention can change.
    #[default]
    Cone,
    /// A full forward pass per cell: slow, and the judge of the other.
    Naive,
}

/// Cells on one batch.
pub struct Sweep<'a> {
    /// The model.
    pub model: &'a GptNeoX,
    /// The run that cells change; it must hold the points of [`cone::base_points`] for the cone engine.
    pub base: &'a Run,
    /// What is put in place of activations.
    pub sources: &'a [SourceActivations],
    /// What is read at the end.
    pub readout: &'a Readout,
    /// Bytes that the activations of cells may take at a time.
    pub memory: u64,
}

/// The metrics of one cell: `[example][metric]`, NaN where undefined.
pub type Scores = Vec<Vec<f64>>;

impl Sweep<'_> {
    /// The metrics of the base run itself.
    ///
    /// # Errors
    /// Reading from the device.
    pub fn base_scores(&self) -> Result<Scores, ProbeError> {
        let rows = self.base_rows();
        let all: Vec<usize> = (0..self.readout.n_examples()).collect();
        self.readout.read(self.model, rows.clone(), &all, &rows)
    }

    /// The metrics of every cell.
    ///
    /// # Errors
    /// An intervention that does not fit the run, reading from the device.
    pub fn scores(&self, engine: Engine, cells: &[IntervenedRun]) -> Result<Vec<Scores>, ProbeError> {
        match engine {
            Engine::Naive => cells.iter().map(|cell| naive::scores(self, cell)).collect(),
            Engine::Cone => cone::scores(self, cells).map(|(scores, _)| scores),
        }
    }

    /// The rows of the base run's last stream that the metrics read, of all prompts.
    fn base_rows(&self) -> Tensor<2> {
        self.readout.rows(self.base.end())
    }
}
