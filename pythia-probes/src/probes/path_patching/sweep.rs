//! The edges of a configuration on one group of pairs: senders a few at a time, inputs one after another.

use pythia_core::config::NeoxConfig;
use pythia_hooks::{Axis, Region};

use super::PathPatching;
use super::direct::Direct;
use super::edges::{Edge, Input, Receiver};
use super::runs::{Delta, Runs};
use crate::engine::{Change, IntervenedRun, Scores, Value};
use crate::error::ProbeError;
use crate::families::causal::Direction;
use crate::families::causal::effect::{Effects, Sample};
use crate::families::causal::paired_runs::{Group, PairedRuns, Settings};
use crate::families::causal::places::{self, Positions};
use crate::metric::Metric;
use crate::pairs::Pair;

/// Bytes of a float32.
const F32: u64 = 4;

/// One direction of one group of pairs.
pub struct Work<'a> {
    pub probe: &'a PathPatching,
    pub paired: &'a PairedRuns<'a>,
    pub group: &'a Group,
    pub direction: Direction,
    pub members: &'a [&'a Pair],
    pub positions: &'a [Positions],
    pub runs: Runs<'a>,
}

impl Work<'_> {
    /// Every edge, by running on with what the receiver makes of it.
    ///
    /// # Errors
    /// What does not fit the model or the pairs, and reading from the device.
    pub fn paths(&self, effects: &mut Effects<Edge>) -> Result<(), ProbeError> {
        let config = self.runs.model.config();
        let graph = self.probe.graph(&config.model_shape())?;
        let (base, source) = self.group.ends(self.paired, &self.probe.metrics, self.direction.base())?;
        let tokens = self.members.len() * self.runs.base.length();
        for senders in graph.senders.chunks(self.at_once(config, tokens)) {
            let deltas = senders.iter().map(|&sender| self.runs.delta(sender)).collect::<Result<Vec<_>, _>>()?;
            for (&input, heads) in &graph.inputs {
                let sent: Vec<&Delta> = deltas.iter().filter(|delta| graph.has(delta.sender, input)).collect();
                let (edges, scores) = self.receive(input, heads, &sent)?;
                for (edge, changed) in edges.iter().zip(scores) {
                    for (index, &pair) in self.group.members.iter().enumerate() {
                        let values = base[index].iter().zip(&source[index]).zip(&changed[index]);
                        let sample = |((&base, &source), &changed)| Sample { base, source, changed };
                        effects.note(self.direction, edge, pair, values.map(sample).collect());
                    }
                }
            }
        }
        Ok(())
    }

    /// Senders whose deltas and what receivers make of them fit half the memory; the cells have the other half.
    fn at_once(&self, config: &NeoxConfig, tokens: usize) -> usize {
        // The delta, the stream with it, norm, affine, projection, the source and its copies in two tables; an MLP's neurons twice.
        let per_token = F32 * (9 * config.d_model + 2 * config.d_mlp) as u64;
        let senders = self.paired.share(self.probe.run.memory.get()) / 2 / (per_token * tokens as u64).max(1);
        usize::try_from(senders).unwrap_or(usize::MAX).max(1)
    }

    /// The edges into one input, and the metrics of each.
    fn receive(
        &self,
        input: Input,
        heads: &[Option<usize>],
        sent: &[&Delta],
    ) -> Result<(Vec<Edge>, Vec<Scores>), ProbeError> {
        if sent.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let sources = self.runs.sources(input, sent);
        let mut cells = Vec::new();
        for (index, delta) in sent.iter().enumerate() {
            for &head in heads {
                let receiver = Receiver { input, head };
                let edge = Edge { sender: delta.sender, receiver, pos: None, part: String::new() };
                cells.extend(self.cells(&edge, Value::Source(index)));
            }
        }
        let (edges, cells): (Vec<Edge>, Vec<IntervenedRun>) = cells.into_iter().unzip();
        let memory = self.probe.run.memory.get() / 2;
        let settings = Settings { memory, ..self.probe.run.settings(&self.probe.metrics) };
        let scores = self.group.scores(self.paired, &settings, self.direction.base(), &sources, &cells)?;
        Ok((edges, scores))
    }

    /// A cell per choice of positions. What a receiver makes of a token depends on that token alone, so the positions that send are
    /// those at which its input changes.
    fn cells(&self, edge: &Edge, value: Value) -> Vec<(Edge, IntervenedRun)> {
        let point = edge.receiver.input.point(self.runs.model.config().n_layers);
        let all = match edge.receiver.head {
            Some(head) => Region::all().along(Axis::Head, head as i64),
            None => Region::all(),
        };
        let regions = |choice| places::position_regions(choice, Axis::Pos, &all, self.members);
        let change = |region| Change { point, region, value };
        let cell = |(pos, part, regions): (Option<usize>, String, Vec<Region>)| {
            (Edge { pos, part, ..edge.clone() }, IntervenedRun { changes: regions.into_iter().map(change).collect() })
        };
        self.positions.iter().flat_map(regions).map(cell).collect()
    }

    /// The direct paths to the logits under the base run's final norm.
    ///
    /// # Errors
    /// What does not fit the model or the pairs, and reading from the device.
    pub fn direct(&self, effects: &mut Effects<Edge>) -> Result<(), ProbeError> {
        let graph = self.probe.graph(&self.runs.model.model_shape())?;
        let readout = self.group.readout(self.paired, &[Metric::LogitDiff], self.direction.base());
        let direct = Direct::new(&self.runs, self.members, &readout)?;
        for &sender in &graph.senders {
            for (edge, samples) in direct.edges(sender, self.positions)? {
                for (&pair, sample) in self.group.members.iter().zip(samples) {
                    effects.note(self.direction, &edge, pair, vec![sample; self.probe.metrics.len()]);
                }
            }
        }
        Ok(())
    }
}
