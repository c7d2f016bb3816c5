//! The plan: an ordered list of cells with the cost and the state of each. [`Plan::make`] is pure: it asks [`Facts`]
//! about the disk.
//!
//! This module never fetches or writes. It reads weights only to see whether they have changed.

mod cell;
pub(crate) mod cost;
pub(crate) mod difference;
pub(crate) mod disk;
pub(crate) mod key;
pub(crate) mod memory;
mod sources;
mod totals;

use std::collections::BTreeSet;
use std::path::Path;

use pythia_core::suite::Step;
use pythia_probes::ProbeSpec;

use crate::checkpoint::residency::Residency;
use crate::config::TableOf;
use crate::files::table::file_of;
use crate::integrity::{Seen, Verdict};
use crate::plan::cost::{CellCost, ProbeCost};
use crate::plan::key::CellConfig;
use crate::plan::memory::{Demand, Resources, WeightBytes};
use crate::resolved::weight_scope::{Location, WeightScope};
use crate::resolved::{Model, ResolvedExperiment};
use crate::terminal::limits::{MemoryBound, MemoryLimit};
pub(crate) use sources::PlannedSource;
use sources::asked_for;

use cell::open_probes;
pub(crate) use cell::{Cell, Part, State};
pub(crate) use totals::{Fetching, Totals};

/// What the plan must know of disk and machine.
pub(crate) trait Facts {
    /// Where the weights of a checkpoint are.
    fn location(&self, model: &Model, step: Option<Step>) -> Location;
    /// What the machine has to offer now.
    fn resources(&self) -> Resources;
    /// The hash of the weights that a results file was made from, where it says so.
    fn weights_hash(&self, file: &Path) -> Option<String>;
    /// Whether a results file exists, and with which key.
    fn state(&self, file: &Path, key: &str) -> State;
}

/// The cells of an experiment, in the order in which they run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The cells: model by model, step by step.
    pub(crate) cells: Vec<Cell>,
    /// Source checkpoints of the cells that are left to do: model by model, by their labels.
    pub(crate) sources: Vec<PlannedSource>,
    /// Residency of weights while cells compute: the quickest that the memory allows.
    pub(crate) residency: Residency,
    /// Bytes that the process may take; `None` if unknown.
    pub(crate) bound: Option<MemoryBound>,
    /// Checkpoints that are left out because they are bad: those without weights, and with `on_bad = "skip"` all bad
    /// ones.
    pub(crate) left_out: Vec<Cell>,
    /// Weights of the finished cells, to find later cells with the same.
    seen: Seen,
}

impl Plan {
    /// Plans the experiment; `limit` keeps the first cells only.
    pub(crate) fn make(resolved: &ResolvedExperiment, facts: &impl Facts, limit: Option<usize>) -> Self {
        let all = resolved
            .models
            .iter()
            .enumerate()
            .flat_map(|(index, model)| model.steps.iter().map(move |step| (index, *step)));
        let all = all.take(limit.unwrap_or(usize::MAX));
        let all = all.map(|(index, step)| cell(resolved, facts, index, step));
        let on_bad = resolved.experiment.store.on_bad;
        let (left_out, mut cells): (Vec<Cell>, Vec<Cell>) = all.partition(|cell| cell.is_left_out(on_bad));
        let seen = seen(&cells, facts);
        let models = 0..resolved.models.len();
        let sources: Vec<PlannedSource> = models.flat_map(|model| sources(resolved, facts, model, &cells)).collect();
        let resources = resources(resolved, facts);
        let residency = reside(resolved, &resources, &mut cells, &sources);
        Self { cells, sources, residency, bound: resources.memory, left_out, seen }
    }

    /// The weights of the cells that are done.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// The cells to do whose checkpoints are known to be bad.
    pub(crate) fn bad(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.is_done() && cell.verdict.status.is_bad())
    }

    /// Source checkpoints that are known to be bad.
    pub(crate) fn bad_sources<'a>(
        &'a self,
        resolved: &'a ResolvedExperiment,
    ) -> impl Iterator<Item = (String, Verdict)> + 'a {
        self.sources.iter().filter_map(|source| {
            let (model, step) = (&resolved.models[source.model], Step::from_label(source.label));
            let verdict = model.verdict(&resolved.known, Some(step));
            verdict.status.is_bad().then(|| (format!("{} {step}, which probes read besides", model.label), verdict))
        })
    }

    /// Bytes of the largest checkpoint that is to be fetched.
    pub(crate) fn largest_fetch(&self) -> u64 {
        self.cells.iter().map(|cell| cell.location.bytes_to_fetch()).max().unwrap_or(0)
    }

    pub(crate) fn n_done(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_done()).count()
    }
}

fn cell(resolved: &ResolvedExperiment, facts: &impl Facts, index: usize, step: Option<Step>) -> Cell {
    let model = &resolved.models[index];
    let probes = resolved.experiment.probes.iter().enumerate();
    let parts: Vec<Part> = probes
        .flat_map(|(probe, entry)| entry.tables().map(move |table| (probe, table)))
        .map(|(probe, table)| part(resolved, facts, (index, step), (probe, table)))
        .collect();
    let verdict = model.verdict(&resolved.known, step);
    let scope = WeightScope::of(&resolved.experiment, &model.config, &open_probes(&parts));
    let location = scope.location(model, step, facts.location(model, step));
    Cell { model: index, step, location, cost: CellCost::default(), parts, verdict, scope }
}

/// The smaller of what the experiment allows and what the machine has.
fn resources(resolved: &ResolvedExperiment, facts: &impl Facts) -> Resources {
    let resources = facts.resources();
    let asked = resolved.experiment.machine.memory;
    let asked = asked.map(|bytes| MemoryBound { bytes: bytes.get(), by: MemoryLimit::Asked });
    Resources { memory: asked.into_iter().chain(resources.memory).min_by_key(|bound| bound.bytes), ..resources }
}

/// Chooses the residency, and sets the cost of each open cell.
fn reside(
    resolved: &ResolvedExperiment,
    resources: &Resources,
    cells: &mut [Cell],
    sources: &[PlannedSource],
) -> Residency {
    let mut open: Vec<&mut Cell> = cells.iter_mut().filter(|cell| !cell.is_done()).collect();
    let demands: Vec<Demand> = open.iter().map(|cell| demand(resolved, resources, cell, sources)).collect();
    let peak =
        |at: usize, residency| demands[at].peak(residency, at > 0, demands.get(at + 1).map(|next| &next.weights));
    let largest = |residency| (0..demands.len()).map(|at| peak(at, residency)).max().unwrap_or(0);
    let residency = memory::choose(resources, largest);
    for (at, cell) in open.iter_mut().enumerate() {
        cell.cost = CellCost { flops: demands[at].work.flops, memory: peak(at, residency) };
    }
    residency
}

/// What an open cell needs.
fn demand(resolved: &ResolvedExperiment, resources: &Resources, cell: &Cell, sources: &[PlannedSource]) -> Demand {
    let (config, dtype) = (&resolved.models[cell.model].config, resolved.experiment.machine.dtype);
    let weights = |logits, bytes| WeightBytes::of(config, logits, bytes, dtype, resources.cores);
    let probes = specs(resolved, &cell.parts);
    let sources = sources.iter().filter(|source| source.model == cell.model);
    let own = || weights(probes.iter().any(|probe| probe.reads_logits()), cell.location.bytes());
    Demand {
        // Parameters that are read one by one count as what their probes hold.
        weights: if cell.scope.model { own() } else { WeightBytes::default() },
        work: work(resolved, cell.model, &probes),
        sources: sources.map(|source| weights(source.unembed, source.location.bytes())).collect(),
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
    resolved: &ResolvedExperiment,
    facts: &impl Facts,
    (index, step): (usize, Option<Step>),
    (probe, table): (usize, TableOf<'_>),
) -> Part {
    let label = &resolved.models[index].label;
    let config = CellConfig::new(resolved, table, label, step);
    let file = file_of(&table.folder(), label, step);
    let state = facts.state(&file, &config.key());
    Part { probe, table: table.index, file, config, state }
}

/// The source checkpoints of the open cells of a model, which are held while any of its cells runs.
fn sources(resolved: &ResolvedExperiment, facts: &impl Facts, index: usize, cells: &[Cell]) -> Vec<PlannedSource> {
    let model = &resolved.models[index];
    let open = cells.iter().filter(|cell| cell.model == index).flat_map(Cell::open_probes);
    let probes: BTreeSet<usize> = open.collect();
    let asked = asked_for(probes.into_iter().map(|probe| &resolved.experiment.probes[probe].spec));
    let source = |(label, unembed)| {
        let location = facts.location(model, Some(Step::from_label(label)));
        PlannedSource { model: index, label, unembed, location }
    };
    asked.into_iter().map(source).collect()
}

/// The probes that lack one of their files.
fn specs<'a>(resolved: &'a ResolvedExperiment, parts: &[Part]) -> Vec<&'a ProbeSpec> {
    open_probes(parts).into_iter().map(|probe| &resolved.experiment.probes[probe].spec).collect()
}

fn work(resolved: &ResolvedExperiment, model: usize, probes: &[&ProbeSpec]) -> ProbeCost {
    let context = resolved.models[model].context(&resolved.experiment, &resolved.inputs.contents);
    cost::of(&context, probes, memory::width(resolved.experiment.machine.dtype))
}
