//! What the demo shows: induction heads form while nano is trained, and the sweep shows when. Interventions then show
//! the circuit: a previous-token head of layer 0 writes into the keys of the heads of layer 1.
//!
//! Slow, because it trains: `cargo test --release --workspace --test nano -- --include-ignored`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use polars::prelude::*;
use pythia_tests::{command, paths, tables};

/// The folder of the demo, which trains the suite; made once for all tests of this file.
static DEMO: LazyLock<PathBuf> = LazyLock::new(|| {
    PathBuf::from(command::once_per_run("nano", || {
        let folder = paths::scratch("nano");
        command::run(&folder, &["demo"]).ok();
        folder.into_os_string().into_string().expect("a plain path")
    }))
});

/// The last checkpoint.
const LAST: (&str, &str) = ("step", "1940");

/// One row of a table: its step, the words in the columns asked for, and the numbers.
struct Row {
    step: i64,
    words: Vec<String>,
    numbers: Vec<f64>,
}

/// The rows of a probe's table, over all its parts.
fn rows(out: &Path, probe: &str, words: &[&str], numbers: &[&str]) -> Vec<Row> {
    let table = tables::read(out, probe);
    let column = |name: &str| table.column(name).expect("the column exists").clone();
    let steps = column("step");
    let words: Vec<Column> = words.iter().map(|name| column(name)).collect();
    let numbers: Vec<Column> = numbers.iter().map(|name| column(name)).collect();
    let row = |at: usize| Row {
        step: steps.i64().expect("steps are whole numbers").get(at).expect("every row has a step"),
        words: words.iter().map(|column| column.str().expect("a text").get(at).expect("a word").to_owned()).collect(),
        numbers: numbers.iter().map(|column| column.f64().expect("numbers").get(at).expect("a number")).collect(),
    };
    (0..table.height()).map(row).collect()
}

#[test]
#[ignore = "trains for a minute or two"]
fn induction_forms_in_nano() {
    let out = DEMO.join("out/demo");

    let scores = rows(&out, "head_scores", &["definition"], &["value", "uniform"]);
    let strict: Vec<&Row> = scores.iter().filter(|row| row.words[0] == "strict").collect();
    let steps: BTreeSet<i64> = strict.iter().map(|row| row.step).collect();
    assert_eq!(steps.len(), 154);
    for row in strict.iter().filter(|row| row.step == 0) {
        assert!((row.numbers[0] - row.numbers[1]).abs() < 0.02, "a head at step 0: {:?}", row.numbers);
    }
    let mut best: BTreeMap<i64, f64> = BTreeMap::new();
    for row in &strict {
        let so_far = best.entry(row.step).or_insert(0.0);
        *so_far = so_far.max(row.numbers[0]);
    }
    let curve: Vec<f64> = best.values().copied().collect();
    assert!(curve[153] >= 0.7, "the best head at the end: {}", curve[153]);
    assert!(curve[9] < 0.2, "the best head at step 256: {}", curve[9]);
    let jump = curve.windows(20).map(|window| window[19] - window[0]).fold(0.0, f64::max);
    assert!(jump > 0.35, "the largest rise over 20 checkpoints: {jump}");

    let losses = rows(&out, "induction_loss", &["metric"], &["value"]);
    let mean = |metric: &str| {
        let values: Vec<f64> =
            losses.iter().filter(|row| row.step == 1940 && row.words[0] == metric).map(|row| row.numbers[0]).collect();
        assert!(!values.is_empty(), "no {metric}");
        values.iter().sum::<f64>() / values.len() as f64
    };
    let (first, second) = (mean("loss_first_half"), mean("loss_second_half"));
    assert!(second < first / 5.0, "{second} on the repeated half, {first} on the first");
}

/// The head of layer 0 that attends most to the token before each one at the last checkpoint, as `layer.head`.
fn previous_token_head() -> String {
    let scores = tables::read(&DEMO.join("out/demo"), "head_scores");
    let wanted = [LAST, ("layer", "0"), ("score", "previous_token"), ("definition", "mask_mean")];
    let (heads, values) = (tables::texts(&scores, "head"), tables::floats(&scores, "value"));
    let value = |row: &usize| values[*row].expect("a score");
    let rows = tables::rows(&scores, &wanted);
    let best = rows.into_iter().max_by(|a, b| value(a).total_cmp(&value(b))).expect("the layer has heads");
    assert!(value(&best) > 0.5, "no head looks back by one: {}", value(&best));
    format!("0.{}", heads[best])
}

/// Runs a shipped experiment on three of its 154 checkpoints.
fn shipped(name: &str, more: &[String]) -> PathBuf {
    let file = paths::root().join(format!("experiments/configs/{name}.toml"));
    let file = file.to_str().expect("a plain path");
    // The file names the folder in the repository.
    let models = "models=[\"./data/nano\"]";
    let plan = command::run(&DEMO, &["plan", file, "--set", models]).ok();
    assert!(plan.out.contains("154 cells, 0 done, 0 without a checkpoint"), "{}", plan.out);
    let out = format!("out/{name}");
    let mut arguments = vec!["run", file, "--out", &out, "--set", models, "--set", "steps=[0, 700, 1940]"];
    for set in more {
        arguments.extend(["--set", set]);
    }
    let output = command::run(&DEMO, &arguments).ok();
    assert!(output.err.contains("3 cells done"), "{}", output.err);
    for folder in std::fs::read_dir(DEMO.join(&out).join("results")).expect("results") {
        let folder = folder.expect("a folder").file_name().into_string().expect("a plain name");
        let steps = tables::read(&DEMO.join(&out), &folder).column("step").expect("a step").n_unique();
        assert_eq!(steps.expect("steps"), 3, "{folder}");
    }
    DEMO.join(out)
}

#[test]
#[ignore = "trains for a minute or two"]
fn the_answer_stays_at_its_own_position_until_the_last_layer_moves_it() {
    let out = shipped("patching-nano", &[]);
    let stream = tables::read(&out, "patch_stream");
    let accuracy = tables::rows(&stream, &[LAST, ("metric", "accuracy"), ("hook", "blocks.0.hook_resid_pre")]);
    let clean = tables::floats(&stream, "clean");
    assert!(accuracy.iter().all(|&row| clean[row].expect("a number") >= 0.9), "{:?}", clean[accuracy[0]]);
    // At the token after the match, the last layer's input holds the answer; at the last position it does not yet.
    let wanted = |hook| [LAST, ("metric", "logit_diff"), ("hook", hook)];
    let (effects, hook) = (tables::floats(&stream, "effect"), "blocks.1.hook_resid_pre");
    let rows = tables::rows(&stream, &wanted(hook));
    let best = rows.iter().map(|&row| effects[row].expect("a number")).fold(f64::NEG_INFINITY, f64::max);
    let end = effects[*rows.last().expect("positions")].expect("a number");
    assert!(best > 0.9 && end.abs() < 0.1, "{best} at best, {end} at the end");
}

#[test]
#[ignore = "trains for a minute or two"]
fn ablating_the_previous_token_head_costs_far_more_than_its_controls() {
    let head = previous_token_head();
    let sets = format!("probe.1.sets.previous_token=[\"{head}\"]");
    let out = shipped("ablation-nano", &["probe.0.heads=[\"each\", \"all\"]".to_owned(), sets]);
    let wanted = [LAST, ("metric", "accuracy"), ("method", "zero")];
    let sets = tables::read(&out, "ablate_sets");
    let lost = |control| {
        let wanted = [&wanted[..], &[("set", "previous_token"), ("control", control)]].concat();
        tables::value(&sets, "delta", &wanted)
    };
    let (named, controls) = (lost(""), ["0", "1", "2"].map(lost));
    assert!(named < -0.25, "without {head}: {named}");
    assert!(controls.iter().all(|control| *control > named / 2.0), "without {head}: {named}, controls {controls:?}");
    // Without all heads of the last layer, no head can attend to the match.
    let each = tables::read(&out, "ablate_each");
    let whole = [&wanted[..], &[("hook", "blocks.1.attn.hook_z"), ("head", "")]].concat();
    let (base, changed) = (tables::value(&each, "base", &whole), tables::value(&each, "changed", &whole));
    assert!(base >= 0.9 && changed <= 0.2, "{base} becomes {changed}");
}

#[test]
#[ignore = "trains for a minute or two"]
fn the_previous_token_head_writes_into_the_keys_of_the_last_layer() {
    let out = shipped("paths-nano", &[]);
    let paths = tables::read(&out, "path_patching");
    let [senders, receivers, inputs, layers, heads] =
        ["sender", "receiver_layer", "input", "sender_layer", "sender_head"].map(|name| tables::texts(&paths, name));
    let effects = tables::floats(&paths, "effect");
    let size = |row: usize| effects[row].expect("the runs differ");
    let last: Vec<usize> = tables::rows(&paths, &[LAST, ("metric", "logit_diff"), ("receiver_layer", "1")]);
    let of_heads = last.iter().copied().filter(|&row| layers[row] == "0" && !heads[row].is_empty());
    let best = of_heads.max_by(|a, b| size(*a).abs().total_cmp(&size(*b).abs())).expect("heads send");
    let found = (senders[best].as_str(), inputs[best].as_str(), receivers[best].as_str());
    assert_eq!(found, (previous_token_head().as_str(), "k", "1"), "effect {}", size(best));
    assert!(size(best) > 0.1, "{}", size(best));
    // Its effect through queries and values is smaller.
    for &row in last.iter().filter(|&&row| ["q", "v"].contains(&inputs[row].as_str())) {
        assert!(size(row).abs() < size(best), "{} into {}: {}", senders[row], inputs[row], size(row));
    }
    let direct = tables::read(&out, "direct_effects");
    let effects = tables::floats(&direct, "effect");
    let sum: f64 = tables::rows(&direct, &[LAST]).into_iter().map(|row| effects[row].expect("a number")).sum();
    assert!((sum - 1.0).abs() < 1e-4, "direct effects add up to {sum}");
}

#[test]
#[ignore = "needs a GPU, or a driver that stands in for one; trains for a minute or two"]
fn gpu_demo_comes_to_the_same_conclusions() {
    let output = command::run(&DEMO, &["demo", "--device", "gpu"]).ok();
    assert!(output.err.contains("computing on "), "{}", output.err);
    let (cpu, gpu) = (DEMO.join("out/demo"), DEMO.join("out/demo-wgpu"));
    for (probe, words, numbers) in [
        ("head_scores", &["score", "definition", "status"][..], &["value", "uniform"][..]),
        ("head_scores_no_bos", &["score", "definition", "status"], &["value", "uniform"]),
        ("induction_loss", &["metric", "status"], &["value"]),
    ] {
        let (expected, found) = (rows(&cpu, probe, words, numbers), rows(&gpu, probe, words, numbers));
        assert!(expected.len() >= 154 && expected.len() == found.len(), "{probe}: {} rows", found.len());
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!((expected.step, &expected.words), (found.step, &found.words), "{probe}");
            let far = expected.numbers.iter().zip(&found.numbers).any(|(a, b)| (a - b).abs() > 1e-4);
            assert!(
                !far,
                "{probe}, step {}, {:?}: {:?}, on the CPU {:?}",
                found.step, found.words, found.numbers, expected.numbers
            );
        }
    }
}
