use burn::tensor::DType;
use pythia_hooks::{Axis, Site};

use super::*;
use crate::engine::Engine;
use crate::probes::ProbeSpec;
use crate::probes::ablation::{Ablation, Method};
use crate::testing::causal::{Fixture, assert_close, changed, floats, ints, names, texts};

const LENGTHS: [usize; 7] = [6, 8, 6, 6, 5, 8, 6];

fn fixture(parallel: bool, dtype: DType) -> Fixture {
    let numbers = |count: usize| format!("{:?}", (0..count).map(|i| 0.2 * i as f64 - 0.5).collect::<Vec<_>>());
    Fixture::new(parallel, dtype, &LENGTHS).with_file("head", numbers(8)).with_file("stream", numbers(32))
}

fn probe(runs: &str) -> InterventionRuns {
    InterventionRuns::new(Fixture::source(), serde_json::from_str(runs).expect("named lists of edits"))
}

fn answer(fixture: &Fixture, probe: InterventionRuns) -> Answer {
    fixture.ask(ProbeSpec::Interventions(probe)).expect("the probe runs")
}

/// A run per name in a table of examples.
fn of_run(examples: &crate::Table, run: &str) -> BTreeMap<i64, f64> {
    changed(examples, |row| texts(examples, "run")[row] == run && texts(examples, "metric")[row] == "logit_diff")
}

const RUNS: &str = r#"{
    "mixed": [
        {"hook": "z.0", "heads": [1, 3], "positions": ["end", "middle"], "edit": "zero"},
        {"hook": "mlp_post.1", "neurons": ["3..20", "41"], "edit": "scale", "factor": -1.5},
        {"hook": "z.1", "heads": [0], "edit": "mean"},
        {"hook": "resid_post.1", "positions": ["2"], "edit": "add", "vector": "stream", "factor": 0.5},
        {"hook": "q.2", "heads": [2], "edit": "add", "vector": "head"}
    ],
    "pattern": [{"hook": "pattern", "heads": [0], "positions": ["end"], "keys": ["middle", "0"], "edit": "zero"}],
    "norm": [{"hook": "normalized2.1", "positions": ["-1"], "edit": "other"}, {"hook": "z.2", "edit": "other"}],
    "other": [{"hook": "mlp_out", "positions": ["2"], "edit": "other"}],
    "twice": [{"hook": "z.1", "edit": "scale", "factor": 2}, {"hook": "z.1", "edit": "add", "vector": "head"}]
}"#;

#[test]
fn both_engines_say_the_same() {
    for (parallel, dtype, tolerance) in [(true, DType::F32, 1e-5), (false, DType::F32, 1e-5), (true, DType::F64, 1e-11)]
    {
        for side in [Side::Clean, Side::Corrupt] {
            let fixture = fixture(parallel, dtype);
            let told = |engine| {
                let run = RunSettings { engine, ..RunSettings::default() };
                answer(&fixture, InterventionRuns { side, run, ..probe(RUNS) })
            };
            let (cone, naive) = (told(Engine::Cone), told(Engine::Naive));
            assert_close(&cone[0], &naive[0], tolerance);
            assert_close(&cone[1], &naive[1], tolerance);
            let deltas = texts(&cone[0], "metric").iter().zip(floats(&cone[0], "delta"));
            let logits = deltas.filter(|(metric, _)| *metric == "logit_diff");
            assert!(logits.into_iter().all(|(_, delta)| delta.is_some_and(|delta| delta != 0.0)));
        }
    }
}

#[test]
fn the_tables_have_these_columns() {
    let [summary, examples] = answer(&fixture(true, DType::F32), probe(RUNS)).try_into().expect("two tables");
    let rest = ["metric", "n", "base", "changed", "delta", "delta_low", "delta_high", "status"];
    assert_eq!(names(&summary), [&["run"][..], &rest].concat());
    assert_eq!(names(&examples), ["run", "metric", "prompt_id", "base", "changed", "delta", "status"]);
    assert_eq!(texts(&summary, "run")[0], "mixed");
    assert_eq!((summary.n_rows(), examples.n_rows()), (5 * 3, 5 * 3 * 7));
    assert!(ints(&summary, "n").iter().all(|n| *n == Some(7)));
}

#[test]
fn an_edit_is_what_the_probes_do() {
    let fixture = fixture(true, DType::F32);
    let runs = r#"{"a": [{"hook": "z.1", "heads": [2], "positions": ["middle"], "edit": "zero"}],
                   "b": [{"hook": "z.1", "heads": [2], "positions": ["middle"], "edit": "mean"}]}"#;
    let found = answer(&fixture, probe(runs)).remove(1);
    for (run, method) in [("a", Method::Zero), ("b", Method::Mean)] {
        let [hooks, heads, positions] = ["z.1", "2", "middle"].map(|word| vec![word.to_owned()]);
        let methods = vec![method];
        let ablation = Ablation { hooks, heads, positions, methods, ..Ablation::new(Fixture::source()) };
        let examples = fixture.ask(ProbeSpec::Ablation(ablation)).expect("the probe runs").remove(1);
        let of_metric = changed(&examples, |row| texts(&examples, "metric")[row] == "logit_diff");
        assert_eq!(of_run(&found, run), of_metric, "{run}");
    }
}

#[test]
fn edits_are_made_in_order_and_each_at_its_place() {
    let fixture = fixture(true, DType::F64);
    let vector = |run: &str| format!(r#""{run}": [{{"hook": "z.1", "heads": [2], "edit": "#);
    let (zero, add) = (r#""zero"}"#, r#""add", "vector": "head", "factor": 3}"#);
    let again = r#"{"hook": "z.1", "heads": [2], "edit": "#;
    let first = format!("{}{zero}, {again}{add}]", vector("zero_first"));
    let last = format!("{}{add}, {again}{zero}]", vector("zero_last"));
    let runs = format!("{{{first}, {last}, {}{zero}]}}", vector("zero"));
    let found = answer(&fixture, probe(&runs)).remove(1);
    assert_eq!(of_run(&found, "zero_last"), of_run(&found, "zero"));
    assert_ne!(of_run(&found, "zero_first"), of_run(&found, "zero"));
    // Three times the vector in place of the head's z, by hand.
    let (point, pairs) = (Site::Z.at(1), fixture.pairs());
    let values: Vec<f64> = serde_json::from_str(&fixture.files.0[Path::new("head")]).expect("numbers");
    let subject = fixture.subject();
    let probe = probe(RUNS);
    let runs = PairedRuns::new(&[&probe], &subject, 0, 1).expect("the pairs fit");
    let three: Vec<f64> = values.iter().map(|value| 3.0 * value).collect();
    let source: SourceActivations = [(point, sources::vector(&runs, point, &three).expect("a group"))].into();
    let intervention = IntervenedRun::of(point, Region::all().along(Axis::Head, 2), Replacement::Source(0));
    for (pair, value) in of_run(&found, "zero_first") {
        let of = &pairs[pair as usize];
        let by_hand =
            fixture.alone(&of.clean, of, &[Metric::LogitDiff], std::slice::from_ref(&source), &intervention)[0];
        assert!((value - by_hand).abs() < 1e-11, "pair {pair}: {value} {by_hand}");
    }
}

#[test]
fn what_changes_nothing_has_a_delta_of_nothing_and_the_whole_other_prompt_is_the_other_run() {
    let fixture = fixture(true, DType::F32);
    let runs = r#"{
        "same": [{"hook": "z", "edit": "scale", "factor": 1}],
        "none": [{"hook": "z.1", "edit": "add", "vector": "head", "factor": 0}],
        "early": [{"hook": "resid_post.1", "positions": ["0", "1"], "edit": "other"}],
        "other": [{"hook": "hook_embed", "edit": "other"}]
    }"#;
    let table = |side| answer(&fixture, InterventionRuns { side, ..probe(runs) }).remove(1);
    let (clean, corrupt) = (table(Side::Clean), table(Side::Corrupt));
    let (runs, deltas) = (texts(&clean, "run"), floats(&clean, "delta"));
    for (run, delta) in runs.iter().zip(deltas).filter(|(run, _)| *run != "other") {
        assert_eq!(*delta, Some(0.0), "{run}");
    }
    let base = |table: &crate::Table| {
        let rows = (0..table.n_rows()).filter(|&row| texts(table, "run")[row] == "other");
        let rows = rows.filter(|&row| texts(table, "metric")[row] == "logit_diff");
        rows.map(|row| floats(table, "base")[row].expect("a value")).collect::<Vec<_>>()
    };
    for (changed, base) in of_run(&clean, "other").values().zip(base(&corrupt)) {
        assert!((changed - base).abs() < 1e-5, "{changed} {base}");
    }
}

#[test]
fn a_mistake_names_its_edit() {
    let fixture = fixture(true, DType::F32);
    let told = |runs: &str| {
        let error = fixture.ask(ProbeSpec::Interventions(probe(runs))).expect_err("refused");
        assert_eq!(error.field(), Some("runs"), "{error}");
        error.to_string()
    };
    assert!(told("{}").contains("runs is empty"));
    assert!(told(r#"{"idle": []}"#).contains("\"idle\""));
    let second = |edit: &str| told(&format!(r#"{{"one": [{{"hook": "z", "edit": "zero"}}, {edit}]}}"#));
    for (edit, reason) in [
        (r#"{"hook": "z.9", "edit": "zero"}"#, "layers 0 to 2"),
        (r#"{"hook": "z.1", "heads": [], "edit": "zero"}"#, "heads is empty"),
        (r#"{"hook": "z.1", "edit": "add", "vector": "stream"}"#, "32 numbers, but 8"),
        (r#"{"hook": "z.1", "positions": ["5"], "edit": "zero"}"#, "the shortest prompt"),
    ] {
        let message = second(edit);
        assert!(message.starts_with("edit 2 of the run \"one\": ") && message.contains(reason), "{message}");
    }
    let both = r#"{"one": [{"hook": "q_input.1", "edit": "zero"}, {"hook": "scale1.1", "edit": "zero"}]}"#;
    let error = fixture.ask(ProbeSpec::Interventions(probe(both))).expect_err("refused");
    assert!(error.to_string().contains("split inputs"), "{error}");
    assert!(serde_json::from_str::<UserEdit>(r#"{"hook": "z", "edit": "zero", "head": 1}"#).is_err());
}

#[test]
fn every_file_is_named() {
    let probe = ProbeSpec::Interventions(probe(RUNS));
    let files: Vec<&Path> = probe.files();
    assert_eq!(files, ["pairs", "stream", "head", "head"].map(Path::new));
}
