//! Activation patching: what one activation of one prompt does in the run of the other.

mod cells;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use pythia_hooks::{Axis, HookPoint, ModelShape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::IntervenedRun;
use crate::error::ProbeError;
use crate::families::causal::effect::{Effects, Sample};
use crate::families::causal::paired_runs::{Group, PairedRuns, Settings};
use crate::families::causal::places::{self, ALL, EACH, Place, Positions};
use crate::families::causal::{self, Causal, Direction, Running};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::subject::Context;

/// Activations of one prompt of a pair written into the run of the other (Meng et al. 2022; Heimersheim & Nanda 2024).
///
/// A cell of the sweep is a hook, a position and a head. Tables: `NAME` has a row per cell and metric, `NAME_examples` a row per
/// cell, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationPatching {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// What is patched, by hook names as TransformerLens has them: `resid_pre`, `attn_out`, `mlp_out`, `z`, `q`, `k`, `v`, `pattern`,
    /// `result`, `mlp_post`, `resid_post`, `resid_mid` (sequential blocks) in every layer, `blocks.3.attn.hook_z` or `z.3` in one.
    #[serde(default = "default_hooks")]
    pub hooks: Vec<String>,
    /// Positions: `each` one after another, `all` together, a number, or a position that the pairs name (`end`). At `hook_pattern`
    /// these are the queries.
    #[serde(default = "each")]
    pub positions: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` together, or a number.
    #[serde(default = "each")]
    pub heads: Vec<String>,
    /// Sets of heads that are patched together, by name: `{ induction = ["4.6", "5.1"] }` (layer.head), at every kind of hook in `hooks`
    /// that has heads; the layers are those of the set.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
    /// Keys of `hook_pattern`: `all` patches whole rows, `each` one entry after another.
    #[serde(default = "all")]
    pub keys: Vec<String>,
    /// Neurons of `mlp_post` that are patched together; all of them where it is left out.
    pub neurons: Option<usize>,
    /// Which run is patched: `denoising` writes clean activations into the corrupt run, `noising` corrupt ones into the clean run.
    #[serde(default = "denoising")]
    pub directions: Vec<Direction>,
    /// What is read at the end of the prompts.
    #[serde(default = "logit_diff")]
    pub metrics: Vec<Metric>,
    /// How cells are computed.
    #[serde(default)]
    pub run: Running,
}

fn default_hooks() -> Vec<String> {
    vec!["resid_pre".to_owned()]
}

fn each() -> Vec<String> {
    vec![EACH.to_owned()]
}

fn all() -> Vec<String> {
    vec![ALL.to_owned()]
}

fn denoising() -> Vec<Direction> {
    vec![Direction::Denoising]
}

fn logit_diff() -> Vec<Metric> {
    vec![Metric::LogitDiff]
}

impl ActivationPatching {
    /// Patches of `resid_pre` at every layer and position.
    pub fn new(pairs: PairSource) -> Self {
        ActivationPatching {
            pairs,
            hooks: default_hooks(),
            positions: each(),
            heads: each(),
            sets: BTreeMap::new(),
            keys: all(),
            neurons: None,
            directions: denoising(),
            metrics: logit_diff(),
            run: Running::default(),
        }
    }

    /// Refuses settings that would leave nothing of what they narrow.
    fn check_narrowing(&self, points: &[HookPoint], positions: &[Positions]) -> Result<(), ProbeError> {
        let some_have = |axis| points.iter().any(|point| point.site().dim_of(axis).is_some());
        if let (Some(neurons), false) = (self.neurons, some_have(Axis::Mlp)) {
            let allowed = "they are those of mlp_post, and none of the hooks has any".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "neurons", word: neurons.to_string(), allowed });
        }
        let (whole, entries) = (self.keys.iter().any(|key| key == ALL), self.keys.iter().any(|key| key == EACH));
        let numbered = |choice: &Positions| matches!(choice, Positions::Each | Positions::At(0..));
        let enough = if whole { positions.iter().any(numbered) } else { positions.iter().all(numbered) };
        if entries && some_have(Axis::Key) && !enough {
            let allowed =
                "an entry of a pattern has one query: name positions by \"each\" or by numbers from 0 on".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "keys", word: EACH.to_owned(), allowed });
        }
        Ok(())
    }

    fn patch(&self, paired: &PairedRuns, group: &Group, effects: &mut Effects<Place>) -> Result<(), ProbeError> {
        let config = paired.subject.model.config();
        let members: Vec<&Pair> = group.members.iter().map(|&member| &paired.pairs[member]).collect();
        let (places, cells): (Vec<Place>, Vec<IntervenedRun>) =
            self.places_and_cells(&config.model_shape(), config.d_mlp, &members)?.into_iter().unzip();
        for &direction in &self.directions {
            let (base, source) = group.ends(paired, &self.metrics, direction.base())?;
            let sources = [group.run(direction.source()).seen().clone()];
            let scores = group.scores(paired, &self.settings(), direction.base(), &sources, &cells)?;
            for (place, changed) in places.iter().zip(scores) {
                for (index, &pair) in group.members.iter().enumerate() {
                    let values = base[index].iter().zip(&source[index]).zip(&changed[index]);
                    let sample = |((&base, &source), &changed)| Sample { base, source, changed };
                    effects.note(direction, place, pair, values.map(sample).collect());
                }
            }
        }
        Ok(())
    }
}

impl Probe for ActivationPatching {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let empty = [
            ("hooks", self.hooks.is_empty()),
            ("positions", self.positions.is_empty()),
            ("heads", self.heads.is_empty()),
            ("keys", self.keys.is_empty()),
            ("directions", self.directions.is_empty()),
            ("metrics", self.metrics.is_empty()),
        ];
        if let Some((field, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Err(ProbeError::Empty { field });
        }
        if self.neurons == Some(0) {
            return Err(ProbeError::TooSmall { field: "neurons", value: 0, least: 1 });
        }
        if let Some(word) = self.keys.iter().find(|key| *key != ALL && *key != EACH) {
            let allowed = "\"all\" or \"each\"".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "keys", word: word.clone(), allowed });
        }
        causal::check(self, context)?;
        let pairs = causal::paired_runs::make_pairs(self, context)?.list;
        let longest: Vec<&Pair> = pairs.iter().max_by_key(|pair| pair.clean.len()).into_iter().collect();
        let points = places::points(&self.hooks, &context.config.model_shape())?;
        self.check_narrowing(&points, &places::positions("positions", &self.positions, &pairs)?)?;
        self.cells(context, &longest).map(|_| ())
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

impl Causal for ActivationPatching {
    fn pairs(&self) -> &PairSource {
        &self.pairs
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        let mut points = places::points(&self.hooks, model_shape)?;
        places::before_the_end("hooks", &points)?;
        let sites = places::sites_of_heads(&points, &self.sets)?;
        for (_, heads) in places::sets("sets", &self.sets, model_shape)? {
            points.extend(sites.iter().flat_map(|site| heads.iter().map(|(layer, _)| site.at(*layer))));
        }
        Ok(points)
    }

    fn settings(&self) -> Settings<'_> {
        self.run.settings(&self.metrics)
    }

    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let cells = self.places_and_cells(&context.config.model_shape(), context.config.d_mlp, members)?;
        let cells = cells.into_iter().map(|(_, cell)| cell);
        Ok(self.directions.iter().flat_map(|_| cells.clone()).collect())
    }

    fn answer(&self, paired: &PairedRuns) -> Result<Answer, ProbeError> {
        let mut effects = Effects::new(&self.metrics);
        for group in &paired.groups {
            self.patch(paired, group, &mut effects)?;
        }
        Ok(self.run.answer(effects.summary(paired.seed), || effects.examples()))
    }
}
