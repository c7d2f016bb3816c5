//! Patching between checkpoints: what another step's activations and weights do in this one.

mod parts;
#[cfg(test)]
mod tests;
mod two_checkpoints;

use pythia_core::model::GptNeoX;
use pythia_hooks::{HookPoint, ModelShape, Region, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::two_checkpoints::TwoCheckpoints;
use crate::engine::{IntervenedRun, Replacement};
use crate::error::ProbeError;
use crate::families::causal::columns::{
    BASE_SOURCE, EFFECT, HEAD, HOOK, KEY, MEAN_EFFECT, METRIC, N, POS, PROMPT_ID, STATUS,
};
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::PairedRuns;
use crate::families::causal::{CausalProbe, CommonSettings, RunSettings, defaults, not_empty};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probes::activation_patching::ActivationPatching;
use crate::subject::Context;
use crate::table::{ColumnSpec, TableSpec};

/// Another checkpoint of the model in this one, on the same prompts: its activations written into this one's run,
/// place by place, and its weights in place of this one's, component by component. What does a checkpoint lack that a
/// later one has?
///
/// The runs are those on the clean prompts. `base` is this checkpoint's own value of a metric, `source` the other
/// one's, `patched` that of this checkpoint as changed, and `effect` the share of the way from base to source.
/// Tables: `NAME` has a row per place and metric, `NAME_examples` a row per place, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossCheckpoint {
    /// The pairs of prompts, of which the clean ones are run: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// The step whose activations and weights are put into each checkpoint.
    pub source_step: u32,
    /// Activations that are written, by hook names as TransformerLens has them; none at all where the list is empty.
    #[serde(default = "defaults::z")]
    pub hooks: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` together, or a number.
    #[serde(default = "defaults::each")]
    pub heads: Vec<String>,
    /// Positions: `each` one after another, `all` together, a number (from 0 with the BOS included, or from the end),
    /// or a position or span that the pairs name (`end`).
    #[serde(default = "defaults::all")]
    pub positions: Vec<String>,
    /// Components that get the other checkpoint's weights, one after another: `heads` (every head), `mlps`, `blocks`,
    /// a head as `layer.head` (`4.6`), `mlp3`, `block3`. A head is its `W_Q`, `W_K`, `W_V`, their biases and `W_O`;
    /// norms go with blocks alone.
    #[serde(default)]
    pub weights: Vec<String>,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

const SOURCE: &[ColumnSpec] = &[
    ColumnSpec::int("source_step", "Step of the source checkpoint"),
    ColumnSpec::text("what", "What is taken from the source checkpoint: activation or weights"),
];

const POSITION_NAME: &[ColumnSpec] = &[ColumnSpec::text(
    "position_name",
    "Name of the position that is patched (end, -1), empty where it has none; for weights: head, mlp or block",
)];

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per activation or component of the source checkpoint and metric: means over the pairs",
    columns: &[SOURCE, HOOK, POS, HEAD, KEY, POSITION_NAME, METRIC, N, BASE_SOURCE, MEAN_EFFECT, STATUS],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per activation or component of the source checkpoint, pair and metric",
    columns: &[SOURCE, HOOK, POS, HEAD, KEY, POSITION_NAME, METRIC, PROMPT_ID, BASE_SOURCE, EFFECT, STATUS],
};

impl CrossCheckpoint {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// Every head's output of the checkpoint of `source_step`, at all positions together.
    pub fn new(pairs: PairSource, source_step: u32) -> Self {
        CrossCheckpoint {
            pairs,
            source_step,
            hooks: defaults::z(),
            heads: defaults::each(),
            positions: defaults::all(),
            weights: Vec::new(),
            metrics: defaults::logit_diff(),
            run: RunSettings::default(),
        }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        CrossCheckpoint { weights: vec!["mlps".to_owned()], ..Self::new(PairSource::example(), 512) }
    }

    /// The same places as a probe of one checkpoint.
    fn activations(&self) -> ActivationPatching {
        ActivationPatching {
            hooks: self.hooks.clone(),
            heads: self.heads.clone(),
            positions: self.positions.clone(),
            metrics: self.metrics.clone(),
            run: self.run.clone(),
            ..ActivationPatching::new(self.pairs.clone())
        }
    }

    /// The source checkpoint.
    ///
    /// # Errors
    /// One that was not loaded, or not with all that is read of it, or has another shape.
    fn model<'a>(&self, runs: &PairedRuns<'a>) -> Result<&'a GptNeoX, ProbeError> {
        let source = runs
            .subject
            .source_checkpoints
            .get(self.source_step)
            .ok_or(ProbeError::NoSourceCheckpoint { label: self.source_step })?;
        let shape = |model: &GptNeoX| {
            let config = model.config();
            vec![config.n_layers, config.d_model, config.n_heads, config.d_mlp, config.vocab_size, config.n_ctx]
        };
        let (expected, found) = (shape(runs.subject.model), shape(source));
        if expected != found {
            return Err(ProbeError::Shape { place: "the source checkpoint", expected, found });
        }
        if source.can_unembed() { Ok(source) } else { Err(ProbeError::NoUnembedding { probe: "cross_checkpoint" }) }
    }
}

impl CausalProbe for CrossCheckpoint {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        self.activations().points(model_shape)
    }

    fn check_settings(&self, context: &Context) -> Result<(), ProbeError> {
        not_empty([("hooks", self.hooks.is_empty() && self.weights.is_empty())])?;
        parts::parts(&self.weights, &context.config.model_shape())?;
        if self.hooks.is_empty() { Ok(()) } else { self.activations().check_settings(context) }
    }

    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        if self.hooks.is_empty() { Ok(()) } else { self.activations().check_places(context, pairs) }
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let model_shape = context.config.model_shape();
        let mut interventions: Vec<IntervenedRun> =
            if self.hooks.is_empty() { Vec::new() } else { self.activations().interventions(context, pairs)? };
        // A component with other weights is run on from its block, as if the whole residual stream changed there.
        let exchanged =
            |part: parts::Part| IntervenedRun::of(Site::ResidPre.at(part.layer()), Region::all(), Replacement::Zero);
        interventions.extend(parts::parts(&self.weights, &model_shape)?.into_iter().map(exchanged));
        Ok(interventions)
    }

    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError> {
        let mut effects = Effects::of_models(&self.metrics, &runs.pairs);
        for group in &runs.groups {
            TwoCheckpoints::new(self, runs, group)?.note(&mut effects)?;
        }
        Ok(self.run.answer(effects.summary(&MAIN, runs.seed), || effects.examples(&EXAMPLES)))
    }

    fn source_step(&self) -> Option<u32> {
        Some(self.source_step)
    }
}
