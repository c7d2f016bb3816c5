//! `pythia plan`: what a run would do.

use serde_json::{Value, json};

use super::ExperimentArgs;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::plan::{Cell, Plan, State, Totals};
use crate::study::Study;
use crate::tally::Tallies;

/// Show an experiment's cells, what they cost, and what is done
///
/// Bytes are those of the checkpoints' weights. Operations and memory are estimates from the model's shape and the probes'
/// prompts: 2 operations per weight and token, plus attention; the peak of the whole process, with the weights held in the quickest
/// way that `memory` allows: decoded, with the next checkpoint decoded ahead; decoded, one at a time; or used layer by layer.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = concat!(
    "Examples:
  pythia plan exp.toml
  pythia plan exp.toml --json | jq .totals

",
    exit::help!()
);

/// Runs the command.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let disk = args.experiment.disk(&experiment);
    let study = Study::open(experiment)?;
    let plan = Plan::make(&study, &disk, args.experiment.limit);
    let tallies = Tallies::of(&study);
    for note in tallies.notes(&study) {
        crate::say::say!("{note}");
    }
    if args.json {
        super::print(&format!("{:#}", json(&study, &plan, &tallies)))?;
    } else {
        super::print(&table(&study, &plan))?;
    }
    Ok(Exit::Ok)
}

fn json(study: &Study, plan: &Plan, tallies: &Tallies) -> Value {
    let cells: Vec<Value> = plan.cells.iter().map(|cell| cell_json(study, cell)).collect();
    let pairs = tallies.json(study);
    let (residency, bound) = (plan.residency.to_string(), plan.bound);
    json!({ "experiment": study.experiment.name, "residency": residency, "memory_bound": bound, "totals": plan.totals(), "pairs": pairs, "cells": cells })
}

fn cell_json(study: &Study, cell: &Cell) -> Value {
    let parts: Vec<Value> = cell
        .parts
        .iter()
        .map(|part| {
            let probe = &study.experiment.probes[part.probe];
            let table = probe.spec.tables()[part.table];
            json!({ "probe": probe.name, "table": table, "file": part.file, "key": part.config.key(), "state": part.state })
        })
        .collect();
    json!({
        "model": study.models[cell.model].label,
        "step": cell.step.map(pythia_core::suite::Step::label),
        "bytes": cell.bytes,
        "flops": cell.cost.flops,
        "memory": cell.cost.memory,
        "checkpoint_status": cell.verdict.status.to_string(),
        "reason": cell.verdict.reason,
        "parts": parts,
    })
}

fn table(study: &Study, plan: &Plan) -> String {
    let mut lines = vec![format!("{:<32} {:>10} {:>10} {:>10}  state", "cell", "read", "compute", "memory")];
    lines.extend(plan.cells.iter().map(|cell| line(study, cell)));
    let Totals { cells, done, refused, missing, bytes, flops, peak_memory } = plan.totals();
    lines.push(format!(
        "{cells} cells, {done} done, {missing} without a checkpoint; to do: read {}, compute {}, memory at the peak {}",
        bytes_text(bytes),
        flops_text(flops),
        bytes_text(peak_memory)
    ));
    if open(plan) {
        lines.push(format!("weights: {}{}", plan.residency, bound_text(plan, peak_memory)));
    }
    if refused > 0 {
        lines.push(format!(
            "{refused} cells lie there with other settings or damaged: `pythia run` refuses to mix; use --out or --fresh"
        ));
    }
    lines.join("\n")
}

/// Whether anything is left to do.
fn open(plan: &Plan) -> bool {
    plan.n_done() < plan.cells.len()
}

/// How the peak stands to what may be taken.
fn bound_text(plan: &Plan, peak: u64) -> String {
    match plan.bound {
        Some(bound) if peak > bound => format!(", which does not fit {}: `pythia run` refuses", bytes_text(bound)),
        Some(bound) => format!(", within {}", bytes_text(bound)),
        None => String::new(),
    }
}

fn line(study: &Study, cell: &Cell) -> String {
    let (read, state) = match (cell.bytes, state(cell)) {
        (_, "done") => ("-".to_owned(), "done"),
        (Some(bytes), state) => (bytes_text(bytes), state),
        (None, _) => ("-".to_owned(), "no checkpoint"),
    };
    let bad = if cell.verdict.status.is_bad() {
        format!("; {}: {}", cell.verdict.status, cell.verdict)
    } else {
        String::new()
    };
    let (compute, memory) = (flops_text(cell.cost.flops), bytes_text(cell.cost.memory));
    format!("{:<32} {read:>10} {compute:>10} {memory:>10}  {state}{bad}", cell.name(study))
}

fn state(cell: &Cell) -> &'static str {
    let done = cell.parts.iter().filter(|part| part.state == State::Done).count();
    if cell.parts.iter().any(|part| matches!(part.state, State::Unreadable(_))) {
        return "a damaged file";
    }
    match cell.is_refused() {
        true => "results of another experiment",
        false if done == cell.parts.len() => "done",
        false if done > 0 => "partly done",
        false => "to do",
    }
}

/// A number of bytes as a person reads it.
fn bytes_text(bytes: u64) -> String {
    scaled(bytes as f64, 1e3, &["B", "kB", "MB", "GB", "TB"])
}

/// A number of operations as a person reads it.
fn flops_text(flops: u64) -> String {
    scaled(flops as f64, 1e3, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"])
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if value < step {
            break;
        }
        value /= step;
        unit = next;
    }
    if unit == "B" || unit == "FLOP" { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_scaled() {
        assert_eq!(bytes_text(999), "999 B");
        assert_eq!(bytes_text(166_019_180), "166.0 MB");
        assert_eq!(flops_text(2_500_000_000_000), "2.5 TFLOP");
        assert_eq!(flops_text(u64::MAX), "18446.7 PFLOP");
    }
}
