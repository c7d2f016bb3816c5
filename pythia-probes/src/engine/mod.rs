//! Many interventions on one batch of prompts, and the metrics of every prompt under each of them.
//!
//! - [`Run`] is a forward pass with the activations that were kept of it;
//! - [`IntervenedRun`] says what one intervention changes, and [`SourceActivations`] hold what is put in place;
//! - [`EngineInput`] is all that an engine reads.
//!
//! ```
//! use burn::tensor::Device;
//! use pythia_core::model::GptNeoX;
//! use pythia_hooks::{Region, Site};
//! use pythia_probes::engine::{Engine, EngineInput, IntervenedRun, Replacement, Run, cone};
//! use pythia_probes::metric::{Metric, Question, Readout};
//!
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
//! let model = GptNeoX::load(folder, &Device::flex())?;
//! let prompt = vec![1, 2, 3, 4];
//! let question = Question { tokens: prompt.clone(), at: 3, answers: vec![5], wrongs: vec![6] };
//! let readout = Readout::new(vec![question], vec![Metric::LogitDiff], model.config().vocab_size);
//! let base = Run::of(&model, vec![prompt], cone::base_points(&model.model_shape(), []))?;
//! let input = EngineInput { model: &model, base: &base, sources: &[], readout: &readout, memory: 1 << 20 };
//! // Zeros in place of the first layer's attention output.
//! let ablated = IntervenedRun::of(Site::AttnOut.at(0), Region::all(), Replacement::Zero);
//! let scores = input.scores(Engine::Cone, &[ablated])?;
//! // [intervention][prompt][metric]
//! assert_ne!(scores[0][0][0], input.base_scores()?[0][0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two engines give the same numbers:
//!
//! - `naive` makes a full forward pass with hooks for every intervention. It is the reference.
//! - [`cone`] computes what an intervention can change and takes everything else from the base run.

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

pub use intervened_run::{Change, IntervenedRun, Replacement, SourceActivations};
pub use run::Run;
pub(crate) use run::{flat, rows_differ, rows_of};

use crate::error::ProbeError;
use crate::metric::Readout;

/// Bytes of a float32.
pub(crate) const F32_BYTES: u64 = 4;

/// How interventions are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Only what an intervention can change.
    #[default]
    Cone,
    /// A full forward pass per intervention: slow, and the reference for the other.
    Naive,
}

/// What an engine reads: a base run, what is put in place of its activations, and the metrics that are asked for.
pub struct EngineInput<'a> {
    /// The model that is run.
    pub model: &'a GptNeoX,
    /// The run that is intervened on. The cone engine needs the points of [`cone::base_points`] in it.
    pub base: &'a Run,
    /// What is put in place of activations; [`Replacement`] names a source by its index here.
    pub sources: &'a [SourceActivations],
    /// The metrics, and where in the last residual stream they are read.
    pub readout: &'a Readout,
    /// Bytes that the activations of intervened runs may take at a time.
    pub memory: u64,
}

/// The metrics of one intervention: `[example][metric]`, NaN where undefined.
pub type Scores = Vec<Vec<f64>>;

/// What one intervention did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// NaN where a metric is undefined.
    pub scores: Scores,
    /// Per example, whether the residual stream differs from the base run's where metrics read it.
    pub changed: Vec<bool>,
}

impl EngineInput<'_> {
    /// The metrics of the base run itself.
    ///
    /// # Errors
    /// Reading from the device.
    pub fn base_scores(&self) -> Result<Scores, ProbeError> {
        let rows = self.base_rows();
        let all: Vec<usize> = (0..self.readout.n_examples()).collect();
        self.readout.read(self.model, rows.clone(), &all, &rows)
    }

    /// The metrics of every intervention, in the order given.
    ///
    /// # Errors
    /// An intervention that does not fit the run, reading from the device.
    pub fn scores(&self, engine: Engine, interventions: &[IntervenedRun]) -> Result<Vec<Scores>, ProbeError> {
        Ok(self.outcomes(engine, interventions)?.into_iter().map(|outcome| outcome.scores).collect())
    }

    /// What every intervention did, in the order given.
    ///
    /// # Errors
    /// Those of [`scores`](Self::scores).
    pub(crate) fn outcomes(&self, engine: Engine, interventions: &[IntervenedRun]) -> Result<Vec<Outcome>, ProbeError> {
        match engine {
            Engine::Naive => interventions.iter().map(|intervention| naive::outcome(self, intervention)).collect(),
            Engine::Cone => cone::outcomes(self, interventions).map(|(outcomes, _)| outcomes),
        }
    }

    /// Per example, whether rows of the last residual stream differ from the base run's where metrics read them.
    pub(crate) fn changed(&self, rows: Tensor<2>) -> Result<Vec<bool>, ProbeError> {
        let differs = rows_differ(rows, self.base_rows())?;
        let mut rest = &differs[..];
        let example = |example| {
            let (own, more) = rest.split_at(self.readout.positions(example).len());
            rest = more;
            own.contains(&true)
        };
        Ok((0..self.readout.n_examples()).map(example).collect())
    }

    /// The rows of the base run's last residual stream that the metrics read, of all prompts.
    fn base_rows(&self) -> Tensor<2> {
        self.readout.rows(self.base.end())
    }
}
