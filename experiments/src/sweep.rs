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
use pythia_probes::{Answer, ProbeError, ProbeSpec, Subject, Table};

use crate::cell::RanOn;
use crate::config::{DeviceName, Precision};
use crate::donors::{Donor, Lent};
use crate::folder::{Folder, FolderError};
use crate::journal::{Event, Journal};
use crate::load::{self, Job, LoadError, Loaded};
use crate::outcome::{CellError, FailedCell, Outcome};
use crate::plan::{Cell, Part, Plan};
use crate::progress::Progress;
use crate::signals::WriteLock;
use crate::sink::{self, Stamp};
use crate::study::{BOS, Model, Study};
use crate::tally::Tallies;

/// Everything a sweep needs.
pub struct Sweep<'a> {
    /// What to do.
    pub study: &'a Study,
    /// In which order, and what is left.
    pub plan: &'a Plan,
    /// Where results go.
    pub folder: &'a Folder,
    /// Which pairs the probes use.
    pub tallies: &'a Tallies,
    /// Held while a file is put in its place.
    pub writing: WriteLock,
}

impl Sweep<'_> {
    /// Does all cells that are left.
    pub fn run(&self, journal: &mut Journal, progress: &mut Progress) -> Result<Outcome, FolderError> {
        let cells: Vec<&Cell> = self.plan.cells.iter().filter(|cell| !cell.is_done()).collect();
        let jobs = self.jobs(&cells);
        thread::scope(|scope| {
            let loaded = load::ahead(scope, jobs);
            let receive = || loaded.recv().unwrap_or(Err(LoadError::ReaderEnded));
            let (mut outcome, mut lent, mut model) = (Outcome::default(), Lent::default(), None);
            for cell in cells {
                if model.replace(cell.model) != Some(cell.model) {
                    // Those of the model before go first: two models' checkpoints at once were not planned.
                    drop(std::mem::take(&mut lent));
                    lent = self.borrow(cell.model, receive);
                }
                let (checkpoint, started) = (receive(), Instant::now());
                let result = self.cell(cell, checkpoint, &lent)?;
                self.note(cell, result, started.elapsed().as_secs_f64(), (journal, progress), &mut outcome)?;
            }
            Ok(outcome)
        })
    }

    /// Tells the world how a cell went.
    fn note(
        &self,
        cell: &Cell,
        result: Result<String, Vec<CellError>>,
        seconds: f64,
        (journal, progress): (&mut Journal, &mut Progress),
        outcome: &mut Outcome,
    ) -> Result<(), FolderError> {
        let name = cell.name(self.study);
        match result {
            Ok(weights) => {
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
        Ok(())
    }

    /// What is to be loaded, in order: the donors of a model stand before its first cell.
    fn jobs(&self, cells: &[&Cell]) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for (at, cell) in cells.iter().enumerate() {
            if at == 0 || cells[at - 1].model != cell.model {
                jobs.extend(self.donors(cell.model).map(|donor| self.job_of_donor(donor)));
            }
            jobs.push(self.job(cell));
        }
        jobs
    }

    fn job(&self, cell: &Cell) -> Job<'_> {
        let probes = cell.open_probes();
        let unembed = probes.into_iter().any(|probe| self.study.experiment.probes[probe].spec.reads_logits());
        let wanted = Wanted { unembed, profile: self.study.experiment.machine.weights };
        Job { model: &self.study.models[cell.model], step: cell.step, wanted }
    }

    fn job_of_donor(&self, donor: &Donor) -> Job<'_> {
        let wanted = Wanted { unembed: donor.unembed, profile: self.study.experiment.machine.weights };
        Job { model: &self.study.models[donor.model], step: Some(Step::from_label(donor.label)), wanted }
    }

    fn donors(&self, model: usize) -> impl Iterator<Item = &Donor> {
        self.plan.donors.iter().filter(move |donor| donor.model == model)
    }

    /// The donors of a model, from the same hands as its cells.
    fn borrow(&self, model: usize, receive: impl Fn() -> Result<Loaded, LoadError>) -> Lent {
        let machine = &self.study.experiment.machine;
        let (device, dtype) = (device(machine.device), dtype(machine.dtype));
        let mut lent = Lent::default();
        self.donors(model).for_each(|donor| lent.add(donor.label, receive(), &device, dtype));
        lent
    }

    /// Computes and writes what a cell lacks; the inner error is the cell's, the outer one the folder's. The weights'
    /// hash comes back.
    fn cell(
        &self,
        cell: &Cell,
        checkpoint: Result<Loaded, LoadError>,
        lent: &Lent,
    ) -> Result<Result<String, Vec<CellError>>, FolderError> {
        let loaded = match checkpoint {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Err(vec![error.into()])),
        };
        let weights_hash = loaded.hashes.content.to_string();
        let (probes, mut errors) = self.ready(cell, lent);
        for (probe, answer) in probes.iter().zip(self.ask(cell, loaded, &probes, lent)) {
            let ran_on = self.ran_on(cell, *probe, &weights_hash, lent);
            for bytes in self.encode_all(cell, *probe, answer, &ran_on) {
                match bytes {
                    Ok((file, bytes)) => self.put(file, &bytes)?,
                    Err(error) => errors.push(error),
                }
            }
        }
        Ok(if errors.is_empty() { Ok(weights_hash) } else { Err(errors) })
    }

    /// The open probes of a cell whose donors are there, and the errors of the others.
    fn ready(&self, cell: &Cell, lent: &Lent) -> (Vec<usize>, Vec<CellError>) {
        let (mut ready, mut errors) = (Vec::new(), Vec::new());
        for probe in cell.open_probes() {
            match lent.missing(&self.study.experiment.probes[probe].spec.donors()) {
                None => ready.push(probe),
                Some((label, error)) => {
                    let (reason, remedy) = (error.to_string(), error.remedy());
                    errors.push(CellError::Donor { probe: self.probe_name(probe), label, reason, remedy });
                }
            }
        }
        (ready, errors)
    }

    fn ran_on(&self, cell: &Cell, probe: usize, weights_hash: &str, lent: &Lent) -> RanOn {
        RanOn {
            weights_hash: weights_hash.to_owned(),
            tokenizer_hash: self.study.models[cell.model].vocabulary.tokenizer_hash.clone(),
            known_bad: cell.known_bad.map(str::to_owned),
            donor_weights_hash: lent.hashes(&self.study.experiment.probes[probe].spec.donors()),
            pairs: self.tallies.counts(cell.model, probe),
        }
    }

    /// The answers of probes. The model lives in here only, so that its memory is free before the next one comes.
    fn ask(&self, cell: &Cell, loaded: Loaded, probes: &[usize], lent: &Lent) -> Vec<Result<Answer, ProbeError>> {
        let (experiment, model) = (&self.study.experiment, &self.study.models[cell.model]);
        let (device, dtype) = (device(experiment.machine.device), dtype(experiment.machine.dtype));
        let gpt = GptNeoX::from_params(loaded.config, loaded.params, &device, dtype);
        let specs: Vec<ProbeSpec> = probes.iter().map(|probe| experiment.probes[*probe].spec.clone()).collect();
        let subject = Subject {
            tokenizer: model.tokenizer.as_ref(),
            files: &self.study.inputs.contents,
            donors: &lent.models,
            ..Subject::new(&gpt, model.vocabulary.size, experiment.prepend_bos, BOS)
        };
        pythia_probes::run(&specs, &subject, experiment.seed)
    }

    /// The files of a probe that the cell lacks, as bytes; a probe that failed has one error for all of them.
    fn encode_all<'c>(
        &self,
        cell: &'c Cell,
        probe: usize,
        answer: Result<Answer, ProbeError>,
        ran_on: &RanOn,
    ) -> Vec<Result<(&'c Path, Vec<u8>), CellError>> {
        let tables = match answer {
            Ok(tables) => tables,
            Err(error) => return vec![Err(CellError::Probe { probe: self.probe_name(probe), error })],
        };
        let encode = |part: &'c Part| {
            let missing = || CellError::NoTable { probe: self.probe_name(probe), table: part.table };
            let table = tables.get(part.table).ok_or_else(missing)?;
            Ok((part.file.as_path(), self.encode(cell, part, table, ran_on)?))
        };
        cell.to_do().filter(|part| part.probe == probe).map(encode).collect()
    }

    fn encode(&self, cell: &Cell, part: &Part, table: &Table, ran_on: &RanOn) -> Result<Vec<u8>, CellError> {
        let stamp = stamp(&self.study.models[cell.model], cell.step);
        sink::parquet(&stamp, table, &part.config.metadata(ran_on))
            .map_err(|error| CellError::Sink { probe: self.probe_name(part.probe), error })
    }

    fn put(&self, file: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let _guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.folder.write(file, bytes)
    }

    fn probe_name(&self, probe: usize) -> String {
        self.study.experiment.probes[probe].name.clone()
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
