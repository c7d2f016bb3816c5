//! Path patching: what one component of the model sends to one other.

mod direct;
mod edges;
mod runs;
mod sweep;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::edges::{Edge, Graph, Input};
use self::runs::Runs;
use self::sweep::Work;
use crate::engine::{Change, IntervenedRun, Value};
use crate::error::ProbeError;
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::{Group, PairedRuns, Settings};
use crate::families::causal::places::{self, ALL};
use crate::families::causal::{self, Causal, Direction, Running};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::subject::Context;

/// What one component sends to one other (Wang et al. 2022; Goldowsky-Dill et al. 2023), exactly: the sender takes its value of the
/// source run, everything between it and the receiver keeps the base run's, the receiver alone reads the change, and the rest of
/// the model runs on.
///
/// Edges are those of the model: a component reads what earlier layers write, and in a parallel block the MLP does not read
/// its own layer's heads. Tables: `NAME` has a row per edge, position and metric, `NAME_examples` a row per edge, position, pair
/// and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathPatching {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// Who sends: `heads` (every head), `mlps`, `embed` (the token embeddings), a head as `layer.head` (`4.6`), an MLP as `mlp3`.
    #[serde(default = "default_senders")]
    pub senders: Vec<String>,
    /// Who receives: `q`, `k`, `v` (the queries, keys or values of every head), `mlps`, `logits`, one input of a head as
    /// `layer.head.input` (`5.1.k`), an MLP as `mlp3`.
    #[serde(default = "default_receivers")]
    pub receivers: Vec<String>,
    /// Positions at which the sender sends: `each` one after another, `all` together, a number, or a position that the pairs name
    /// (`end`).
    #[serde(default = "default_positions")]
    pub positions: Vec<String>,
    /// Which run is changed: `noising` puts what the sender writes in the corrupt run into the clean run, `denoising` the other way
    /// round.
    #[serde(default = "default_directions")]
    pub directions: Vec<Direction>,
    /// Whether the final norm's divisor stays that of the base run. The direct effects of all senders then add up to the
    /// difference between the runs (the source's logit difference is read with that divisor too), and `logits` is the only receiver,
    /// `logit_diff` the only metric.
    #[serde(default)]
    pub freeze_final_norm: bool,
    /// What is read at the end of the prompts.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// How cells are computed.
    #[serde(default)]
    pub run: Running,
}

fn default_senders() -> Vec<String> {
    ["embed", "heads", "mlps"].map(str::to_owned).to_vec()
}

fn default_receivers() -> Vec<String> {
    vec!["logits".to_owned()]
}

fn default_positions() -> Vec<String> {
    vec![ALL.to_owned()]
}

fn default_directions() -> Vec<Direction> {
    vec![Direction::Noising]
}

fn default_metrics() -> Vec<Metric> {
    vec![Metric::LogitDiff]
}

impl PathPatching {
    /// The direct effects of all components on the logits.
    pub fn new(pairs: PairSource) -> Self {
        PathPatching {
            pairs,
            senders: default_senders(),
            receivers: default_receivers(),
            positions: default_positions(),
            directions: default_directions(),
            freeze_final_norm: false,
            metrics: default_metrics(),
            run: Running::default(),
        }
    }

    fn graph(&self, model_shape: &ModelShape) -> Result<Graph, ProbeError> {
        Graph::read(&self.senders, &self.receivers, model_shape)
    }

    fn patch(&self, paired: &PairedRuns, group: &Group, effects: &mut Effects<Edge>) -> Result<(), ProbeError> {
        let members: Vec<&Pair> = group.members.iter().map(|&member| &paired.pairs[member]).collect();
        let positions = places::positions("positions", &self.positions, &paired.pairs)?;
        for &direction in &self.directions {
            let (base, source) = (group.run(direction.base()), group.run(direction.source()));
            let work = Work {
                probe: self,
                paired,
                group,
                direction,
                members: &members,
                positions: &positions,
                runs: Runs { model: paired.subject.model, base, source },
            };
            if self.freeze_final_norm { work.direct(effects)? } else { work.paths(effects)? }
        }
        Ok(())
    }
}

impl Probe for PathPatching {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let empty = [
            ("positions", self.positions.is_empty()),
            ("directions", self.directions.is_empty()),
            ("metrics", self.metrics.is_empty()),
        ];
        if let Some((field, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Err(ProbeError::Empty { field });
        }
        self.graph(&context.config.model_shape())?;
        self.check_frozen()?;
        causal::check(self, context)?;
        let pairs = causal::paired_runs::make_pairs(self, context)?.list;
        places::positions("positions", &self.positions, &pairs).map(|_| ())
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

impl PathPatching {
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

impl Causal for PathPatching {
    fn pairs(&self) -> &PairSource {
        &self.pairs
    }

    fn points(&self, _: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        // Queries, keys, values, streams and outputs of both runs are what every sweep needs.
        Ok(Vec::new())
    }

    fn settings(&self) -> Settings<'_> {
        self.run.settings(&self.metrics)
    }

    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let graph = self.graph(&context.config.model_shape())?;
        let every: Vec<Pair> = members.iter().map(|pair| (*pair).clone()).collect();
        let positions = places::positions("positions", &self.positions, &every)?;
        let mut cells = Vec::new();
        for (&input, heads) in graph.inputs.iter().filter(|_| !self.freeze_final_norm) {
            let point = input.point(context.config.n_layers);
            let senders = graph.senders.iter().filter(|sender| graph.has(**sender, input)).count();
            let regions: Vec<Vec<Region>> = positions
                .iter()
                .flat_map(|choice| places::position_regions(choice, Axis::Pos, &Region::all(), members))
                .map(|(_, _, regions)| regions)
                .collect();
            let change = |region: &Region| Change { point, region: region.clone(), value: Value::Source(0) };
            let each = regions.iter().map(|regions| IntervenedRun { changes: regions.iter().map(change).collect() });
            let of_one: Vec<IntervenedRun> = each.collect();
            cells.extend((0..senders * heads.len()).flat_map(|_| of_one.clone()));
        }
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
