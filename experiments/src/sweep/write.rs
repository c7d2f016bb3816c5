//! The last stage: tables → bytes → files, and a journal line for each cell.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;

use pythia_core::suite::Step;
use pythia_core::weights::PartHashes;
use pythia_probes::{Answer, ProbeError, Table};

use super::Sweep;
use super::timeline::Stage;
use crate::files::folder::FolderError;
use crate::files::journal::{Event, Journal};
use crate::files::sink::{self, Stamp};
use crate::files::version;
use crate::integrity::{Row, Verdict};
use crate::plan::key::RanOn;
use crate::plan::{Cell, Part};
use crate::resolved::Model;
use crate::sweep::outcome::{CellError, FailedCell, Outcome};
use crate::terminal::progress::Progress;

/// A cell after the compute stage.
pub(super) struct ComputedCell<'c> {
    pub(crate) cell: &'c Cell,
    /// When it began, in seconds of the timeline.
    pub(crate) began: f64,
    pub(crate) result: CellResult,
}

/// The result of a cell.
pub(super) enum CellResult {
    /// Its probes were asked.
    Ran {
        /// The weights they ran on.
        weights: PartHashes,
        verdict: Verdict,
        /// Each probe with its answer and what it ran on.
        answers: Vec<(usize, Result<Answer, ProbeError>, RanOn)>,
        /// Why other probes were not asked.
        errors: Vec<CellError>,
    },
    /// Its checkpoint is bad, and bad ones are left out.
    Skipped(Verdict),
    /// It has no checkpoint that can be used.
    Failed(CellError),
}

/// Writes the results of a sweep.
pub(super) struct Writer<'a> {
    sweep: &'a Sweep<'a>,
    journal: &'a mut Journal,
    progress: &'a mut Progress,
    outcome: Outcome,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(sweep: &'a Sweep<'_>, journal: &'a mut Journal, progress: &'a mut Progress) -> Self {
        Self { sweep, journal, progress, outcome: Outcome::default() }
    }

    /// Writes until the compute stage ends. A folder that cannot be written ends the sweep.
    pub(crate) fn run(mut self, answers: Receiver<ComputedCell<'_>>) -> Result<Outcome, FolderError> {
        for cell in &self.sweep.plan.left_out {
            self.row(cell, &cell.verdict, None)?;
        }
        for ComputedCell { cell, began, result } in answers {
            let name = cell.name(self.sweep.resolved);
            let timeline = &self.sweep.timeline;
            timeline.time(Stage::Write, &name, || self.settle(cell, &name, began, result))?;
            self.progress.advance(&name);
        }
        Ok(self.outcome)
    }

    fn settle(&mut self, cell: &Cell, name: &str, began: f64, result: CellResult) -> Result<(), FolderError> {
        match result {
            CellResult::Failed(error) => {
                if let CellError::Bad { verdict } = &error {
                    self.row(cell, verdict, None)?;
                }
                self.failed(name, vec![error])
            }
            CellResult::Skipped(verdict) => self.skipped(cell, name, verdict),
            CellResult::Ran { weights, verdict, answers, errors } => {
                self.row(cell, &verdict, Some(&weights))?;
                let errors = self.put_all(cell, &verdict, answers, errors)?;
                if !errors.is_empty() {
                    return self.failed(name, errors);
                }
                let seconds = self.sweep.timeline.seconds() - began;
                self.outcome.done += 1;
                let hash = weights.content.map(|hash| hash.to_string());
                self.journal.note(&Event::Done { cell: name, seconds, weights: hash.as_deref() })
            }
        }
    }

    fn failed(&mut self, name: &str, errors: Vec<CellError>) -> Result<(), FolderError> {
        for error in &errors {
            self.progress.print(&format!("failed: {name}: {error}"));
            self.journal.note(&Event::Failed { cell: name, error: &error.to_string() })?;
        }
        self.outcome.failed.push(FailedCell { name: name.to_owned(), errors });
        Ok(())
    }

    fn skipped(&mut self, cell: &Cell, name: &str, verdict: Verdict) -> Result<(), FolderError> {
        self.progress.print(&format!("left out: {name}: {verdict}"));
        self.journal.note(&Event::LeftOut { cell: name, reason: &verdict.to_string() })?;
        self.outcome.skipped += 1;
        self.row(cell, &verdict, None)
    }

    /// The cell's row in the table of checkpoints. It comes before the cell's tables, so that a cell whose tables are
    /// all there has its row too, however a run ended.
    fn row(&self, cell: &Cell, verdict: &Verdict, weights: Option<&PartHashes>) -> Result<(), FolderError> {
        let model = &self.sweep.resolved.models[cell.model];
        let (row, file) = (Row { verdict, weights }, Row::file(&model.label, cell.step));
        // If only some tensors were read now, a row from a whole read before says more and stays.
        if weights.is_some_and(|weights| weights.content.is_none()) && self.has_row(&file) {
            return Ok(());
        }
        self.put(&file, &row.parquet(&stamp(model, cell.step, verdict)))
    }

    /// Whether there is a row of this version; one of another version is always replaced.
    fn has_row(&self, file: &Path) -> bool {
        let metadata = sink::metadata(&self.sweep.folder.root().join(file));
        metadata.is_ok_and(|metadata| metadata.as_ref().is_some_and(version::is_current))
    }

    /// Writes the files that the cell lacks, and returns the errors of probes and encoding.
    fn put_all(
        &self,
        cell: &Cell,
        verdict: &Verdict,
        answers: Vec<(usize, Result<Answer, ProbeError>, RanOn)>,
        mut errors: Vec<CellError>,
    ) -> Result<Vec<CellError>, FolderError> {
        for (probe, answer, ran_on) in answers {
            for bytes in self.encode_all(cell, verdict, probe, answer, &ran_on) {
                match bytes {
                    Ok((file, bytes)) => self.put(file, &bytes)?,
                    Err(error) => errors.push(error),
                }
            }
        }
        Ok(errors)
    }

    /// The files of a probe that the cell lacks, as bytes; a probe that failed has one error for all of them.
    fn encode_all<'c>(
        &self,
        cell: &'c Cell,
        verdict: &Verdict,
        probe: usize,
        answer: Result<Answer, ProbeError>,
        ran_on: &RanOn,
    ) -> Vec<Result<(&'c Path, Vec<u8>), CellError>> {
        let name = || self.sweep.probe_name(probe);
        let tables = match answer {
            Ok(tables) => tables,
            Err(error) => return vec![Err(CellError::Probe { probe: name(), error })],
        };
        let encode = |part: &'c Part| {
            let missing = || CellError::NoTable { probe: name(), table: part.table };
            let table = tables.get(part.table).ok_or_else(missing)?;
            Ok((part.file.as_path(), self.encode(cell, verdict, part, table, ran_on)?))
        };
        cell.to_do().filter(|part| part.probe == probe).map(encode).collect()
    }

    fn encode(
        &self,
        cell: &Cell,
        verdict: &Verdict,
        part: &Part,
        table: &Table,
        ran_on: &RanOn,
    ) -> Result<Vec<u8>, CellError> {
        let stamp = stamp(&self.sweep.resolved.models[cell.model], cell.step, verdict);
        sink::parquet(&stamp, table, &part.config.metadata(ran_on))
            .map_err(|error| CellError::Sink { probe: self.sweep.probe_name(part.probe), error })
    }

    fn put(&self, file: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let _guard = self.sweep.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sweep.folder.write(file, bytes)
    }
}

fn stamp(model: &Model, step: Option<Step>, verdict: &Verdict) -> Stamp {
    let tokens_seen = step.zip(model.store.tokens_per_step()).map(|(step, each)| step.tokens_seen(each));
    Stamp {
        model: model.label.clone(),
        step: step.map(|step| i64::from(step.label())),
        // No training run has more than i64::MAX tokens.
        tokens_seen: tokens_seen.and_then(|tokens| i64::try_from(tokens).ok()),
        checkpoint_status: verdict.status.to_string(),
    }
}
