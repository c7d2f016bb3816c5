//! Patching between checkpoints: what another step's activations and weights do in this one.

mod parts;
#[cfg(test)]
mod tests;
mod work;

use std::path::Path;

use pythia_core::model::GptNeoX;
use pythia_hooks::{HookPoint, ModelShape, Region, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::work::Work;
use crate::engine::{IntervenedRun, Value};
use crate::error::ProbeError;
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::{PairedRuns, Settings};
use crate::families::causal::places::{self, ALL, EACH};
use crate::families::causal::{self, Causal, Running};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::probes::activation_patching::ActivationPatching;
use crate::subject::Context;

/// Another checkpoint of the model in this one, on the same prompts: its activations written into this one's run, place by place,
/// and its weights in place of this one's, component by component. What does a checkpoint lack that a later one has?
///
/// The runs are those on the clean prompts. `base` is this checkpoint's own value of a metric, `source` the other one's, `patched`
/// that of this checkpoint as changed, and `effect` the share of the way from base to source. Tables: `NAME` has a row per place and
/// metric, `NAME_examples` a row per place, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossCheckpoint {
    /// The pairs of prompts, of which the clean ones are run: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// The step whose activations and weights are put into each checkpoint.
    pub source: u32,
    /// Activations that are written, by hook names as TransformerLens has them; none at all where the list is empty.
    #[serde(default = "default_hooks")]
    pub hooks: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` together, or a number.
    #[serde(default = "default_heads")]
    pub heads: Vec<String>,
    /// Positions: `each` one after another, `all` together, a number, or a position that the pairs name (`end`).
    #[serde(default = "default_positions")]
    pub positions: Vec<String>,
    /// Components that get the other checkpoint's weights, one after another: `heads` (every head), `mlps`, `blocks`, a head as
    /// `layer.head` (`4.6`), `mlp3`, `block3`. A head is its `W_Q`, `W_K`, `W_V`, their biases and `W_O`; norms go with blocks alone.
    #[serde(default)]
    pub weights: Vec<String>,
    /// What is read at the end of the prompts.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// How cells are computed.
    #[serde(default)]
    pub run: Running,
}

fn default_hooks() -> Vec<String> {
    vec!["z".to_owned()]
}

fn default_heads() -> Vec<String> {
    vec![EACH.to_owned()]
}

fn default_positions() -> Vec<String> {
    vec![ALL.to_owned()]
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::LogitDiff]
}

impl CrossCheckpoint {
    /// Every head's output of the checkpoint `source`, at all positions together.
    pub fn new(pairs: PairSource, source: u32) -> Self {
        CrossCheckpoint {
            pairs,
            source,
            hooks: default_hooks(),
            heads: default_heads(),
            positions: default_positions(),
            weights: Vec::new(),
            metrics: default_metrics(),
            run: Running::default(),
        }
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

    /// The other checkpoint.
    ///
    /// # Errors
    /// One that was not loaded, or not with all that is read of it, or has another shape.
    fn model<'a>(&self, paired: &PairedRuns<'a>) -> Result<&'a GptNeoX, ProbeError> {
        let source = paired
            .subject
            .source_checkpoints
            .get(self.source)
            .ok_or(ProbeError::NoSourceCheckpoint { label: self.source })?;
        let shape = |model: &GptNeoX| {
            let config = model.config();
            vec![config.n_layers, config.d_model, config.n_heads, config.d_mlp, config.vocab_size, config.n_ctx]
        };
        let (expected, found) = (shape(paired.subject.model), shape(source));
        if expected != found {
            return Err(ProbeError::Shape { place: "the source checkpoint", expected, found });
        }
        if source.can_unembed() { Ok(source) } else { Err(ProbeError::NoUnembedding { probe: "cross_checkpoint" }) }
    }
}

impl Probe for CrossCheckpoint {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        if self.hooks.is_empty() && self.weights.is_empty() {
            return Err(ProbeError::Empty { field: "hooks" });
        }
        if self.metrics.is_empty() {
            return Err(ProbeError::Empty { field: "metrics" });
        }
        parts::parts(&self.weights, &context.config.model_shape())?;
        if self.hooks.is_empty() { causal::check(self, context) } else { self.activations().check(context) }
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        causal::tokens_per_run(self, context)
    }

    fn estimate(&self, context: &Context) -> Option<Estimate> {
        causal::estimate(self, context)
    }

    fn tables(&self) -> &'static [crate::table::TableSpec] {
        &Self::TABLES[..self.run.tables().len()]
    }

    fn files(&self) -> Vec<&Path> {
        self.pairs.file.iter().map(|file| file.as_path()).collect()
    }

    fn source_checkpoints(&self) -> Vec<u32> {
        vec![self.source]
    }
}

impl Causal for CrossCheckpoint {
    fn pairs(&self) -> &PairSource {
        &self.pairs
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        places::points(&self.hooks, model_shape)
    }

    fn settings(&self) -> Settings<'_> {
        self.run.settings(&self.metrics)
    }

    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let model_shape = context.config.model_shape();
        let mut cells: Vec<IntervenedRun> =
            if self.hooks.is_empty() { Vec::new() } else { self.activations().cells(context, members)? };
        // A part that is exchanged is run on from its block, as if the whole stream changed there.
        let exchanged =
            |part: parts::Part| IntervenedRun::of(Site::ResidPre.at(part.layer()), Region::all(), Value::Zero);
        cells.extend(parts::parts(&self.weights, &model_shape)?.into_iter().map(exchanged));
        Ok(cells)
    }

    fn answer(&self, paired: &PairedRuns) -> Result<Answer, ProbeError> {
        let mut effects = Effects::of_models(&self.metrics);
        for group in &paired.groups {
            Work::new(self, paired, group)?.note(&mut effects)?;
        }
        Ok(self.run.answer(effects.summary(paired.seed), || effects.examples()))
    }
}
