//! Activation patching: the effect of one activation of one prompt in the run of the other.

mod interventions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, ModelShape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::IntervenedRun;
use crate::error::ProbeError;
use crate::families::causal::columns::{
    CLEAN_CORRUPT, DIRECTION, EFFECT, HEAD, HOOK, KEY, MEAN_EFFECT, METRIC, N, POS, PROMPT_ID, SET, STATUS, WINDOW,
};
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::{Group, PairedRuns};
use crate::families::causal::places::{self, ALL, EACH, Place, Positions};
use crate::families::causal::{CausalProbe, CommonSettings, Direction, RunSettings, defaults, longest, not_empty};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::subject::Context;
use crate::table::{ColumnSpec, TableSpec};

/// Activations of one prompt of a pair written into the run of the other (Meng et al. 2022; Heimersheim & Nanda 2024).
///
/// With `noise` in `pairs`, the corrupt run is that of the clean prompt with noise at the embeddings of a span, and
/// `denoising` is causal tracing: `patched` − `corrupt` is the indirect effect.
///
/// An intervention is a hook, a position and a head. Tables: `NAME` has a row per intervention and metric,
/// `NAME_examples` a row per intervention, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationPatching {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// What is patched, by hook names as TransformerLens has them: `resid_pre`, `attn_out`, `mlp_out`, `z`, `q`, `k`,
    /// `v`, `pattern`, `result`, `mlp_post`, `resid_post`, `resid_mid` (sequential blocks) in every layer,
    /// `blocks.3.attn.hook_z` or `z.3` in one.
    #[serde(default = "defaults::resid_pre")]
    pub hooks: Vec<String>,
    /// Positions: `each` one after another, `all` together, a number (from 0 with the BOS included, or from the end),
    /// or a position or span that the pairs name (`end`). At `hook_pattern` these are the queries.
    #[serde(default = "defaults::each")]
    pub positions: Vec<String>,
    /// Heads, at hooks that have them: `each` one after another, `all` together, or a number.
    #[serde(default = "defaults::each")]
    pub heads: Vec<String>,
    /// Sets of heads that are patched together, by name: `{ induction = ["4.6", "5.1"] }` (layer.head), at every kind
    /// of hook in `hooks` that has heads; the layers are those of the set.
    #[serde(default)]
    pub sets: BTreeMap<String, Vec<String>>,
    /// Keys of `hook_pattern`: `all` patches whole rows, `each` one entry after another.
    #[serde(default = "defaults::all")]
    pub keys: Vec<String>,
    /// How many neighbouring neurons of `mlp_post` are patched together, block after block; all of them where it is
    /// left out.
    pub neurons: Option<usize>,
    /// How many neighbouring layers are patched together, at every hook of a layer: the hook's own in the middle
    /// (`window / 2` before it, the rest after it, cut at the model's ends). 1 where it is left out. Not with `sets`.
    #[serde(default = "one")]
    pub window: usize,
    /// Which run is patched: `denoising` writes clean activations into the corrupt run, `noising` corrupt ones into
    /// the clean run.
    #[serde(default = "defaults::denoising")]
    pub directions: Vec<Direction>,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

fn one() -> usize {
    1
}

const POSITION_NAME: &[ColumnSpec] = &[ColumnSpec::text(
    "position_name",
    "Name of the position (end, -1), after the block of neurons (neurons 0..16); empty where it has none",
)];

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per hook, position, head, direction and metric: means over the pairs",
    columns: &[
        HOOK,
        POS,
        HEAD,
        KEY,
        POSITION_NAME,
        SET,
        WINDOW,
        DIRECTION,
        METRIC,
        N,
        CLEAN_CORRUPT,
        MEAN_EFFECT,
        STATUS,
    ],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per hook, position, head, direction, pair and metric",
    columns: &[
        HOOK,
        POS,
        HEAD,
        KEY,
        POSITION_NAME,
        SET,
        WINDOW,
        DIRECTION,
        METRIC,
        PROMPT_ID,
        CLEAN_CORRUPT,
        EFFECT,
        STATUS,
    ],
};

impl ActivationPatching {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// Patches of `resid_pre` at every layer and position.
    pub fn new(pairs: PairSource) -> Self {
        ActivationPatching {
            pairs,
            hooks: defaults::resid_pre(),
            positions: defaults::each(),
            heads: defaults::each(),
            sets: BTreeMap::new(),
            keys: defaults::all(),
            neurons: None,
            window: one(),
            directions: defaults::denoising(),
            metrics: defaults::logit_diff(),
            run: RunSettings::default(),
        }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        ActivationPatching { hooks: defaults::z(), positions: defaults::all(), ..Self::new(PairSource::example()) }
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

    fn patch(&self, runs: &PairedRuns, group: &Group, effects: &mut Effects<'_, Place>) -> Result<(), ProbeError> {
        let config = runs.subject.model.config();
        let placed = self.placed_interventions(&config.model_shape(), config.d_mlp, &group.pairs(runs))?;
        let (places, interventions): (Vec<Place>, Vec<IntervenedRun>) = placed.into_iter().unzip();
        for &direction in &self.directions {
            let [base, source] = group.ends(runs, &self.metrics, direction.base())?;
            let sources = [group.run(direction.source()).seen().clone()];
            let patched = group.outcomes(runs, &self.common().scores(), direction.base(), &sources, &interventions)?;
            effects.note_group(direction, &places, &group.members, [&base, &source], &patched);
        }
        Ok(())
    }
}

impl CausalProbe for ActivationPatching {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        let points = places::touched(&self.hooks, &self.sets, model_shape)?;
        let mut points: Vec<HookPoint> =
            points.into_iter().flat_map(|point| self.in_window(point, model_shape.n_layers)).collect();
        points.sort_unstable();
        points.dedup();
        Ok(points)
    }

    fn takes_noise(&self) -> bool {
        true
    }

    fn check_settings(&self, _: &Context) -> Result<(), ProbeError> {
        not_empty([
            ("hooks", self.hooks.is_empty()),
            ("positions", self.positions.is_empty()),
            ("heads", self.heads.is_empty()),
            ("keys", self.keys.is_empty()),
            ("directions", self.directions.is_empty()),
        ])?;
        let counts = [("neurons", self.neurons.unwrap_or(1)), ("window", self.window)];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(ProbeError::TooSmall { field, value: 0, least: 1 });
        }
        if self.window > 1 && !self.sets.is_empty() {
            let allowed = "sets of heads name their layers themselves: leave window or sets out".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "window", word: self.window.to_string(), allowed });
        }
        let wrong = self.keys.iter().find(|key| *key != ALL && *key != EACH);
        wrong.map_or(Ok(()), |word| {
            let allowed = "\"all\" or \"each\"".to_owned();
            Err(ProbeError::NoSuchChoice { field: "keys", word: word.clone(), allowed })
        })
    }

    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        let points = places::points(&self.hooks, &context.config.model_shape())?;
        self.check_narrowing(&points, &places::positions("positions", &self.positions, pairs)?)?;
        self.interventions(context, longest(pairs).as_slice()).map(|_| ())
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let placed = self.placed_interventions(&context.config.model_shape(), context.config.d_mlp, pairs)?;
        let interventions = placed.into_iter().map(|(_, intervention)| intervention);
        Ok(self.directions.iter().flat_map(|_| interventions.clone()).collect())
    }

    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError> {
        let mut effects = Effects::new(&self.metrics, &runs.pairs);
        for group in &runs.groups {
            self.patch(runs, group, &mut effects)?;
        }
        Ok(self.run.answer(effects.summary(&MAIN, runs.seed), || effects.examples(&EXAMPLES)))
    }
}
