//! The edges of a configuration on one group of pairs: a few senders at a time, one input after another.

use pythia_core::config::NeoxConfig;
use pythia_hooks::{Axis, Region};

use super::PathPatching;
use super::deltas::{BaseAndSource, Delta};
use super::direct::Direct;
use super::edges::{Edge, Input, Receiver};
use crate::engine::{F32_BYTES, IntervenedRun, Outcome, Replacement};
use crate::error::ProbeError;
use crate::families::causal::effect::Effects;
use crate::families::causal::paired_runs::{Group, PairedRuns, ScoreSettings};
use crate::families::causal::places::{self, Positions};
use crate::families::causal::{CausalProbe, Direction};
use crate::metric::Metric;
use crate::pairs::Pair;

/// One direction of patching on one group of pairs.
pub(super) struct DirectedGroup<'a> {
    pub probe: &'a PathPatching,
    pub runs: &'a PairedRuns<'a>,
    pub group: &'a Group,
    pub direction: Direction,
    pub pairs: Vec<&'a Pair>,
    pub positions: &'a [Positions],
    pub ends: BaseAndSource<'a>,
}

impl DirectedGroup<'_> {
    /// Notes the effect of every edge, by running on with what the receiver computes from the sender's change.
    ///
    /// # Errors
    /// What does not fit the model or the pairs, and reading from the device.
    pub(super) fn paths(&self, effects: &mut Effects<'_, Edge>) -> Result<(), ProbeError> {
        let config = self.ends.model.config();
        let graph = self.probe.graph(&config.model_shape())?;
        let [base, source] = self.group.ends(self.runs, &self.probe.metrics, self.direction.base())?;
        let tokens = self.pairs.len() * self.ends.base.length();
        for senders in graph.senders.chunks(self.at_once(config, tokens)) {
            let deltas = senders.iter().map(|&sender| self.ends.delta(sender)).collect::<Result<Vec<_>, _>>()?;
            for (&input, heads) in &graph.inputs {
                let sent: Vec<&Delta> = deltas.iter().filter(|delta| graph.has(delta.sender, input)).collect();
                let (edges, patched) = self.receive(input, heads, &sent)?;
                effects.note_group(self.direction, &edges, &self.group.members, [&base, &source], &patched);
            }
        }
        Ok(())
    }

    /// The number of senders whose deltas, with what receivers compute from them, fit the memory.
    fn at_once(&self, config: &NeoxConfig, tokens: usize) -> usize {
        // The delta, the stream with it, norm, affine, projection, the source and its copies in two tables; an MLP's
        // neurons twice.
        let per_token = F32_BYTES * (9 * config.d_model + 2 * config.d_mlp) as u64;
        self.runs.at_once(self.probe.run.memory.get(), per_token * tokens as u64)
    }

    /// The edges into one input, and the metrics of each.
    fn receive(
        &self,
        input: Input,
        heads: &[Option<usize>],
        sent: &[&Delta],
    ) -> Result<(Vec<Edge>, Vec<Outcome>), ProbeError> {
        if sent.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let sources = self.ends.sources(input, sent);
        let mut interventions = Vec::new();
        for (index, delta) in sent.iter().enumerate() {
            for &head in heads {
                let receiver = Receiver { input, head };
                let edge = Edge { sender: delta.sender, receiver, pos: None, position_name: String::new() };
                interventions.extend(self.at_positions(&edge, Replacement::Source(index)));
            }
        }
        let (edges, interventions): (Vec<Edge>, Vec<IntervenedRun>) = interventions.into_iter().unzip();
        let memory = self.probe.run.memory.get() / 2;
        let settings = ScoreSettings { memory, ..self.probe.common().scores() };
        let outcomes = self.group.outcomes(self.runs, &settings, self.direction.base(), &sources, &interventions)?;
        Ok((edges, outcomes))
    }

    /// An intervention per choice of positions. What a receiver computes for a token depends on that token alone, so
    /// the positions that send are those at which the receiver's input changes.
    fn at_positions(&self, edge: &Edge, replacement: Replacement) -> Vec<(Edge, IntervenedRun)> {
        let point = edge.receiver.input.point(self.ends.model.config().n_layers);
        let all = match edge.receiver.head {
            Some(head) => Region::all().along(Axis::Head, head as i64),
            None => Region::all(),
        };
        let patch = |(pos, position_name, regions): (Option<usize>, String, Vec<Region>)| {
            (Edge { pos, position_name, ..edge.clone() }, IntervenedRun::at(point, &regions, replacement))
        };
        places::regions_at(self.positions, Axis::Pos, &all, &self.pairs).into_iter().map(patch).collect()
    }

    /// Notes the effects of the direct paths to the logits under the base run's final norm.
    ///
    /// # Errors
    /// What does not fit the model or the pairs, and reading from the device.
    pub(super) fn direct(&self, effects: &mut Effects<'_, Edge>) -> Result<(), ProbeError> {
        let graph = self.probe.graph(&self.ends.model.model_shape())?;
        let readout = self.group.readout(self.runs, &[Metric::LogitDiff], self.direction.base());
        let direct = Direct::new(&self.ends, &self.pairs, &readout)?;
        for &sender in &graph.senders {
            for (edge, samples) in direct.edges(sender, self.positions)? {
                for (&pair, sample) in self.group.members.iter().zip(samples) {
                    effects.note(
                        self.direction,
                        &edge,
                        pair,
                        vec![sample; self.probe.metrics.len()],
                        sample.changed != sample.base,
                    );
                }
            }
        }
        Ok(())
    }
}
