//! The plan: an ordered list of cells with what each costs and what of it is done. Pure: what lies on the disk is asked of
//! [`Facts`].

mod cell;
pub(crate) mod cost;
pub(crate) mod difference;
pub(crate) mod disk;
mod donors;
pub(crate) mod key;
pub(crate) mod memory;
mod totals;

use std::collections::BTreeSet;
use std::path::Path;

use pythia_core::suite::Step;
use pythia_probes::ProbeSpec;

use crate::checkpoint::residency::Residency;
use crate::config::TableOf;
use crate::files::table::file_of;
use crate::integrity::{Seen, Verdict};
use crate::plan::cost::{Cost, Work};
use crate::plan::key::CellConfig;
use crate::plan::memory::{Demand, Room, Weights};
use crate::resolved::weight_scope::{Reads, Source};
use crate::resolved::{Model, Study};
pub use donors::Donor;
use donors::asked_for;

use cell::open_probes;
pub use cell::{Cell, Part, State};
pub use totals::{Fetching, Totals};

/// What the plan must know of the world.
pub trait Facts {
    /// Where the weights of a checkpoint are.
    fn source(&self, model: &Model, step: Option<Step>) -> Source;
    /// What the machine has to offer now.
    fn room(&self) -> Room;
    /// The hash of the weights that a results file was made from, where it says so.
    fn weights_hash(&self, file: &Path) -> Option<String>;
    /// Whether a results file exists, and with which key.
    fn state(&self, file: &Path, key: &str) -> State;
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

    /// Bytes of the largest checkpoint that is to be fetched.
    pub fn largest_fetch(&self) -> u64 {
        self.cells.iter().map(|cell| cell.source.fetch()).max().unwrap_or(0)
    }

    /// Cells that are done.
    pub fn n_done(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_done()).count()
    }
}

fn cell(study: &Study, facts: &impl Facts, index: usize, step: Option<Step>) -> Cell {
    let model = &study.models[index];
    let probes = study.experiment.probes.iter().enumerate();
    let parts: Vec<Part> = probes
        .flat_map(|(probe, entry)| entry.tables().map(move |table| (probe, table)))
        .map(|(probe, table)| part(study, facts, (index, step), (probe, table)))
        .collect();
    let verdict = model.verdict(&study.known, step);
    let reads = Reads::of(&study.experiment, &model.config, &open_probes(&parts));
    let source = reads.source(model, step, facts.source(model, step));
    Cell { model: index, step, source, cost: Cost::default(), parts, verdict, reads }
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
    let own = || weights(probes.iter().any(|probe| probe.reads_logits()), cell.source.bytes());
    Demand {
        // Parameters that are read one by one count as what their probes hold.
        weights: if cell.reads.model { own() } else { Weights::default() },
        work: work(study, cell.model, &probes),
        donors: donors.map(|donor| weights(donor.unembed, donor.source.bytes())).collect(),
    }
}

/// The weights of finished cells, by the metadata of their files.
fn seen(cells: &[Cell], facts: &impl Facts) -> Seen {
    let mut seen = Seen::default();
    for cell in cells.iter().filter(|cell| cell.is_done()) {
        // A probe of weights alone may not have read all of them.
        let hash = cell.parts.iter().find_map(|part| facts.weights_hash(&part.file));
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
        let source = facts.source(model, Some(Step::from_label(label)));
        Donor { model: index, label, unembed, source }
    };
    asked.into_iter().map(donor).collect()
}

/// The probes that lack one of their files.
fn specs<'a>(study: &'a Study, parts: &[Part]) -> Vec<&'a ProbeSpec> {
    open_probes(parts).into_iter().map(|probe| &study.experiment.probes[probe].spec).collect()
}

fn work(study: &Study, model: usize, probes: &[&ProbeSpec]) -> Work {
    let context = study.models[model].context(&study.experiment, &study.inputs.contents);
    cost::of(&context, probes, memory::width(study.experiment.machine.dtype))
}
