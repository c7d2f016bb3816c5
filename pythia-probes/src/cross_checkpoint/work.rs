//! One group of prompts under two checkpoints.

use pythia_core::config::NeoxConfig;
use pythia_core::model::{GptNeoX, Residual};
use pythia_hooks::{ActivationCache, HookError, Region, Site};

use super::CrossCheckpoint;
use super::parts::{self, Part};
use crate::causal::Direction;
use crate::causal::bench::{Bench, Group, Settings, Side};
use crate::causal::effect::{Effects, Label, Sample};
use crate::causal::places::{self, Place};
use crate::engine::{Cell, Donor, Engine, Run, Scores, Value};
use crate::error::ProbeError;
use crate::metric::Reference;
use crate::pairs::Pair;
use crate::table::{Cell as Entry, Kind};

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
    fn header() -> Vec<(&'static str, Kind)> {
        // The last column of a place is the set of heads, of which there are none here.
        let place = Place::header().into_iter().filter(|(name, _)| *name != "set");
        [("donor_step", Kind::Int), ("what", Kind::Text)].into_iter().chain(place).collect()
    }

    fn cells(&self) -> Vec<Entry> {
        let place = self.place.cells().into_iter().take(Self::header().len() - 2);
        [self.step.into(), self.what.into()].into_iter().chain(place).collect()
    }
}

/// One group of prompts under both checkpoints.
pub struct Work<'a> {
    probe: &'a CrossCheckpoint,
    bench: &'a Bench<'a>,
    group: &'a Group,
    donor: &'a GptNeoX,
    run: Run,
}

impl<'a> Work<'a> {
    /// Runs the other checkpoint on the group's clean prompts.
    pub fn new(probe: &'a CrossCheckpoint, bench: &'a Bench<'a>, group: &'a Group) -> Result<Self, ProbeError> {
        let donor = probe.model(bench)?;
        let points = places::points(&probe.hooks, &donor.model_shape())?;
        let run = Run::of(donor, group.clean.tokens().to_vec(), points)?;
        Ok(Work { probe, bench, group, donor, run })
    }

    /// Everything that is put into the checkpoint, with the metrics of every prompt.
    fn all(&self) -> Result<Vec<(Put, Scores)>, ProbeError> {
        let put = |what| move |(place, scores)| (Put { step: self.probe.donor, what, place }, scores);
        let activations = self.activations()?.into_iter().map(put("activation"));
        let weights = self.weights()?.into_iter().map(put("weights"));
        Ok(activations.chain(weights).collect())
    }

    fn activations(&self) -> Result<Vec<(Place, Scores)>, ProbeError> {
        let config = self.bench.subject.model.config();
        let members: Vec<&Pair> = self.group.members.iter().map(|&member| &self.bench.pairs[member]).collect();
        let cells = self.probe.activations().places_and_cells(&config.model_shape(), config.d_mlp, &members)?;
        let (places, cells): (Vec<Place>, Vec<Cell>) = cells.into_iter().unzip();
        let scores = self.scores(&[self.run.seen().clone()], &cells, self.probe.run.memory.get())?;
        Ok(places.into_iter().zip(scores).collect())
    }

    fn weights(&self) -> Result<Vec<(Place, Scores)>, ProbeError> {
        let config = self.bench.subject.model.config();
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
            self.bench.share(self.probe.run.memory.get()) / 2 / (2 * F32 * config.d_model as u64 * tokens).max(1);
        usize::try_from(parts).unwrap_or(usize::MAX).max(1)
    }

    /// Parts with the other checkpoint's weights. The rest of the model sees nothing of a part but what it writes, and what it reads
    /// has not changed, so one block gives its output and the sweep does the rest.
    fn written(&self, parts: &[Part]) -> Result<Vec<Scores>, ProbeError> {
        let donor = |part: &Part| -> Result<Donor, ProbeError> {
            let (layer, point) = (part.layer(), part.place().point);
            let stream = self.group.clean.get(Site::ResidPre.at(layer)).cloned();
            let stream = stream.and_then(|stream| stream.into_tensor::<3>());
            let stream = stream.ok_or(HookError::NotCaptured { point: Site::ResidPre.at(layer) })?;
            let mut cache = ActivationCache::of([point]);
            let model = part.exchanged(self.bench.subject.model, self.donor);
            model.advance(Residual { layer, stream }, layer + 1, &mut cache);
            Ok(cache.finish()?)
        };
        let donors = parts.iter().map(donor).collect::<Result<Vec<_>, _>>()?;
        let cell = |(index, part): (usize, &Part)| Cell::of(part.place().point, Region::all(), Value::Donor(index));
        let cells: Vec<Cell> = parts.iter().enumerate().map(cell).collect();
        self.scores(&donors, &cells, self.probe.run.memory.get() / 2)
    }

    /// The whole model run with a part of the other checkpoint.
    fn in_full(&self, part: Part) -> Result<Scores, ProbeError> {
        let model = part.exchanged(self.bench.subject.model, self.donor);
        self.ends(&model, &Run::of(&model, self.group.clean.tokens().to_vec(), [])?)
    }

    fn scores(&self, donors: &[Donor], cells: &[Cell], memory: u64) -> Result<Vec<Scores>, ProbeError> {
        let settings = Settings { memory, ..self.probe.run.settings(&self.probe.metrics) };
        self.group.scores(self.bench, &settings, Side::Clean, donors, cells)
    }

    /// The metrics of a run, compared with the base run where a metric compares.
    fn ends(&self, model: &GptNeoX, run: &Run) -> Result<Scores, ProbeError> {
        let readout = self.group.readout(self.bench, &self.probe.metrics, Side::Clean);
        let base = readout.rows(self.group.clean.end());
        let all: Vec<usize> = (0..self.group.members.len()).collect();
        let reference = Reference { model: self.bench.subject.model, rows: &base };
        readout.read_against(model, readout.rows(run.end()), &all, reference)
    }

    /// Notes the effects of everything that is put into the checkpoint.
    pub fn note(&self, effects: &mut Effects<Put>) -> Result<(), ProbeError> {
        let base = self.ends(self.bench.subject.model, &self.group.clean)?;
        let donor = self.ends(self.donor, &self.run)?;
        for (put, changed) in self.all()? {
            for (index, &pair) in self.group.members.iter().enumerate() {
                let values = base[index].iter().zip(&donor[index]).zip(&changed[index]);
                let sample = |((&base, &donor), &changed)| Sample { base, donor, changed };
                effects.note(Direction::Noising, &put, pair, values.map(sample).collect());
            }
        }
        Ok(())
    }
}
