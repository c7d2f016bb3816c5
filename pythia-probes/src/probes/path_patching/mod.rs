//! Path patching: what one component of the model sends to one other.

mod deltas;
mod direct;
mod directed_group;
mod edges;
#[cfg(test)]
mod tests;
mod words;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::deltas::BaseAndSource;
use self::directed_group::DirectedGroup;
use self::edges::{EDGE, Edge, Graph, Input};
use crate::engine::{IntervenedRun, Replacement};
use crate::error::ProbeError;
use crate::families::causal::columns::{
    CLEAN_CORRUPT, DIRECTION, EFFECT, MEAN_EFFECT, METRIC, N, POS, POSITION_NAME, PROMPT_ID, STATUS,
};
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::{Group, PairedRuns};
use crate::families::causal::{CausalProbe, CommonSettings, Direction, RunSettings, defaults, not_empty, places};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::subject::Context;
use crate::table::TableSpec;

/// What one component sends to one other (Wang et al. 2022; Goldowsky-Dill et al. 2023), exactly: the sender takes
/// its value of the source run, everything between it and the receiver keeps the base run's, the receiver alone reads
/// the change, and the rest of the model runs on.
///
/// Edges are those of the model: a component reads what earlier layers write, and in a parallel block the MLP does
/// not read its own layer's heads. Tables: `NAME` has a row per edge, position and metric, `NAME_examples` a row per
/// edge, position, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathPatching {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// Who sends: `heads` (every head), `mlps`, `embed` (the token embeddings), a head as `layer.head` (`4.6`), an
    /// MLP as `mlp3`.
    #[serde(default = "default_senders")]
    pub senders: Vec<String>,
    /// Who receives: `q`, `k`, `v` (the queries, keys or values of every head), `mlps`, `logits`, one input of a head
    /// as `layer.head.input` (`5.1.k`), an MLP as `mlp3`.
    #[serde(default = "default_receivers")]
    pub receivers: Vec<String>,
    /// Positions at which the sender sends: `each` one after another, `all` together, a number (from 0 with the BOS
    /// included, or from the end), or a position or span that the pairs name (`end`).
    #[serde(default = "defaults::all")]
    pub positions: Vec<String>,
    /// Which run is changed: `noising` puts what the sender writes in the corrupt run into the clean run, `denoising`
    /// the other way round.
    #[serde(default = "defaults::noising")]
    pub directions: Vec<Direction>,
    /// Whether the final norm's divisor stays that of the base run. The direct effects of all senders then add up to
    /// the difference between the runs (the source's logit difference is read with that divisor too), and `logits` is
    /// the only receiver, `logit_diff` the only metric.
    #[serde(default)]
    pub freeze_final_norm: bool,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

fn default_senders() -> Vec<String> {
    ["embed", "heads", "mlps"].map(str::to_owned).to_vec()
}

fn default_receivers() -> Vec<String> {
    vec![Input::Logits.name().to_owned()]
}

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per sender, receiver, position, direction and metric: means over the pairs",
    columns: &[EDGE, POS, POSITION_NAME, DIRECTION, METRIC, N, CLEAN_CORRUPT, MEAN_EFFECT, STATUS],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per sender, receiver, position, direction, pair and metric",
    columns: &[EDGE, POS, POSITION_NAME, DIRECTION, METRIC, PROMPT_ID, CLEAN_CORRUPT, EFFECT, STATUS],
};

impl PathPatching {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// The direct effects of all components on the logits.
    pub fn new(pairs: PairSource) -> Self {
        PathPatching {
            pairs,
            senders: default_senders(),
            receivers: default_receivers(),
            positions: defaults::all(),
            directions: defaults::noising(),
            freeze_final_norm: false,
            metrics: defaults::logit_diff(),
            run: RunSettings::default(),
        }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self::new(PairSource::example())
    }

    fn graph(&self, model_shape: &ModelShape) -> Result<Graph, ProbeError> {
        Graph::read(&self.senders, &self.receivers, model_shape)
    }

    fn patch(&self, runs: &PairedRuns, group: &Group, effects: &mut Effects<'_, Edge>) -> Result<(), ProbeError> {
        let positions = places::positions("positions", &self.positions, &runs.pairs)?;
        for &direction in &self.directions {
            let (base, source) = (group.run(direction.base()), group.run(direction.source()));
            let directed = DirectedGroup {
                probe: self,
                runs,
                group,
                direction,
                pairs: group.pairs(runs),
                positions: &positions,
                ends: BaseAndSource { model: runs.subject.model, base, source },
            };
            if self.freeze_final_norm { directed.direct(effects)? } else { directed.paths(effects)? }
        }
        Ok(())
    }

    /// Under a frozen norm there are logit differences of the logits, and nothing else adds up.
    fn check_frozen(&self) -> Result<(), ProbeError> {
        if !self.freeze_final_norm {
            return Ok(());
        }
        let refused = |field, word: &str, only: &str| {
            let allowed = format!("with freeze_final_norm it is {only}, the one that adds up");
            Err(ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed })
        };
        if let Some(word) = self.receivers.iter().find(|word| *word != Input::Logits.name()) {
            return refused("receivers", word, "\"logits\"");
        }
        match self.metrics.iter().find(|metric| **metric != Metric::LogitDiff) {
            Some(metric) => refused("metrics", metric.name(), "\"logit_diff\""),
            None => Ok(()),
        }
    }
}

impl CausalProbe for PathPatching {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, _: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        // Every base run holds queries, keys, values, residual streams and outputs of components.
        Ok(Vec::new())
    }

    fn check_settings(&self, context: &Context) -> Result<(), ProbeError> {
        not_empty([("positions", self.positions.is_empty()), ("directions", self.directions.is_empty())])?;
        self.graph(&context.config.model_shape())?;
        self.check_frozen()
    }

    fn check_places(&self, _: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        places::positions("positions", &self.positions, pairs).map(|_| ())
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let graph = self.graph(&context.config.model_shape())?;
        let positions = places::positions("positions", &self.positions, pairs)?;
        let regions = places::regions_at(&positions, Axis::Pos, &Region::all(), pairs);
        let mut interventions = Vec::new();
        for (&input, heads) in graph.inputs.iter().filter(|_| !self.freeze_final_norm) {
            let point = input.point(context.config.n_layers);
            let senders = graph.senders.iter().filter(|sender| graph.has(**sender, input)).count();
            let patch = |regions: &[Region]| IntervenedRun::at(point, regions, Replacement::Source(0));
            let of_one: Vec<IntervenedRun> = regions.iter().map(|(_, _, regions)| patch(regions)).collect();
            interventions.extend((0..senders * heads.len()).flat_map(|_| of_one.clone()));
        }
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
