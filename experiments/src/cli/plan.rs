//! `pythia plan`: what a run would do.

use serde_json::{Value, json};

use super::RunArgs;
use crate::checkpoint::hub_access::HubAccessError;
use crate::cli::failure::Failure;
use crate::integrity::OnBad;
use crate::plan::{Cell, Fetching, Plan, State, Totals};
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::resolved::weight_scope::Location;
use crate::sweep::refusal;
use crate::terminal::Explained;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::limits::MemoryBound;
use crate::terminal::say;

/// Show an experiment's cells, what they cost, and what is done
///
/// Cells that are alike are one line, with the numbers of each of them: `154 × nano step0 … step1940`.
///
/// Bytes are those of the checkpoints' weights. Operations and memory are estimates from the model's shape and the
/// probes' prompts. Operations: 2 per weight and token, plus attention. Memory: the peak of the whole process. Weights
/// are held in the quickest way that `memory` allows: decoded, with the next checkpoint decoded ahead; decoded, one at
/// a time; or used layer by layer.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    experiment: RunArgs,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia plan exp.toml
  pythia plan exp.toml --json | jq .totals"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let disk = args.experiment.disk(&experiment);
    let hub = args.experiment.hub(&experiment)?;
    let resolved = ResolvedExperiment::open(experiment, &hub.lock, hub.client.cache())?;
    refusal::check_version(&resolved, &disk, false)?;
    let plan = Plan::make(&resolved, &disk, args.experiment.limit);
    let pair_counts = PairCounts::of(&resolved);
    for note in pair_counts.notes(&resolved).iter().chain(resolved.notes()) {
        say!("{note}");
    }
    if args.json {
        super::print(&format!("{:#}", json(&resolved, &plan, &pair_counts)))?;
    } else {
        super::print(&table(&resolved, &plan))?;
        super::print(&format!("results: {}", disk.out.display()))?;
        let totals = plan.totals();
        if totals.fetch.checkpoints > 0 {
            let free = hub.cache.usage().map_err(HubAccessError::from)?.free;
            super::print(&fetching(&totals.fetch, free, hub.cache.budget().max))?;
        }
    }
    if let Err(refusal) = refusal::check_results(&resolved, &disk) {
        say!("`pythia run` refuses to begin:\n{}", refusal.report(false));
    }
    let bad = plan.bad().count();
    if bad == 0 || resolved.experiment.store.on_bad != OnBad::Fail {
        return Ok(Exit::Ok);
    }
    say!(
        "{bad} of the checkpoints are bad: `pythia run` refuses to begin; leave them out with --on-bad skip, \
         or mark them with --on-bad mark"
    );
    Ok(Exit::BadInput)
}

fn json(resolved: &ResolvedExperiment, plan: &Plan, pair_counts: &PairCounts) -> Value {
    let cells: Vec<Value> = plan.cells.iter().map(|cell| cell_json(resolved, cell)).collect();
    let pairs = pair_counts.json(resolved);
    let (residency, bound) = (plan.residency.to_string(), plan.bound.as_ref());
    json!({
        "experiment": resolved.experiment.name,
        "residency": residency,
        "memory_bound": bound.map(|bound| bound.bytes),
        "memory_bound_by": bound.map(|bound| bound.by.to_string()),
        "totals": plan.totals(),
        "pairs": pairs,
        "notes": resolved.notes().collect::<Vec<_>>(),
        "cells": cells,
    })
}

fn cell_json(resolved: &ResolvedExperiment, cell: &Cell) -> Value {
    let parts: Vec<Value> = cell
        .parts
        .iter()
        .map(|part| {
            let probe = &resolved.experiment.probes[part.probe];
            let table = probe.spec.tables()[part.table].suffix;
            let key = part.config.key();
            json!({ "probe": probe.name, "table": table, "file": part.file, "key": key, "state": part.state })
        })
        .collect();
    json!({
        "model": resolved.models[cell.model].label,
        "step": cell.step.map(pythia_core::suite::Step::label),
        "location": cell.location,
        "flops": cell.cost.flops,
        "memory": cell.cost.memory,
        "checkpoint_status": cell.verdict.status.to_string(),
        "reason": cell.verdict.reason,
        "parts": parts,
    })
}

fn table(resolved: &ResolvedExperiment, plan: &Plan) -> String {
    let mut lines = vec![format!("{:<36} {:>10} {:>10} {:>10}  state", "cell", "read", "compute", "memory")];
    // Cells in a row that look alike are one line: a sweep has hundreds of them.
    let alike = |a: &Cell, b: &Cell| a.model == b.model && shown(a) == shown(b);
    lines.extend(plan.cells.chunk_by(alike).map(|cells| line(resolved, cells)));
    let Totals { cells, done, missing, bytes, flops, peak_memory, .. } = plan.totals();
    lines.push(format!(
        "{}, {done} done, {missing} without a checkpoint; to do: read {}, compute {}, memory at the peak {}",
        human::plural(cells, "cell"),
        human::bytes(bytes),
        human::flops(flops),
        human::bytes(peak_memory)
    ));
    if open(plan) {
        let [read, compute] = [bytes as f64 / DISK, flops as f64 / PROCESSOR].map(human::seconds);
        lines.push(format!(
            "time: at least {read} to read at 1 GB/s, {compute} to compute at 100 GFLOP/s; \
             the stages overlap, so the longest counts"
        ));
        lines.push(format!("weights: {}{}", plan.residency, bound_text(plan, peak_memory)));
    }
    lines.join("\n")
}

/// Bytes per second of the disk, and operations per second of the processor, that times are given for.
const DISK: f64 = 1e9;
const PROCESSOR: f64 = 1e11;

/// Bits per second of the links that times are given for.
const LINKS: [(&str, f64); 3] = [("100 Mb/s", 1e8), ("1 Gb/s", 1e9), ("10 Gb/s", 1e10)];

/// What fetching takes: bytes, a lower bound of the time, and disk.
fn fetching(fetch: &Fetching, free: u64, budget: Option<u64>) -> String {
    let &Fetching { checkpoints, bytes, largest, pinned } = fetch;
    let times = LINKS.map(|(link, rate)| format!("{} at {link}", human::seconds(8.0 * bytes as f64 / rate)));
    let checkpoints = human::plural(checkpoints, "checkpoint");
    let known = if pinned { "as pinned" } else { "by the suite's usual sizes; `pythia lock` pins the exact ones" };
    let budget = budget
        .map_or("no budget is set (--cache-max)".to_owned(), |max| format!("the budget is {}", human::bytes(max)));
    let [all, one, least, free] = [bytes, largest, IN_FLIGHT * largest, free].map(human::bytes);
    format!(
        "fetch: {checkpoints}, {all}, {known}; at least {}\n\
         disk: {all} to keep all of them, {least} to stream them \
         ({IN_FLIGHT} of {one}: one computes, one is loaded, one is fetched); {free} are free, {budget}",
        times.join(", ")
    )
}

/// Checkpoints on disk while a sweep streams: one computes, one is loaded, one is fetched.
const IN_FLIGHT: u64 = 3;

/// Whether anything is left to do.
fn open(plan: &Plan) -> bool {
    plan.n_done() < plan.cells.len()
}

/// Whether the peak fits the bound.
fn bound_text(plan: &Plan, peak: u64) -> String {
    let Some(MemoryBound { bytes, by }) = &plan.bound else { return String::new() };
    let (bound, fits) = (human::bytes(*bytes), peak <= *bytes);
    if fits {
        format!(", within {bound} ({by})")
    } else {
        format!(", which does not fit {bound} ({by}): `pythia run` refuses")
    }
}

/// A line for cells that look alike; its numbers are those of each.
fn line(resolved: &ResolvedExperiment, cells: &[Cell]) -> String {
    let [first, .., last] = cells else {
        return cells.iter().map(|cell| format!("{:<36} {}", cell.name(resolved), shown(cell))).collect();
    };
    let last_step = last.step.map(|step| format!(" … {step}")).unwrap_or_default();
    let name = format!("{} × {}{last_step}", cells.len(), first.name(resolved));
    format!("{name:<36} {}", shown(first))
}

/// What the table says of a cell besides its name.
fn shown(cell: &Cell) -> String {
    let (read, state) = match (cell.location, state(cell)) {
        (_, "done") => ("-".to_owned(), "done"),
        (Location::Here { bytes }, state) => (human::bytes(bytes), state),
        (Location::Hub { bytes, .. }, "to do") => (human::bytes(bytes), "to fetch"),
        (Location::Hub { bytes, .. }, state) => (human::bytes(bytes), state),
        (Location::Nowhere, _) => ("-".to_owned(), "no checkpoint"),
    };
    let bad = if cell.verdict.status.is_bad() {
        format!("; {}: {}", cell.verdict.status, cell.verdict)
    } else {
        String::new()
    };
    let (compute, memory) = (human::flops(cell.cost.flops), human::bytes(cell.cost.memory));
    format!("{read:>10} {compute:>10} {memory:>10}  {state}{bad}")
}

fn state(cell: &Cell) -> &'static str {
    let done = cell.parts.iter().filter(|part| part.state == State::Done).count();
    if cell.parts.iter().any(|part| matches!(part.state, State::Unreadable(_))) {
        return "a damaged file";
    }
    if cell.parts.iter().any(|part| matches!(part.state, State::Unopened(_))) {
        return "a file that cannot be opened";
    }
    match cell.is_refused() {
        true => "results of another experiment",
        false if done == cell.parts.len() => "done",
        false if done > 0 => "partly done",
        false => "to do",
    }
}
