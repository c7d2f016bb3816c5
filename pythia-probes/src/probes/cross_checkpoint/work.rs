//! One group of prompts under two checkpoints.

use pythia_core::config::NeoxConfig;
use pythia_core::model::{GptNeoX, Residual};
use pythia_hooks::{ActivationCache, HookError, Region, Site};

use super::CrossCheckpoint;
use super::parts::{self, Part};
use crate::engine::{Engine, IntervenedRun, Run, Scores, SourceActivations, Value};
use crate::error::ProbeError;
use crate::families::causal::Direction;
use crate::families::causal::effect::{Effects, Label, Sample};
use crate::families::causal::paired_runs::{Group, PairedRuns, Settings, Side};
use crate::families::causal::places::{self, Place};
use crate::metric::Reference;
use crate::pairs::Pair;
use crate::table::{ColumnKind, TableValue as Entry};

/// Bytes of a float32.
const F32: u64 = 4;

/// What is put into the checkpoint, as it stands in tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Put {
    pub step: u32,
    pub what: &'static str,
    pub place: Place,
}

impl Label for Put {
    fn header() -> Vec<(&'static str, ColumnKind)> {
        // The last column of a place is the set of heads, of which there are none here.
        let place = Place::header().into_iter().filter(|(name, _)| *name != "set");
        [("source_step", ColumnKind::Int), ("what", ColumnKind::Text)].into_iter().chain(place).collect()
    }

    fn cells(&self) -> Vec<Entry> {
        let place = self.place.cells().into_iter().take(Self::header().len() - 2);
        [self.step.into(), self.what.into()].into_iter().chain(place).collect()
    }
}

/// One group of prompts under both checkpoints.
pub struct Work<'a> {
    probe: &'a CrossCheckpoint,
    paired: &'a PairedRuns<'a>,
    group: &'a Group,
    source: &'a GptNeoX,
    run: Run,
}

impl<'a> Work<'a> {
    /// Runs the other checkpoint on the group's clean prompts.
    pub fn new(probe: &'a CrossCheckpoint, paired: &'a PairedRuns<'a>, group: &'a Group) -> Result<Self, ProbeError> {
        let source = probe.model(paired)?;
        let points = places::points(&probe.hooks, &source.model_shape())?;
        let run = Run::of(source, group.clean.tokens().to_vec(), points)?;
        Ok(Work { probe, paired, group, source, run })
    }

    /// Everything that is put into the checkpoint, with the metrics of every prompt.
    fn all(&self) -> Result<Vec<(Put, Scores)>, ProbeError> {
        let put = |what| move |(place, scores)| (Put { step: self.probe.source, what, place }, scores);
        let activations = self.activations()?.into_iter().map(put("activation"));
        let weights = self.weights()?.into_iter().map(put("weights"));
        Ok(activations.chain(weights).collect())
    }

    fn activations(&self) -> Result<Vec<(Place, Scores)>, ProbeError> {
        let config = self.paired.subject.model.config();
        let members: Vec<&Pair> = self.group.members.iter().map(|&member| &self.paired.pairs[member]).collect();
        let cells = self.probe.activations().places_and_cells(&config.model_shape(), config.d_mlp, &members)?;
        let (places, cells): (Vec<Place>, Vec<IntervenedRun>) = cells.into_iter().unzip();
        let scores = self.scores(&[self.run.seen().clone()], &cells, self.probe.run.memory.get())?;
        Ok(places.into_iter().zip(scores).collect())
    }

    fn weights(&self) -> Result<Vec<(Place, Scores)>, ProbeError> {
        let config = self.paired.subject.model.config();
        let parts = parts::parts(&self.probe.weights, &config.model_shape())?;
        let mut found = Vec::with_capacity(parts.len());
        for parts in parts.chunks(self.at_once(config)) {
            let scores = match self.probe.run.engine {
                Engine::Cone => self.written(parts)?,
                Engine::Naive => parts.iter().map(|&part| self.in_full(part)).collect::<Result<_, _>>()?,
            };
            found.extend(parts.iter().map(|part| part.place()).zip(scores));
        }
        Ok(found)
    }

    /// Parts whose outputs fit half the memory; the cells have the other half.
    fn at_once(&self, config: &NeoxConfig) -> usize {
        let tokens = (self.group.members.len() * self.run.length()) as u64;
        // The output, and a copy in the table of all outputs.
        let parts =
            self.paired.share(self.probe.run.memory.get()) / 2 / (2 * F32 * config.d_model as u64 * tokens).max(1);
        usize::try_from(parts).unwrap_or(usize::MAX).max(1)
    }

    /// Parts with the other checkpoint's weights. The rest of the model sees nothing of a part but what it writes, and what it reads
    /// has not changed, so one block gives its output and the sweep does the rest.
    fn written(&self, parts: &[Part]) -> Result<Vec<Scores>, ProbeError> {
        let source = |part: &Part| -> Result<SourceActivations, ProbeError> {
            let (layer, point) = (part.layer(), part.place().point);
            let stream = self.group.clean.get(Site::ResidPre.at(layer)).cloned();
            let stream = stream.and_then(|stream| stream.into_tensor::<3>());
            let stream = stream.ok_or(HookError::NotCaptured { point: Site::ResidPre.at(layer) })?;
            let mut cache = ActivationCache::of([point]);
            let model = part.exchanged(self.paired.subject.model, self.source);
            model.advance(Residual { layer, stream }, layer + 1, &mut cache);
            Ok(cache.finish()?)
        };
        let source_checkpoints = parts.iter().map(source).collect::<Result<Vec<_>, _>>()?;
        let cell =
            |(index, part): (usize, &Part)| IntervenedRun::of(part.place().point, Region::all(), Value::Source(index));
        let cells: Vec<IntervenedRun> = parts.iter().enumerate().map(cell).collect();
        self.scores(&source_checkpoints, &cells, self.probe.run.memory.get() / 2)
    }

    /// The whole model run with a part of the other checkpoint.
    fn in_full(&self, part: Part) -> Result<Scores, ProbeError> {
        let model = part.exchanged(self.paired.subject.model, self.source);
        self.ends(&model, &Run::of(&model, self.group.clean.tokens().to_vec(), [])?)
    }

    fn scores(
        &self,
        source_checkpoints: &[SourceActivations],
        cells: &[IntervenedRun],
        memory: u64,
    ) -> Result<Vec<Scores>, ProbeError> {
        let settings = Settings { memory, ..self.probe.run.settings(&self.probe.metrics) };
        self.group.scores(self.paired, &settings, Side::Clean, source_checkpoints, cells)
    }

    /// The metrics of a run, compared with the base run where a metric compares.
    fn ends(&self, model: &GptNeoX, run: &Run) -> Result<Scores, ProbeError> {
        let readout = self.group.readout(self.paired, &self.probe.metrics, Side::Clean);
        let base = readout.rows(self.group.clean.end());
        let all: Vec<usize> = (0..self.group.members.len()).collect();
        let reference = Reference { model: self.paired.subject.model, rows: &base };
        readout.read_against(model, readout.rows(run.end()), &all, reference)
    }

    /// Notes the effects of everything that is put into the checkpoint.
    pub fn note(&self, effects: &mut Effects<Put>) -> Result<(), ProbeError> {
        let base = self.ends(self.paired.subject.model, &self.group.clean)?;
        let source = self.ends(self.source, &self.run)?;
        for (put, changed) in self.all()? {
            for (index, &pair) in self.group.members.iter().enumerate() {
                let values = base[index].iter().zip(&source[index]).zip(&changed[index]);
                let sample = |((&base, &source), &changed)| Sample { base, source, changed };
                effects.note(Direction::Noising, &put, pair, values.map(sample).collect());
            }
        }
        Ok(())
    }
}
