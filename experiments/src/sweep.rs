//! The sweep: a cell at a time, the next checkpoint read while this one computes.
//!
//! A cell that fails is noted and the sweep goes on; only what makes going on pointless, an output folder that cannot be
//! written, stops it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use burn::tensor::{DType, Device};
use pythia_core::model::GptNeoX;
use pythia_core::suite::Step;
use pythia_core::weights::Wanted;
use pythia_probes::{ProbeError, ProbeSpec, Subject, Table};

use crate::cell::RanOn;
use crate::config::{DeviceName, Precision};
use crate::folder::{Folder, FolderError};
use crate::journal::{Event, Journal};
use crate::load::{self, Job, LoadError, Loaded};
use crate::plan::{Cell, Part, Plan};
use crate::progress::Progress;
use crate::signals::WriteLock;
use crate::sink::{self, SinkError, Stamp};
use crate::study::{BOS, Model, Study};

/// Why a cell failed.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// Its checkpoint cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A probe could not answer.
    #[error("probe `{probe}`: {error}")]
    Probe {
        /// The probe's name.
        probe: String,
        /// Its own words.
        error: ProbeError,
    },
    /// A table cannot be stored.
    #[error("probe `{probe}`: {error}")]
    Sink {
        /// The probe's name.
        probe: String,
        /// What is wrong with the table.
        error: SinkError,
    },
}

impl CellError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            CellError::Load(error) => error.remedy(),
            CellError::Probe { .. } => "change the probe's settings, or leave this step out",
            CellError::Sink { .. } => "this is a mistake in the probe: please report it",
        }
    }
}

/// A cell that failed.
#[derive(Debug)]
pub struct FailedCell {
    /// The cell in a person's words.
    pub name: String,
    /// Every error of it: a missing checkpoint is one, probes fail one by one.
    pub errors: Vec<CellError>,
}

/// How a sweep went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cells that were done now.
    pub done: usize,
    /// Cells that failed, in the order of the plan.
    pub failed: Vec<FailedCell>,
}

/// Everything a sweep needs.
pub struct Sweep<'a> {
    /// What to do.
    pub study: &'a Study,
    /// In which order, and what is left.
    pub plan: &'a Plan,
    /// Where results go.
    pub folder: &'a Folder,
    /// Held while a file is put in its place.
    pub writing: WriteLock,
}

impl Sweep<'_> {
    /// Does all cells that are left.
    pub fn run(&self, journal: &mut Journal, progress: &mut Progress) -> Result<Outcome, FolderError> {
        let cells: Vec<&Cell> = self.plan.cells.iter().filter(|cell| !cell.is_done()).collect();
        let jobs: Vec<Job<'_>> = cells.iter().map(|cell| self.job(cell)).collect();
        thread::scope(|scope| {
            let loaded = load::ahead(scope, jobs);
            let mut outcome = Outcome::default();
            for cell in cells {
                let name = cell.name(self.study);
                let checkpoint = loaded.recv().unwrap_or(Err(LoadError::ReaderEnded));
                let started = Instant::now();
                match self.cell(cell, checkpoint)? {
                    Ok(weights) => {
                        let seconds = started.elapsed().as_secs_f64();
                        journal.note(&Event::Done { cell: &name, seconds, weights: &weights })?;
                        outcome.done += 1;
                    }
                    Err(errors) => {
                        for error in &errors {
                            progress.say(&format!("failed: {name}: {error}"));
                            journal.note(&Event::Failed { cell: &name, error: &error.to_string() })?;
                        }
                        outcome.failed.push(FailedCell { name: name.clone(), errors });
                    }
                }
                progress.advance(&name);
            }
            Ok(outcome)
        })
    }

    fn job(&self, cell: &Cell) -> Job<'_> {
        let reads_logits = cell.to_do().any(|part| self.study.experiment.probes[part.probe].spec.reads_logits());
        let wanted = Wanted { unembed: reads_logits, profile: self.study.experiment.machine.weights };
        Job { model: &self.study.models[cell.model], step: cell.step, wanted }
    }

    /// Computes and writes what a cell lacks; the inner error is the cell's, the outer one the folder's. The weights'
    /// hash comes back.
    fn cell(
        &self,
        cell: &Cell,
        checkpoint: Result<Loaded, LoadError>,
    ) -> Result<Result<String, Vec<CellError>>, FolderError> {
        let model = &self.study.models[cell.model];
        let loaded = match checkpoint {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Err(vec![error.into()])),
        };
        let ran_on = RanOn {
            weights_hash: loaded.hash.to_string(),
            tokenizer_hash: model.vocabulary.tokenizer_hash.clone(),
            known_bad: cell.known_bad.map(str::to_owned),
        };
        let parts: Vec<&Part> = cell.to_do().collect();
        let mut errors = Vec::new();
        for (part, table) in parts.iter().zip(self.ask(model, loaded, &parts)) {
            let bytes = table
                .map_err(|error| CellError::Probe { probe: self.probe_name(part), error })
                .and_then(|table| self.encode(cell, part, &table, &ran_on));
            match bytes {
                Ok(bytes) => self.put(&part.file, &bytes)?,
                Err(error) => errors.push(error),
            }
        }
        Ok(if errors.is_empty() { Ok(ran_on.weights_hash) } else { Err(errors) })
    }

    /// The tables of the parts. The model lives in here only, so that its memory is free before the next one comes.
    fn ask(&self, model: &Model, loaded: Loaded, parts: &[&Part]) -> Vec<Result<Table, ProbeError>> {
        let experiment = &self.study.experiment;
        let (device, dtype) = (device(experiment.machine.device), dtype(experiment.machine.dtype));
        let gpt = GptNeoX::from_params(loaded.config, loaded.params, &device, dtype);
        let probes: Vec<ProbeSpec> = parts.iter().map(|part| experiment.probes[part.probe].spec.clone()).collect();
        let subject = Subject {
            tokenizer: model.tokenizer.as_ref(),
            ..Subject::new(&gpt, model.vocabulary.size, experiment.prepend_bos, BOS)
        };
        let answers = pythia_probes::run(&probes, &subject, experiment.seed);
        answers.into_iter().map(|answer| answer.map(|mut tables| tables.remove(0))).collect()
    }

    fn encode(&self, cell: &Cell, part: &Part, table: &Table, ran_on: &RanOn) -> Result<Vec<u8>, CellError> {
        let stamp = stamp(&self.study.models[cell.model], cell.step);
        sink::parquet(&stamp, table, &part.config.metadata(ran_on))
            .map_err(|error| CellError::Sink { probe: self.probe_name(part), error })
    }

    fn put(&self, file: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let _guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.folder.write(file, bytes)
    }

    fn probe_name(&self, part: &Part) -> String {
        self.study.experiment.probes[part.probe].name.clone()
    }
}

/// A lock for the writes of a sweep.
pub fn write_lock() -> WriteLock {
    Arc::new(Mutex::new(()))
}

/// The device of that name.
pub fn device(name: DeviceName) -> Device {
    match name {
        DeviceName::Cpu => Device::flex(),
    }
}

/// The number type of that name.
pub fn dtype(name: Precision) -> DType {
    match name {
        Precision::F32 => DType::F32,
        Precision::F64 => DType::F64,
    }
}

fn stamp(model: &Model, step: Option<Step>) -> Stamp {
    let tokens_seen = step.zip(model.store.tokens_per_step()).map(|(step, each)| step.tokens_seen(each));
    Stamp {
        model: model.label.clone(),
        step: step.map(|step| i64::from(step.label())),
        // A count beyond i64 is beyond any training run.
        tokens_seen: tokens_seen.and_then(|tokens| i64::try_from(tokens).ok()),
    }
}
