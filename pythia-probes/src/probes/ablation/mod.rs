//! Ablation: what is lost where an activation is replaced by one that carries nothing of the prompt.

mod controls;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::targets::{Ablated, CONTROL, METHOD, SET, STATUS, Target, Targets};
use crate::engine::{Change, IntervenedRun, Replacement, SourceActivations};
use crate::error::ProbeError;
use crate::families::causal::columns::{DELTA, HEAD, HOOK, MEAN_DELTA, METRIC, N, POS, POSITION_NAME, PROMPT_ID};
use crate::families::causal::delta::{Deltas, NO_OTHER_PROMPT};
use crate::families::causal::paired_runs::{PairedRuns, Side};
use crate::families::causal::places::{self, Positions};
use crate::families::causal::{CausalProbe, CommonSettings, RunSettings, defaults, longest, not_empty, sources};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::subject::Context;
use crate::table::TableSpec;

/// The largest number of random sets beside each named one.
const MAX_CONTROLS: usize = 1000;

/// What stands in place of an ablated activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Zeros.
    Zero,
    /// The mean over all clean prompts and their positions.
    Mean,
    /// At each position its mean over the clean prompts of that length.
    MeanPerPosition,
    /// The activation of another pair's clean prompt of the same length, drawn at random.
    Resample,
}

impl Method {
    /// Its name in tables and experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Zero => "zero",
            Method::Mean => "mean",
            Method::MeanPerPosition => "mean_per_position",
            Method::Resample => "resample",
        }
    }
}

/// Activations of the clean prompts replaced by ones that carry nothing of the prompt: what does the model lose?
///
/// An intervention is a hook, a head or a set of heads, a position and a method. Tables: `NAME` has a row per
/// intervention and metric, `NAME_examples` a row per intervention, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// The pairs of prompts, of which the clean ones are run: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// What is ablated, by hook names as TransformerLens has them: `z` (the output of heads), `attn_out`, `mlp_out`,
    /// `mlp_post`, `resid_pre`, … in every layer one after another, `blocks.3.attn.hook_z` or `z.3` in one.
    #[serde(default = "defaults::z")]
    pub hooks: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` of a layer together, or a number. May be empty
    /// where there are `sets`.
    #[serde(default = "defaults::each")]
    pub heads: Vec<String>,
    /// Sets of heads that are ablated together, by name: `{ induction = ["4.6", "5.1"] }` (layer.head), at the hooks
    /// of `hooks` that have heads.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
    /// How many random sets are ablated beside each named one: different ones with as many heads in each layer, none
    /// of them in the named set where the layer has enough others.
    #[serde(default)]
    pub controls: usize,
    /// What is put there: `zero`; `mean` over all clean prompts and their positions; `mean_per_position` over the
    /// clean prompts of one length; `resample` from the clean prompt of another pair of the same length.
    #[serde(default = "zero")]
    pub methods: Vec<Method>,
    /// Positions: `all` together, `each` one after another, a number (from 0 with the BOS included, or from the end),
    /// or a position or span that the pairs name (`end`). At `hook_pattern` these are the queries.
    #[serde(default = "defaults::all")]
    pub positions: Vec<String>,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff_kl_and_loss")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

fn zero() -> Vec<Method> {
    vec![Method::Zero]
}

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per hook, head or set of heads, position, method and metric: means over the pairs",
    columns: &[HOOK, POS, HEAD, POSITION_NAME, SET, CONTROL, METHOD, METRIC, N, MEAN_DELTA, STATUS],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per hook, head or set of heads, position, method, pair and metric",
    columns: &[HOOK, POS, HEAD, POSITION_NAME, SET, CONTROL, METHOD, METRIC, PROMPT_ID, DELTA, STATUS],
};

impl Ablation {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// Zero ablation of every head's output.
    pub fn new(pairs: PairSource) -> Self {
        Ablation {
            pairs,
            hooks: defaults::z(),
            heads: defaults::each(),
            sets: BTreeMap::new(),
            controls: 0,
            methods: zero(),
            positions: defaults::all(),
            metrics: defaults::logit_diff_kl_and_loss(),
            run: RunSettings::default(),
        }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self::new(PairSource::example())
    }

    /// Ablates in the runs of one group.
    fn ablate(
        &self,
        runs: &PairedRuns,
        index: usize,
        positions: &[Positions],
        mean: &SourceActivations,
        deltas: &mut Deltas<'_, Ablated>,
    ) -> Result<(), ProbeError> {
        let (group, model_shape) = (&runs.groups[index], runs.subject.model.model_shape());
        let targets = self.targets(&model_shape, runs.seed, positions, &group.pairs(runs))?;
        let [base, _] = group.ends(runs, &self.metrics, Side::Clean)?;
        for method in self.methods.iter().copied().collect::<BTreeSet<_>>() {
            let label = |target: &Target| Ablated { target: target.clone(), method };
            let labels: Vec<Ablated> = targets.keys().map(label).collect();
            match self.source(method, runs, index, mean)? {
                Some(source) => {
                    let zero = method == Method::Zero;
                    let replacement = if zero { Replacement::Zero } else { Replacement::Source(0) };
                    let (settings, sources) = (self.common().scores(), slice::from_ref(&source));
                    let interventions = interventions(&targets, replacement);
                    let outcomes = group.outcomes(runs, &settings, Side::Clean, sources, &interventions)?;
                    deltas.note(&labels, &group.members, &base, &outcomes);
                }
                None => deltas.note_none(&labels, &group.members, &base, NO_OTHER_PROMPT),
            }
        }
        Ok(())
    }

    /// The activations that a method puts into the runs of a group; `None` where it has none.
    fn source(
        &self,
        method: Method,
        runs: &PairedRuns,
        group: usize,
        mean: &SourceActivations,
    ) -> Result<Option<SourceActivations>, ProbeError> {
        let points = self.points(&runs.subject.model.model_shape())?;
        let length = runs.groups[group].clean.length();
        match method {
            Method::Zero => Ok(Some(SourceActivations::new())),
            Method::Mean => Ok(Some(mean.clone())),
            Method::MeanPerPosition => sources::mean_per_position(runs, Side::Clean, length, &points).map(Some),
            Method::Resample => sources::resampled(runs, Side::Clean, group, &points),
        }
    }

    /// Refuses what a method cannot do at a point.
    fn check_methods(&self, points: &[HookPoint]) -> Result<(), ProbeError> {
        let attention = |point: &&HookPoint| point.site().dim_of(Axis::Key).is_some();
        let refuse = |method: Method, point: &HookPoint, why: &str| {
            let allowed = format!("{why} at {point}");
            Err(ProbeError::NoSuchChoice { field: "methods", word: method.name().to_owned(), allowed })
        };
        match points.iter().find(attention) {
            Some(point) if self.methods.contains(&Method::Mean) => {
                refuse(Method::Mean, point, "queries see different keys, so that there is no mean over positions")
            }
            Some(point) if point.site() == Site::AttnScores && self.methods.contains(&Method::Zero) => {
                refuse(Method::Zero, point, "tokens would see what comes after them with scores of zero")
            }
            _ => Ok(()),
        }
    }

    /// Refuses numbers of random sets that cannot be drawn.
    fn check_controls(&self) -> Result<(), ProbeError> {
        if self.controls > MAX_CONTROLS {
            return Err(ProbeError::TooLarge { field: "controls", value: self.controls, most: MAX_CONTROLS });
        }
        if self.controls > 0 && self.sets.is_empty() {
            let allowed = "random sets are drawn beside named ones, and sets names none".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "controls", word: self.controls.to_string(), allowed });
        }
        Ok(())
    }
}

/// An intervention per target.
fn interventions(targets: &Targets, replacement: Replacement) -> Vec<IntervenedRun> {
    let change = |(point, region): &(HookPoint, Region)| Change { point: *point, region: region.clone(), replacement };
    targets.values().map(|parts| IntervenedRun { changes: parts.iter().map(change).collect() }).collect()
}

impl CausalProbe for Ablation {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        // Random sets have their heads in the layers of the named ones.
        places::touched(&self.hooks, &self.sets, model_shape)
    }

    fn check_settings(&self, context: &Context) -> Result<(), ProbeError> {
        not_empty([
            ("hooks", self.hooks.is_empty()),
            ("heads", self.heads.is_empty() && self.sets.is_empty()),
            ("methods", self.methods.is_empty()),
            ("positions", self.positions.is_empty()),
        ])?;
        self.check_controls()?;
        self.check_methods(&self.points(&context.config.model_shape())?)
    }

    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        let positions = places::positions("positions", &self.positions, pairs)?;
        let longest = longest(pairs);
        self.targets(&context.config.model_shape(), context.seed, &positions, longest.as_slice()).map(|_| ())
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let positions = places::positions("positions", &self.positions, pairs)?;
        let targets = self.targets(&context.config.model_shape(), context.seed, &positions, pairs)?;
        Ok(self.methods.iter().flat_map(|_| interventions(&targets, Replacement::Zero)).collect())
    }

    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError> {
        let points = self.points(&runs.subject.model.model_shape())?;
        let positions = places::positions("positions", &self.positions, &runs.pairs)?;
        let needs_mean = self.methods.contains(&Method::Mean);
        let mean = if needs_mean { sources::mean(runs, Side::Clean, &points)? } else { SourceActivations::new() };
        let mut deltas = Deltas::new(&self.metrics, &runs.pairs);
        for group in 0..runs.groups.len() {
            self.ablate(runs, group, &positions, &mean, &mut deltas)?;
        }
        Ok(self.run.answer(deltas.summary(&MAIN, runs.seed), || deltas.examples(&EXAMPLES)))
    }
}
