//! Whole tables from every probe, and the same numbers from both engines.

use std::collections::BTreeMap;

use polars::prelude::*;
use pythia_tests::command::run;
use pythia_tests::{paths, suite, tables};

use super::{INDUCTION, all, experiment, experiment_folder, folders, sweep, whole, write};

#[test]
fn every_probe_leaves_two_whole_tables() {
    const STEPS: u32 = 4;
    let folder = experiment_folder("causal-tables", STEPS, &all(INDUCTION));
    sweep(&folder, "out").ok();
    let out = folder.join("out");
    let written = folders();
    for name in &written {
        let table = tables::read(&out, name);
        assert_eq!(tables::names(&table)[..3], ["model", "step", "tokens_seen"], "{name}");
        for (step, seen) in tables::texts(&table, "step").iter().zip(tables::texts(&table, "tokens_seen")) {
            let step: u32 = step.parse().expect("a step");
            assert!(step < STEPS && seen == (step * suite::TOKENS_PER_STEP).to_string(), "{name}: {step} {seen}");
        }
        assert_eq!(table.column("step").unwrap().n_unique().unwrap(), STEPS as usize, "{name}");
        assert!(tables::texts(&table, "model").iter().all(|model| model == "tiny"));
        whole(&table, name);
    }
    let there = std::fs::read_dir(out.join("results")).expect("results").count() - 1;
    assert!(out.join("results").join(suite::CHECKPOINTS).is_dir());
    assert_eq!(there, written.len());
}

#[test]
fn both_engines_give_the_same_numbers() {
    let folder = suite::experiment_folder("causal-engines", 3);
    let run_as = |name: &str, settings: &str| {
        write(&folder, "experiment.toml", &all(&format!("{INDUCTION}\nrun = {{ {settings} }}")));
        run(&folder, &["run", "experiment.toml", "--out", name, "--set", "steps=[0, 2]"]).ok();
    };
    run_as("cone", "engine = \"cone\"");
    run_as("naive", "engine = \"naive\"");
    // Too little memory to batch anything.
    run_as("little", "memory = \"1B\"");
    for name in folders() {
        let [cone, naive, little] = ["cone", "naive", "little"].map(|out| tables::read(&folder.join(out), &name));
        same_numbers(&cone, &naive, &name);
        same_numbers(&cone, &little, &name);
    }
}

/// The relative error that is allowed: 1e-5 of a metric's scale.
const ROUNDING: f64 = 1e-5;

/// The columns that hold a metric itself.
const RAW: [&str; 6] = ["clean", "corrupt", "patched", "base", "source", "changed"];

/// Two tables with the same rows, and numbers that are the same but for rounding.
fn same_numbers(a: &DataFrame, b: &DataFrame, name: &str) {
    assert_eq!((tables::names(a), a.height()), (tables::names(b), b.height()), "{name}");
    let numbers = tables::numbers(a);
    for column in tables::names(a).iter().filter(|column| !numbers.contains(column)) {
        assert_eq!(tables::texts(a, column), tables::texts(b, column), "{name}.{column}");
    }
    let bounds = bounds(a);
    for column in &numbers {
        let pairs = tables::floats(a, column).into_iter().zip(tables::floats(b, column));
        for (row, (a, b)) in pairs.enumerate() {
            assert_eq!(a.is_some(), b.is_some(), "{name}.{column}[{row}]: {a:?} {b:?}");
            let Some(bound) = bounds[row].of(column) else { continue };
            let error = a.zip(b).map_or(0.0, |(a, b)| (a - b).abs());
            assert!(error <= bound, "{name}.{column}[{row}]: {a:?} {b:?}, over {bound:e}");
        }
    }
}

/// What rounding of the metric may do to the numbers of a row.
struct Bound {
    /// To the metric itself.
    raw: f64,
    /// To a difference of two of its values.
    delta: f64,
    /// To an effect, (p − b) / (d − b), with an error of `raw` in each of the three. None where d and b are equal.
    effect: Option<f64>,
}

impl Bound {
    fn of(&self, column: &str) -> Option<f64> {
        match column {
            _ if RAW.contains(&column) => Some(self.raw),
            "delta" | "delta_low" | "delta_high" => Some(self.delta),
            "effect" => self.effect,
            // Of a step's vector, in the stream's own scale.
            "norm" | "coefficient" => Some(ROUNDING),
            // Effects of resampled or single pairs, whose gaps are not in this row; the examples hold them.
            _ => None,
        }
    }
}

fn bounds(table: &DataFrame) -> Vec<Bound> {
    let (metrics, names) = (tables::texts(table, "metric"), tables::names(table));
    let raw: BTreeMap<&str, Vec<Option<f64>>> = RAW
        .into_iter()
        .filter(|name| names.iter().any(|have| have == name))
        .map(|name| (name, tables::floats(table, name)))
        .collect();
    let mut scales: BTreeMap<&str, f64> = BTreeMap::new();
    for (row, metric) in metrics.iter().enumerate() {
        let scale = scales.entry(metric.as_str()).or_insert(1.0);
        *scale = raw.values().filter_map(|values| values[row]).fold(*scale, |scale, value| scale.max(value.abs()));
    }
    let ends = if raw.contains_key("clean") { ["clean", "corrupt"] } else { ["base", "source"] };
    let effects = names.iter().any(|name| name == "effect").then(|| tables::floats(table, "effect"));
    let bound = |(row, metric): (usize, &String)| {
        let error = ROUNDING * scales[metric.as_str()];
        let effect = effects.as_ref().and_then(|effects| {
            let gap = (raw[ends[0]][row]? - raw[ends[1]][row]?).abs();
            Some(2.0 * error * (1.0 + effects[row]?.abs()) / gap)
        });
        Bound { raw: error, delta: 2.0 * error, effect }
    };
    metrics.iter().enumerate().map(bound).collect()
}

#[test]
fn sequential_blocks_have_a_stream_between_attention_and_mlp() {
    let folder = paths::scratch("causal-sequential");
    paths::copy_folder(&paths::fixtures().join("sequential"), &folder.join("tiny"));
    let probes = [
        "kind = \"activation_patching\"\nhooks = [\"resid_mid\"]",
        "kind = \"ablation\"\nhooks = [\"resid_mid\"]\nmethods = [\"mean\"]",
        // In a sequential block the MLP reads its own layer's heads.
        "kind = \"path_patching\"\nsenders = [\"0.1\"]\nreceivers = [\"mlp0\"]",
    ];
    for engine in ["cone", "naive"] {
        let text = experiment(probes, &format!("{INDUCTION}\nrun = {{ engine = \"{engine}\" }}"));
        write(&folder, "experiment.toml", &text);
        sweep(&folder, engine).ok();
    }
    for name in ["activation_patching", "ablation_examples", "path_patching"] {
        let [cone, naive] = ["cone", "naive"].map(|out| tables::read(&folder.join(out), name));
        whole(&cone, name);
        same_numbers(&cone, &naive, name);
    }
}
