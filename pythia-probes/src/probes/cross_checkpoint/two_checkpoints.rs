//! One group of prompts under two checkpoints.

use pythia_core::config::NeoxConfig;
use pythia_core::model::{GptNeoX, Residual};
use pythia_hooks::{ActivationCache, HookError, Region, Site};

use super::CrossCheckpoint;
use super::parts::{self, Part};
use crate::engine::{
    Engine, EngineInput, F32_BYTES, IntervenedRun, Outcome, Replacement, Run, Scores, SourceActivations,
};
use crate::error::ProbeError;
use crate::families::causal::effect::{Effects, Label};
use crate::families::causal::paired_runs::{Group, PairedRuns, ScoreSettings, Side};
use crate::families::causal::places::{self, Place};
use crate::families::causal::{CausalProbe, Direction};
use crate::metric::Reference;
use crate::pairs::Pair;
use crate::table::TableValue;

/// The column `what` of weights.
const WEIGHTS: &str = "weights";

/// An activation or a component of the source checkpoint that is put into this one, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Put {
    pub step: u32,
    pub what: &'static str,
    pub place: Place,
}

impl Label for Put {
    fn values(&self, pos: Option<usize>) -> Vec<TableValue> {
        // The last values of a place are a named set of heads and a window of layers, of which there are none here.
        let mut place = self.place.values(pos);
        place.truncate(place.len() - 2);
        [self.step.into(), self.what.into()].into_iter().chain(place).collect()
    }

    fn pos_in(&self, pair: &Pair) -> Option<usize> {
        // Of weights the name is the component's.
        if self.what == WEIGHTS { None } else { self.place.pos_in(pair) }
    }
}

/// One group of clean prompts, run by both checkpoints.
pub(super) struct TwoCheckpoints<'a> {
    probe: &'a CrossCheckpoint,
    runs: &'a PairedRuns<'a>,
    group: &'a Group,
    source: &'a GptNeoX,
    /// The run of the source checkpoint.
    source_run: Run,
}

impl<'a> TwoCheckpoints<'a> {
    /// Runs the source checkpoint on the group's clean prompts.
    pub(super) fn new(
        probe: &'a CrossCheckpoint,
        runs: &'a PairedRuns<'a>,
        group: &'a Group,
    ) -> Result<Self, ProbeError> {
        let source = probe.model(runs)?;
        let points = places::points(&probe.hooks, &source.model_shape())?;
        let source_run = Run::of(source, group.clean.tokens().to_vec(), points)?;
        Ok(TwoCheckpoints { probe, runs, group, source, source_run })
    }

    /// Everything that is put into the checkpoint, with the metrics of every prompt.
    fn all(&self) -> Result<Vec<(Put, Outcome)>, ProbeError> {
        let put = |what| move |(place, outcome)| (Put { step: self.probe.source_step, what, place }, outcome);
        let activations = self.activations()?.into_iter().map(put("activation"));
        let weights = self.weights()?.into_iter().map(put(WEIGHTS));
        Ok(activations.chain(weights).collect())
    }

    fn activations(&self) -> Result<Vec<(Place, Outcome)>, ProbeError> {
        let (config, pairs) = (self.runs.subject.model.config(), self.group.pairs(self.runs));
        let placed = self.probe.activations().placed_interventions(&config.model_shape(), config.d_mlp, &pairs)?;
        let (places, interventions): (Vec<Place>, Vec<IntervenedRun>) = placed.into_iter().unzip();
        let outcomes = self.outcomes(&[self.source_run.seen().clone()], &interventions, self.probe.run.memory.get())?;
        Ok(places.into_iter().zip(outcomes).collect())
    }

    fn weights(&self) -> Result<Vec<(Place, Outcome)>, ProbeError> {
        let config = self.runs.subject.model.config();
        let parts = parts::parts(&self.probe.weights, &config.model_shape())?;
        let mut found = Vec::with_capacity(parts.len());
        for parts in parts.chunks(self.at_once(config)) {
            let outcomes = match self.probe.run.engine {
                Engine::Cone => self.written(parts)?,
                Engine::Naive => parts.iter().map(|&part| self.in_full(part)).collect::<Result<_, _>>()?,
            };
            found.extend(parts.iter().map(|part| part.place()).zip(outcomes));
        }
        Ok(found)
    }

    /// Parts whose outputs fit the memory.
    fn at_once(&self, config: &NeoxConfig) -> usize {
        let tokens = (self.group.members.len() * self.source_run.length()) as u64;
        // The output, and a copy in the table of all outputs.
        self.runs.at_once(self.probe.run.memory.get(), 2 * F32_BYTES * config.d_model as u64 * tokens)
    }

    /// The metrics with the source checkpoint's weights in each part. The rest of the model reads nothing of a part
    /// but its output, and the part's input is the base run's, so that one block gives the output and the engine does
    /// the rest.
    fn written(&self, parts: &[Part]) -> Result<Vec<Outcome>, ProbeError> {
        let outputs = parts.iter().map(|&part| self.output(part)).collect::<Result<Vec<_>, _>>()?;
        let patch = |(index, part): (usize, &Part)| {
            IntervenedRun::of(part.place().point, Region::all(), Replacement::Source(index))
        };
        let interventions: Vec<IntervenedRun> = parts.iter().enumerate().map(patch).collect();
        self.outcomes(&outputs, &interventions, self.probe.run.memory.get() / 2)
    }

    /// What a part writes with the source checkpoint's weights.
    fn output(&self, part: Part) -> Result<SourceActivations, ProbeError> {
        let (layer, point) = (part.layer(), Site::ResidPre.at(part.layer()));
        let stream = self.group.clean.get(point).cloned().and_then(|stream| stream.into_tensor::<3>());
        let stream = stream.ok_or(HookError::NotCaptured { point })?;
        let mut cache = ActivationCache::of([part.place().point]);
        let model = part.exchanged(self.runs.subject.model, self.source);
        model.advance(Residual { layer, stream }, layer + 1, &mut cache);
        Ok(cache.finish()?)
    }

    /// The metrics of the whole model, run with a part of the source checkpoint.
    fn in_full(&self, part: Part) -> Result<Outcome, ProbeError> {
        let model = part.exchanged(self.runs.subject.model, self.source);
        let run = Run::of(&model, self.group.clean.tokens().to_vec(), [])?;
        let readout = self.group.readout(self.runs, &self.probe.metrics, Side::Clean);
        let input = EngineInput { model: &model, base: &self.group.clean, sources: &[], readout: &readout, memory: 0 };
        let changed = input.changed(readout.rows(run.end()))?;
        Ok(Outcome { scores: self.ends(&model, &run)?, changed })
    }

    fn outcomes(
        &self,
        sources: &[SourceActivations],
        interventions: &[IntervenedRun],
        memory: u64,
    ) -> Result<Vec<Outcome>, ProbeError> {
        let settings = ScoreSettings { memory, ..self.probe.common().scores() };
        self.group.outcomes(self.runs, &settings, Side::Clean, sources, interventions)
    }

    /// The metrics of a run, compared with the base run where a metric compares.
    fn ends(&self, model: &GptNeoX, run: &Run) -> Result<Scores, ProbeError> {
        let readout = self.group.readout(self.runs, &self.probe.metrics, Side::Clean);
        let base = readout.rows(self.group.clean.end());
        let all: Vec<usize> = (0..self.group.members.len()).collect();
        let reference = Reference { model: self.runs.subject.model, rows: &base };
        readout.read_against(model, readout.rows(run.end()), &all, reference)
    }

    /// Notes the effects of everything that is put into the checkpoint.
    pub(super) fn note(&self, effects: &mut Effects<'_, Put>) -> Result<(), ProbeError> {
        let base = self.ends(self.runs.subject.model, &self.group.clean)?;
        let source = self.ends(self.source, &self.source_run)?;
        let (labels, patched): (Vec<Put>, Vec<Outcome>) = self.all()?.into_iter().unzip();
        effects.note_group(Direction::Noising, &labels, &self.group.members, [&base, &source], &patched);
        Ok(())
    }
}
