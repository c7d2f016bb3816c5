//! Ablation: what is lost where an activation is replaced by one that carries nothing of the prompt.
//!
//! The parts: this file, the probe; `targets`, what is ablated together; `controls`, random sets of heads beside named ones.

mod controls;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::targets::{Ablated, Target, Targets};
use crate::engine::{Change, IntervenedRun, SourceActivations, Value};
use crate::error::ProbeError;
use crate::families::causal::delta::{Deltas, NO_OTHER_PROMPT};
use crate::families::causal::paired_runs::{self, PairedRuns, Settings, Side};
use crate::families::causal::places::{self, ALL, EACH, Positions};
use crate::families::causal::{self, Causal, Running, sources};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::subject::Context;

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
/// A cell is a hook, a head or a set of heads, a position and a method. Tables: `NAME` has a row per cell and metric, `NAME_examples`
/// a row per cell, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// The pairs of prompts, of which the clean ones are run: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// What is ablated, by hook names as TransformerLens has them: `z` (the output of heads), `attn_out`, `mlp_out`, `mlp_post`,
    /// `resid_pre`, … in every layer one after another, `blocks.3.attn.hook_z` or `z.3` in one.
    #[serde(default = "z")]
    pub hooks: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` of a layer together, or a number. May be empty where there are
    /// `sets`.
    #[serde(default = "each")]
    pub heads: Vec<String>,
    /// Sets of heads that are ablated together, by name: `{ induction = ["4.6", "5.1"] }` (layer.head), at the hooks of `hooks` that
    /// have heads.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
    /// How many random sets are ablated beside each named one: different ones with as many heads in each layer, none of them in the
    /// named set where the layer has enough others.
    #[serde(default)]
    pub controls: usize,
    /// What is put there: `zero`; `mean` over all clean prompts and their positions; `mean_per_position` over the clean prompts of one
    /// length; `resample` from the clean prompt of another pair of the same length.
    #[serde(default = "zero")]
    pub methods: Vec<Method>,
    /// Positions: `all` together, `each` one after another, a number, or a position that the pairs name (`end`). At `hook_pattern`
    /// these are the queries.
    #[serde(default = "all")]
    pub positions: Vec<String>,
    /// What is read at the end of the prompts.
    #[serde(default = "metrics")]
    pub metrics: Vec<Metric>,
    /// How cells are computed.
    #[serde(default)]
    pub run: Running,
}

fn z() -> Vec<String> {
    vec!["z".to_owned()]
}

fn each() -> Vec<String> {
    vec![EACH.to_owned()]
}

fn all() -> Vec<String> {
    vec![ALL.to_owned()]
}

fn zero() -> Vec<Method> {
    vec![Method::Zero]
}

fn metrics() -> Vec<Metric> {
    vec![Metric::LogitDiff, Metric::Kl, Metric::Loss]
}

impl Ablation {
    /// Zero ablation of every head's output.
    pub fn new(pairs: PairSource) -> Self {
        Ablation {
            pairs,
            hooks: z(),
            heads: each(),
            sets: BTreeMap::new(),
            controls: 0,
            methods: zero(),
            positions: all(),
            metrics: metrics(),
            run: Running::default(),
        }
    }

    /// Ablates in the runs of one group.
    fn ablate(
        &self,
        paired: &PairedRuns,
        index: usize,
        positions: &[Positions],
        mean: &SourceActivations,
        deltas: &mut Deltas<Ablated>,
    ) -> Result<(), ProbeError> {
        let (group, model_shape) = (&paired.groups[index], paired.subject.model.model_shape());
        let members: Vec<&Pair> = group.members.iter().map(|&member| &paired.pairs[member]).collect();
        let targets = self.targets(&model_shape, paired.seed, positions, &members)?;
        let (base, _) = group.ends(paired, &self.metrics, Side::Clean)?;
        for method in self.methods.iter().copied().collect::<BTreeSet<_>>() {
            let label = |target: &Target| Ablated { target: target.clone(), method };
            let labels: Vec<Ablated> = targets.keys().map(label).collect();
            match self.source(method, paired, index, mean)? {
                Some(source) => {
                    let value = if method == Method::Zero { Value::Zero } else { Value::Source(0) };
                    let cells = cells(&targets, value);
                    let scores = group.scores(paired, &self.settings(), Side::Clean, &[source], &cells)?;
                    deltas.note(&labels, &group.members, &base, &scores);
                }
                None => deltas.note_none(&labels, &group.members, &base, NO_OTHER_PROMPT),
            }
        }
        Ok(())
    }

    /// What a method puts into the runs of a group; `None` where there is nothing that it could put there.
    fn source(
        &self,
        method: Method,
        paired: &PairedRuns,
        group: usize,
        mean: &SourceActivations,
    ) -> Result<Option<SourceActivations>, ProbeError> {
        let points = self.points(&paired.subject.model.model_shape())?;
        let length = paired.groups[group].clean.length();
        match method {
            Method::Zero => Ok(Some(SourceActivations::new())),
            Method::Mean => Ok(Some(mean.clone())),
            Method::MeanPerPosition => sources::mean_per_position(paired, Side::Clean, length, &points).map(Some),
            Method::Resample => sources::resampled(paired, Side::Clean, group, &points),
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

    /// Refuses lists in which nothing stands, and numbers that mean nothing.
    fn check_fields(&self) -> Result<(), ProbeError> {
        let empty = [
            ("hooks", self.hooks.is_empty()),
            ("heads", self.heads.is_empty() && self.sets.is_empty()),
            ("methods", self.methods.is_empty()),
            ("positions", self.positions.is_empty()),
            ("metrics", self.metrics.is_empty()),
        ];
        if let Some((field, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Err(ProbeError::Empty { field });
        }
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

/// A cell per target that puts a value in its place.
fn cells(targets: &Targets, value: Value) -> Vec<IntervenedRun> {
    let change = |(point, region): &(HookPoint, Region)| Change { point: *point, region: region.clone(), value };
    targets.values().map(|parts| IntervenedRun { changes: parts.iter().map(change).collect() }).collect()
}

impl Probe for Ablation {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.check_fields()?;
        let model_shape = context.config.model_shape();
        self.check_methods(&self.points(&model_shape)?)?;
        causal::check(self, context)?;
        let pairs = paired_runs::make_pairs(self, context)?.list;
        let positions = places::positions("positions", &self.positions, &pairs)?;
        let longest: Vec<&Pair> = pairs.iter().max_by_key(|pair| pair.clean.len()).into_iter().collect();
        self.targets(&model_shape, context.seed, &positions, &longest).map(|_| ())
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
}

impl Causal for Ablation {
    fn pairs(&self) -> &PairSource {
        &self.pairs
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        self.touched(model_shape)
    }

    fn settings(&self) -> Settings<'_> {
        self.run.settings(&self.metrics)
    }

    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let every: Vec<Pair> = members.iter().map(|pair| (*pair).clone()).collect();
        let positions = places::positions("positions", &self.positions, &every)?;
        let targets = self.targets(&context.config.model_shape(), context.seed, &positions, members)?;
        Ok(self.methods.iter().flat_map(|_| cells(&targets, Value::Zero)).collect())
    }

    fn answer(&self, paired: &PairedRuns) -> Result<Answer, ProbeError> {
        let points = self.points(&paired.subject.model.model_shape())?;
        let positions = places::positions("positions", &self.positions, &paired.pairs)?;
        let needs_mean = self.methods.contains(&Method::Mean);
        let mean = if needs_mean { sources::mean(paired, Side::Clean, &points)? } else { SourceActivations::new() };
        let mut deltas = Deltas::new(&self.metrics);
        for group in 0..paired.groups.len() {
            self.ablate(paired, group, &positions, &mean, &mut deltas)?;
        }
        Ok(self.run.answer(deltas.summary(paired.seed), || deltas.examples()))
    }
}
