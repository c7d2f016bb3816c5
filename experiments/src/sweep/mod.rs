//! The sweep: checkpoints flow through four stages, each on a thread of its own.
//!
//! `fetch` brings files into the cache, `load` hashes and decodes them, `compute` (the calling thread)
//! runs the probes, `write` encodes tables and writes files. What waits between two stages is bounded: a
//! few fetched checkpoints on disk, one decoded one in memory, one answer. A cell that fails is noted and the sweep
//! goes on; only an output folder that cannot be written stops it.

mod ask;
pub(crate) mod outcome;
pub(crate) mod refusal;
pub(crate) mod signals;
mod stages;
mod timeline;
mod write;

use std::thread;

use pythia_core::suite::Step;
use pythia_core::weights::{PartHashes, Wanted};

use crate::checkpoint::fetch::HubFetcher;
use crate::checkpoint::load::{Job, LoadError, Loaded, RunsOn};
use crate::checkpoint::source_models::SourceModels;
use crate::files::folder::{Folder, FolderError};
use crate::files::journal::Journal;
use crate::integrity::{OnBad, Seen, Verdict};
use crate::plan::key::RanOn;
use crate::plan::{Cell, Plan, PlannedSource};
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::resolved::weight_scope::{WeightScope, weights_read};
use crate::sweep::outcome::{CellError, Outcome};
use crate::sweep::signals::WriteLock;
use crate::terminal::progress::Progress;

use crate::terminal::Explained;
use stages::Arriving;
pub(crate) use timeline::{Stage, Summary, Timeline};
use write::{CellResult, ComputedCell, Writer};

/// Everything a sweep needs.
pub(crate) struct Sweep<'a> {
    /// What to do.
    pub(crate) resolved: &'a ResolvedExperiment,
    /// The order of cells, and what is left.
    pub(crate) plan: &'a Plan,
    pub(crate) runs_on: &'a RunsOn,
    pub(crate) folder: &'a Folder,
    pub(crate) pair_counts: &'a PairCounts,
    pub(crate) fetcher: &'a HubFetcher<'a>,
    /// Held while a file is written.
    pub(crate) writing: WriteLock,
    /// The times of each stage.
    pub(crate) timeline: Timeline,
}

impl Sweep<'_> {
    /// Runs all cells that are left.
    pub(crate) fn run(&self, journal: &mut Journal, progress: &mut Progress) -> Result<Outcome, FolderError> {
        let cells: Vec<&Cell> = self.plan.cells.iter().filter(|cell| !cell.is_done()).collect();
        thread::scope(|scope| {
            let jobs = self.jobs(&cells);
            let fetched = stages::fetch(scope, jobs, self.fetcher, &self.timeline);
            let ahead = self.plan.residency.loads_ahead();
            let loaded = stages::load(scope, fetched, ahead, self.fetcher, &self.timeline);
            let (answers, writer) = stages::write(scope, Writer::new(self, journal, progress));
            self.compute(&cells, &loaded, |answered| answers.send(answered).is_ok());
            // The writer ends when its sender is dropped, the other two when their receivers are.
            drop((answers, loaded));
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Computes cell after cell until `send` says that the writer has ended.
    fn compute<'c>(&self, cells: &[&'c Cell], loaded: &Arriving, send: impl Fn(ComputedCell<'c>) -> bool) {
        let (mut sources, mut model, mut seen) = (SourceModels::default(), None, self.plan.seen());
        for cell in cells {
            if model.replace(cell.model) != Some(cell.model) {
                // Dropped first: the plan counts the sources of one model at a time.
                drop(std::mem::take(&mut sources));
                sources = self.receive_sources(cell.model, loaded);
            }
            let checkpoint = loaded.next();
            let name = cell.name(self.resolved);
            let answered =
                self.timeline.time(Stage::Compute, &name, || self.cell(cell, checkpoint, &sources, &mut seen));
            if !send(answered) {
                return;
            }
        }
    }

    /// What is to be loaded, in order: the sources of a model before its first cell.
    fn jobs<'c>(&'c self, cells: &[&'c Cell]) -> Vec<Job<'c>> {
        let mut jobs = Vec::new();
        for (at, cell) in cells.iter().enumerate() {
            if at == 0 || cells[at - 1].model != cell.model {
                jobs.extend(self.sources(cell.model).map(|source| self.source_job(source)));
            }
            jobs.push(self.job(cell));
        }
        jobs
    }

    fn job<'c>(&'c self, cell: &'c Cell) -> Job<'c> {
        let probes = cell.open_probes();
        let unembed = probes.into_iter().any(|probe| self.resolved.experiment.probes[probe].spec.reads_logits());
        let wanted = Wanted { unembed, profile: self.resolved.experiment.machine.weights };
        let (model, residency) = (&self.resolved.models[cell.model], self.plan.residency);
        Job { model, step: cell.step, wanted, residency, scope: &cell.scope, runs_on: self.runs_on }
    }

    fn source_job(&self, source: &PlannedSource) -> Job<'_> {
        let wanted = Wanted { unembed: source.unembed, profile: self.resolved.experiment.machine.weights };
        let step = Some(Step::from_label(source.label));
        let (model, residency) = (&self.resolved.models[source.model], self.plan.residency);
        Job { model, step, wanted, residency, scope: WeightScope::MODEL, runs_on: self.runs_on }
    }

    fn sources(&self, model: usize) -> impl Iterator<Item = &PlannedSource> {
        self.plan.sources.iter().filter(move |source| source.model == model)
    }

    /// Receives the sources of a model, which are loaded before its cells.
    fn receive_sources(&self, model: usize, loaded: &Arriving) -> SourceModels {
        let mut sources = SourceModels::default();
        self.sources(model).for_each(|source| sources.add(source.label, loaded.next(), self.runs_on));
        sources
    }

    /// Computes what a cell lacks.
    fn cell<'c>(
        &self,
        cell: &'c Cell,
        checkpoint: Result<Loaded, LoadError>,
        sources: &SourceModels,
        seen: &mut Seen,
    ) -> ComputedCell<'c> {
        let began = self.timeline.seconds();
        let result = match checkpoint {
            Ok(loaded) => self.result(cell, loaded, sources, seen),
            Err(error) => CellResult::Failed(error.into()),
        };
        ComputedCell { cell, began, result }
    }

    fn result(&self, cell: &Cell, loaded: Loaded, sources: &SourceModels, seen: &mut Seen) -> CellResult {
        let verdict = verdict_of(cell, &loaded, seen);
        match self.resolved.experiment.store.on_bad {
            OnBad::Fail if verdict.status.is_bad() => CellResult::Failed(CellError::Bad { verdict }),
            OnBad::Skip if verdict.status.is_bad() => CellResult::Skipped(verdict),
            _ => self.answers(cell, loaded, sources, verdict),
        }
    }

    fn answers(&self, cell: &Cell, loaded: Loaded, sources: &SourceModels, verdict: Verdict) -> CellResult {
        let weights = loaded.hashes.clone();
        let (probes, errors) = self.ready(cell, sources);
        let answers = match self.ask(cell, loaded, &probes, sources) {
            Ok(answers) => answers,
            Err(error) => return CellResult::Failed(LoadError::from(error).into()),
        };
        let ran_on = |probe| self.ran_on(cell, probe, &weights, sources);
        let answers = probes.iter().zip(answers).map(|(probe, answer)| (*probe, answer, ran_on(*probe))).collect();
        CellResult::Ran { weights, verdict, answers, errors }
    }

    /// The open probes of a cell whose sources are there, and the errors of the others.
    fn ready(&self, cell: &Cell, sources: &SourceModels) -> (Vec<usize>, Vec<CellError>) {
        let (mut ready, mut errors) = (Vec::new(), Vec::new());
        for probe in cell.open_probes() {
            match sources.missing(&self.resolved.experiment.probes[probe].spec.source_checkpoints()) {
                None => ready.push(probe),
                Some((label, error)) => {
                    let (reason, remedy) = (error.to_string(), error.remedy());
                    errors.push(CellError::SourceCheckpoint { probe: self.probe_name(probe), label, reason, remedy });
                }
            }
        }
        (ready, errors)
    }

    /// Of a probe of weights only what it reads itself counts, also where more was read for other probes.
    fn ran_on(&self, cell: &Cell, probe: usize, weights: &PartHashes, sources: &SourceModels) -> RanOn {
        let (model, spec) = (&self.resolved.models[cell.model], self.spec(probe));
        let read = weights_read(spec, &model.config, weights);
        let alone = spec.weights_only(&model.config).is_some();
        RanOn {
            weights_hash: read.content.map(|hash| hash.to_string()),
            tensor_hashes: read.to_string(),
            device_name: self.runs_on.compute.name.clone().filter(|_| cell.scope.model && !alone),
            tokenizer_hash: model.vocabulary.tokenizer_hash.clone(),
            source_weights_hash: sources.hashes(&spec.source_checkpoints()),
            pairs: self.pair_counts.counts(cell.model, probe),
            positions: self.pair_counts.positions(cell.model, probe),
        }
    }

    fn probe_name(&self, probe: usize) -> String {
        self.resolved.experiment.probes[probe].name.clone()
    }
}

/// The verdict on a checkpoint after it was read. Only whole checkpoints are compared: single parts of two checkpoints
/// may be equal, such as the weights of a norm that have not moved yet.
fn verdict_of(cell: &Cell, loaded: &Loaded, seen: &mut Seen) -> Verdict {
    let before = loaded.verdict(&cell.verdict);
    let Some(weights_hash) = loaded.hashes.content.map(|hash| hash.to_string()) else { return before };
    let verdict = seen.verdict(cell.model, cell.step, &weights_hash, &before);
    if let Some(step) = cell.step {
        seen.note(cell.model, step, &weights_hash);
    }
    verdict
}

#[cfg(test)]
mod tests;
