//! The plan: an ordered list of cells with what each costs and what of it is done. Pure: what lies on the disk is asked of
//! [`Facts`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pythia_core::suite::Step;
use pythia_probes::ProbeSpec;
use serde::Serialize;

use crate::cell::{CellConfig, file_of};
use crate::config::TableOf;
use crate::cost::{self, Cost, Work};
use crate::donors::{Donor, asked_for};
use crate::integrity::{OnBad, Seen, Status, Verdict};
use crate::memory::{self, Demand, Residency, Room, Weights};
use crate::study::{Model, Study};

/// What the plan must know of the world.
pub trait Facts {
    /// Bytes of the weights of a checkpoint; `None` where it is not there.
    fn bytes(&self, model: &Model, step: Option<Step>) -> Option<u64>;
    /// What the machine has to offer now.
    fn room(&self) -> Room;
    /// The hash of the weights that a results file was made from, where it says so.
    fn weights_hash(&self, file: &Path) -> Option<String>;
    /// Whether a results file exists, and with which key.
    fn state(&self, file: &Path, key: &str) -> State;
}

/// What is known about a results file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there, made by this very configuration.
    Done,
    /// It is not there.
    ToDo,
    /// It is there, made by something else: the configuration it carries.
    Foreign(String),
    /// Something is there that is no whole results file: what is wrong with it.
    Unreadable(String),
}

/// The cells of a study, in the order in which they run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cells: model by model, step by step.
    pub cells: Vec<Cell>,
    /// The other checkpoints that the cells read which are left to do: model by model, by their labels.
    pub donors: Vec<Donor>,
    /// Where the weights of all cells are while they compute: what the memory allows.
    pub residency: Residency,
    /// Bytes that the process may take, where anybody knows.
    pub bound: Option<u64>,
    /// Checkpoints that are left out because they are bad: those without weights, and with `on_bad = "skip"` all bad ones.
    pub left_out: Vec<Cell>,
    /// The weights of the cells that are done: a later cell may turn out to have the same.
    seen: Seen,
}

/// One checkpoint under all probes.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Index of the model in the study.
    pub model: usize,
    /// The checkpoint.
    pub step: Option<Step>,
    /// Bytes of its weights; `None` where they are not there.
    pub bytes: Option<u64>,
    /// What it costs to do what is left to do.
    pub cost: Cost,
    /// One file per table of each probe, in the order of the experiment.
    pub parts: Vec<Part>,
    /// What is known about the checkpoint before it is read.
    pub verdict: Verdict,
}

/// One results file.
#[derive(Clone, Debug)]
pub struct Part {
    /// Index of the probe in the experiment.
    pub probe: usize,
    /// Index of the table among those of the probe.
    pub table: usize,
    /// The file, counted from the output folder.
    pub file: PathBuf,
    /// What determines its bytes.
    pub config: CellConfig,
    /// Whether it is there.
    pub state: State,
}

impl Cell {
    /// Whether all of its files are there.
    pub fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.state == State::Done)
    }

    /// Whether something lies in its place that a run refuses to touch.
    pub fn is_refused(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.state, State::Foreign(_) | State::Unreadable(_)))
    }

    /// Whether the checkpoint is too bad to be run: without weights there is nothing to mark either.
    fn is_left_out(&self, on_bad: OnBad) -> bool {
        match on_bad {
            OnBad::Fail => false,
            OnBad::Mark => self.verdict.status == Status::Missing,
            OnBad::Skip => self.verdict.status.is_bad(),
        }
    }

    /// The files that are not there yet.
    pub fn to_do(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.state != State::Done)
    }

    /// The probes that lack a file, each once, in the order of the experiment.
    pub fn open_probes(&self) -> Vec<usize> {
        open_probes(&self.parts)
    }

    /// The cell in a person's words.
    pub fn name(&self, study: &Study) -> String {
        let label = &study.models[self.model].label;
        self.step.map_or(label.clone(), |step| format!("{label} {step}"))
    }
}

impl Plan {
    /// Plans the study; `limit` keeps the first cells only.
    pub fn make(study: &Study, facts: &impl Facts, limit: Option<usize>) -> Self {
        let all = study
            .models
            .iter()
            .enumerate()
            .flat_map(|(index, model)| model.steps.iter().map(move |step| (index, *step)));
        let all = all.take(limit.unwrap_or(usize::MAX));
        let all = all.map(|(index, step)| cell(study, facts, index, step));
        let on_bad = study.experiment.store.on_bad;
        let (left_out, mut cells): (Vec<Cell>, Vec<Cell>) = all.partition(|cell| cell.is_left_out(on_bad));
        let seen = seen(&cells, facts);
        let models = 0..study.models.len();
        let donors: Vec<Donor> = models.flat_map(|model| donors(study, facts, model, &cells)).collect();
        let room = room(study, facts);
        let residency = reside(study, &room, &mut cells, &donors);
        Self { cells, donors, residency, bound: room.memory, left_out, seen }
    }

    /// The weights of the cells that are done.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// The cells to do whose checkpoints are known to be bad.
    pub fn bad(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.is_done() && cell.verdict.status.is_bad())
    }

    /// The other checkpoints that cells read which are known to be bad.
    pub fn bad_donors<'a>(&'a self, study: &'a Study) -> impl Iterator<Item = (String, Verdict)> + 'a {
        self.donors.iter().filter_map(|donor| {
            let (model, step) = (&study.models[donor.model], Step::from_label(donor.label));
            let verdict = model.verdict(&study.known, Some(step));
            verdict.status.is_bad().then(|| (format!("{} {step}, which probes read besides", model.label), verdict))
        })
    }

    /// Cells that are done.
    pub fn n_done(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_done()).count()
    }

    /// The sums over the cells that are not done.
    pub fn totals(&self) -> Totals {
        let open: Vec<&Cell> = self.cells.iter().filter(|cell| !cell.is_done()).collect();
        let bytes = open.iter().filter_map(|cell| cell.bytes);
        Totals {
            cells: self.cells.len(),
            done: self.cells.len() - open.len(),
            refused: open.iter().filter(|cell| cell.is_refused()).count(),
            missing: open.iter().filter(|cell| cell.bytes.is_none()).count(),
            bytes: bytes.chain(self.donors.iter().filter_map(|donor| donor.bytes)).sum(),
            flops: open.iter().map(|cell| cell.cost.flops).sum(),
            peak_memory: open.iter().map(|cell| cell.cost.memory).max().unwrap_or(0),
        }
    }
}

/// What is left of a plan, summed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Cells of the plan.
    pub cells: usize,
    /// Cells that are done.
    pub done: usize,
    /// Cells in whose place lie results of other settings, or a damaged file: a run refuses to begin.
    pub refused: usize,
    /// Cells that are not done and whose checkpoint is not there.
    pub missing: usize,
    /// Bytes of weights to read.
    pub bytes: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of memory at the peak.
    pub peak_memory: u64,
}

fn cell(study: &Study, facts: &impl Facts, index: usize, step: Option<Step>) -> Cell {
    let model = &study.models[index];
    let probes = study.experiment.probes.iter().enumerate();
    let parts: Vec<Part> = probes
        .flat_map(|(probe, entry)| entry.tables().map(move |table| (probe, table)))
        .map(|(probe, table)| part(study, facts, (index, step), (probe, table)))
        .collect();
    let verdict = model.verdict(&study.known, step);
    let bytes = facts.bytes(model, step);
    Cell { model: index, step, bytes, cost: Cost::default(), parts, verdict }
}

/// What the process may take: no more than the experiment says, and no more than there is.
fn room(study: &Study, facts: &impl Facts) -> Room {
    let room = facts.room();
    let asked = study.experiment.machine.memory.map(pythia_probes::Bytes::get);
    Room { memory: asked.into_iter().chain(room.memory).min(), ..room }
}

/// Chooses where weights are, and notes what each open cell then costs.
fn reside(study: &Study, room: &Room, cells: &mut [Cell], donors: &[Donor]) -> Residency {
    let mut open: Vec<&mut Cell> = cells.iter_mut().filter(|cell| !cell.is_done()).collect();
    let demands: Vec<Demand> = open.iter().map(|cell| demand(study, room, cell, donors)).collect();
    let peak =
        |at: usize, residency| demands[at].peak(residency, at > 0, demands.get(at + 1).map(|next| &next.weights));
    let largest = |residency| (0..demands.len()).map(|at| peak(at, residency)).max().unwrap_or(0);
    let residency = memory::choose(room, largest);
    for (at, cell) in open.iter_mut().enumerate() {
        cell.cost = Cost { flops: demands[at].work.flops, memory: peak(at, residency) };
    }
    residency
}

/// What a cell that is left to do asks for.
fn demand(study: &Study, room: &Room, cell: &Cell, donors: &[Donor]) -> Demand {
    let (config, dtype) = (&study.models[cell.model].config, study.experiment.machine.dtype);
    let weights = |logits, bytes| Weights::of(config, logits, bytes, dtype, room.cores);
    let probes = specs(study, &cell.parts);
    let donors = donors.iter().filter(|donor| donor.model == cell.model);
    Demand {
        weights: weights(probes.iter().any(|probe| probe.reads_logits()), cell.bytes),
        work: work(study, cell.model, &probes),
        donors: donors.map(|donor| weights(donor.unembed, donor.bytes)).collect(),
    }
}

/// The weights of finished cells, by the metadata of their files.
fn seen(cells: &[Cell], facts: &impl Facts) -> Seen {
    let mut seen = Seen::default();
    for cell in cells.iter().filter(|cell| cell.is_done()) {
        let hash = cell.parts.first().and_then(|part| facts.weights_hash(&part.file));
        if let (Some(step), Some(hash)) = (cell.step, hash) {
            seen.note(cell.model, step, &hash);
        }
    }
    seen
}

fn part(
    study: &Study,
    facts: &impl Facts,
    (index, step): (usize, Option<Step>),
    (probe, table): (usize, TableOf<'_>),
) -> Part {
    let label = &study.models[index].label;
    let config = CellConfig::new(study, table, label, step);
    let file = file_of(&table.folder(), label, step);
    let state = facts.state(&file, &config.key());
    Part { probe, table: table.index, file, config, state }
}

/// The other checkpoints that the open cells of a model read. They are held while any of its cells runs.
fn donors(study: &Study, facts: &impl Facts, index: usize, cells: &[Cell]) -> Vec<Donor> {
    let model = &study.models[index];
    let open = cells.iter().filter(|cell| cell.model == index).flat_map(Cell::open_probes);
    let probes: BTreeSet<usize> = open.collect();
    let asked = asked_for(probes.into_iter().map(|probe| &study.experiment.probes[probe].spec));
    let donor = |(label, unembed)| {
        let bytes = facts.bytes(model, Some(Step::from_label(label)));
        Donor { model: index, label, unembed, bytes }
    };
    asked.into_iter().map(donor).collect()
}

fn open_probes(parts: &[Part]) -> Vec<usize> {
    // The parts of a probe stand side by side.
    let mut probes: Vec<usize> = parts.iter().filter(|part| part.state != State::Done).map(|part| part.probe).collect();
    probes.dedup();
    probes
}

/// The probes that lack one of their files.
fn specs<'a>(study: &'a Study, parts: &[Part]) -> Vec<&'a ProbeSpec> {
    open_probes(parts).into_iter().map(|probe| &study.experiment.probes[probe].spec).collect()
}

fn work(study: &Study, model: usize, probes: &[&ProbeSpec]) -> Work {
    let context = study.models[model].context(&study.experiment, &study.inputs.contents);
    cost::of(&context, probes, memory::width(study.experiment.machine.dtype))
}
