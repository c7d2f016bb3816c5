//! Interventions on the models of tests/fixtures against plain numpy in float64, pair by pair.
//!
//! The values are written by tests/reference/interventions.py, which makes a full run for each of them. Both engines
//! are compared.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::DType;
use pythia_core::model::GptNeoX;
use serde::Deserialize;

use super::{load, with_extension};
use crate::bytes::Bytes;
use crate::engine::Engine;
use crate::families::causal::{Direction, RunSettings};
use crate::metric::Metric;
use crate::pairs::{Noise, PairSource};
use crate::probes::ablation::{Ablation, Method};
use crate::probes::activation_patching::ActivationPatching;
use crate::probes::path_patching::PathPatching;
use crate::probes::steering::Steering;
use crate::subject::{Files, Subject};
use crate::table::{Column, Table};
use crate::{ProbeSpec, run};

/// The metrics of a row of values, in their order.
const METRICS: [Metric; 3] = [Metric::LogitDiff, Metric::Kl, Metric::Loss];

/// Pair, layer, position, head, key; then the metrics.
type Row = (usize, i64, Option<i64>, Option<i64>, Option<i64>, f64, f64, f64);
/// Pair, layer, position, head, key, metric.
type Key = (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>, String);

#[derive(Deserialize)]
struct Reference {
    pairs: Vec<serde_json::Value>,
    /// Per pair, the logit differences of both runs.
    clean_corrupt: Vec<(f64, f64)>,
    patching: Vec<Patching>,
    ablation: Vec<Ablated>,
    steering: Vec<Steered>,
    /// Pair, sender, receiver, logit difference.
    paths: Vec<(usize, String, String, f64)>,
    tracing: Vec<Traced>,
}

#[derive(Deserialize)]
struct Patching {
    hook: String,
    direction: Direction,
    each_position: bool,
    each_head: bool,
    each_key: bool,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Traced {
    hook: String,
    direction: Direction,
    each_position: bool,
    window: usize,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Ablated {
    hook: String,
    method: Method,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Steered {
    coefficient: f64,
    rows: Vec<Row>,
}

/// A model of the fixtures and what is known of it.
struct Committed {
    name: &'static str,
    model: GptNeoX,
    reference: Reference,
    files: Files,
    /// Largest distance from a value, relative to the value where it is above 1.
    tolerance: f64,
}

/// Every model in float64 and float32. The reference is rounded to eleven digits after the point.
fn committed() -> Vec<Committed> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let one = |(name, (dtype, tolerance)): (&'static str, (DType, f64))| {
        let folder = fixtures.join(name);
        let mut weights = with_extension(&folder, "safetensors");
        weights.retain(|path| !path.ends_with("reference.safetensors"));
        let text = std::fs::read_to_string(fixtures.join(format!("causal/{name}.json"))).expect("a committed file");
        let reference: Reference = serde_json::from_str(&text).expect("values in their form");
        let pairs = reference.pairs.iter().map(|pair| format!("{pair}\n")).collect();
        let files = Files([("pairs".into(), pairs)].into());
        Committed { name, model: load(&folder, weights, dtype), reference, files, tolerance }
    };
    let names = ["parallel", "sequential", "tied"];
    let kinds = [(DType::F64, 1e-10), (DType::F32, 1e-4)];
    names.into_iter().flat_map(|name| kinds.map(|kind| (name, kind))).map(one).collect()
}

fn words(each: bool) -> Vec<String> {
    vec![if each { "each" } else { "all" }.to_owned()]
}

fn pairs() -> PairSource {
    PairSource::file("pairs".into())
}

fn settings(engine: Engine) -> RunSettings {
    RunSettings { engine, memory: Bytes::mib(1), per_example: true }
}

impl Committed {
    /// The table of examples of a probe.
    fn examples(&self, probe: ProbeSpec) -> Table {
        let subject =
            Subject { files: &self.files, ..Subject::new(&self.model, self.model.config().vocab_size, false, 0) };
        run(&[probe], &subject, 0).remove(0).expect("the probe runs").remove(1)
    }

    fn assert_close(&self, what: &str, found: f64, expected: f64) {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= self.tolerance, "{} {what}: {found}, not {expected}", self.name);
    }

    /// Compares every row of a table with the values, which are as many.
    fn compare(&self, what: &str, table: &Table, value: &str, rows: &[Row]) {
        let ints = |name: &str| table.column(name).and_then(Column::ints).map(<[Option<i64>]>::to_vec);
        let place = ["layer", "pos", "head", "key"].map(|name| ints(name).unwrap_or(vec![None; table.n_rows()]));
        let ids = ints("prompt_id").expect("pairs");
        let metrics = table.column("metric").and_then(Column::text).expect("metrics");
        let values = table.column(value).and_then(Column::floats).expect("numbers");
        let key = |row: usize| -> Key {
            let [layer, pos, head, key] = [0, 1, 2, 3].map(|column| place[column][row]);
            (ids[row].expect("a pair"), layer, pos, head, key, metrics[row].clone())
        };
        let found: BTreeMap<Key, f64> =
            (0..table.n_rows()).map(|row| (key(row), values[row].expect("a value"))).collect();
        assert_eq!(found.len(), rows.len() * METRICS.len(), "{} {what}", self.name);
        for &(pair, layer, pos, head, key, logit_diff, kl, loss) in rows {
            for (metric, expected) in METRICS.iter().zip([logit_diff, kl, loss]) {
                let key = (pair as i64, Some(layer), pos, head, key, metric.name().to_owned());
                self.assert_close(&format!("{what} {key:?}"), found[&key], expected);
            }
        }
    }
}

/// Runs a check of both engines on every model.
fn with_both_engines(check: impl Fn(&Committed, Engine)) {
    for committed in committed() {
        for engine in [Engine::Cone, Engine::Naive] {
            check(&committed, engine);
        }
    }
}

#[test]
fn patching_equals_plain_full_runs() {
    with_both_engines(|committed, engine| {
        for patching in &committed.reference.patching {
            let probe = ActivationPatching {
                hooks: vec![patching.hook.clone()],
                positions: words(patching.each_position),
                heads: words(patching.each_head),
                keys: words(patching.each_key),
                directions: vec![patching.direction],
                metrics: METRICS.to_vec(),
                run: settings(engine),
                ..ActivationPatching::new(pairs())
            };
            let table = committed.examples(ProbeSpec::ActivationPatching(probe));
            let what = format!("{} {:?} {engine:?}", patching.hook, patching.direction);
            committed.compare(&what, &table, "patched", &patching.rows);
        }
    });
}

#[test]
fn causal_tracing_equals_plain_full_runs_with_noise() {
    with_both_engines(|committed, engine| {
        for traced in &committed.reference.tracing {
            let noise = Some(Noise::at(["1", "-2"].map(str::to_owned)));
            let probe = ActivationPatching {
                hooks: vec![traced.hook.clone()],
                positions: words(traced.each_position),
                window: traced.window,
                directions: vec![traced.direction],
                metrics: METRICS.to_vec(),
                run: settings(engine),
                ..ActivationPatching::new(PairSource { noise, ..pairs() })
            };
            let table = committed.examples(ProbeSpec::ActivationPatching(probe));
            let what = format!("{} {:?} over {} {engine:?}", traced.hook, traced.direction, traced.window);
            committed.compare(&what, &table, "patched", &traced.rows);
        }
    });
}

#[test]
fn ablation_equals_plain_full_runs() {
    with_both_engines(|committed, engine| {
        for ablated in &committed.reference.ablation {
            let probe = Ablation {
                hooks: vec![ablated.hook.clone()],
                methods: vec![ablated.method],
                metrics: METRICS.to_vec(),
                run: settings(engine),
                ..Ablation::new(pairs())
            };
            let table = committed.examples(ProbeSpec::Ablation(probe));
            let what = format!("{} {:?} {engine:?}", ablated.hook, ablated.method);
            committed.compare(&what, &table, "changed", &ablated.rows);
        }
    });
}

#[test]
fn steering_equals_plain_full_runs() {
    with_both_engines(|committed, engine| {
        for steered in &committed.reference.steering {
            let probe = Steering {
                coefficients: vec![steered.coefficient],
                metrics: METRICS.to_vec(),
                run: settings(engine),
                ..Steering::new(pairs())
            };
            let table = committed.examples(ProbeSpec::Steering(probe));
            committed.compare(&format!("{} {engine:?}", steered.coefficient), &table, "changed", &steered.rows);
        }
    });
}

#[test]
fn paths_equal_plain_runs_with_every_other_component_frozen() {
    with_both_engines(|committed, engine| {
        let receivers = ["q", "k", "v", "mlps", "logits"].map(str::to_owned).to_vec();
        let probe = PathPatching { receivers, run: settings(engine), ..PathPatching::new(pairs()) };
        let table = committed.examples(ProbeSpec::PathPatching(probe));
        let text = |name| table.column(name).and_then(Column::text).expect("text");
        let floats = |name| table.column(name).and_then(Column::floats).expect("numbers");
        let ids = table.column("prompt_id").and_then(Column::ints).expect("pairs");
        let (senders, receivers) = (text("sender"), text("receiver"));
        let values = ["clean", "corrupt", "patched"].map(floats);
        let row = |row: usize| {
            let key = (ids[row].expect("a pair") as usize, senders[row].as_str(), receivers[row].as_str());
            (key, values.map(|values| values[row].expect("a value")))
        };
        let found: BTreeMap<_, _> = (0..table.n_rows()).map(row).collect();
        assert_eq!(found.len(), committed.reference.paths.len());
        for (pair, sender, receiver, expected) in &committed.reference.paths {
            let [clean, corrupt, patched] = found[&(*pair, sender.as_str(), receiver.as_str())];
            let ends = committed.reference.clean_corrupt[*pair];
            let what = format!("{sender} to {receiver}, pair {pair}, {engine:?}");
            for (found, expected) in [(clean, ends.0), (corrupt, ends.1), (patched, *expected)] {
                committed.assert_close(&what, found, expected);
            }
        }
    });
}
