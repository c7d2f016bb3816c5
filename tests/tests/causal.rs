//! Interventions through the command: six probes from the experiment file to their tables, two engines that agree,
//! interruptions that leave no trace, pairs that are left out, and bad input of every kind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use polars::prelude::*;
use pythia_tests::{
    command::{self, Said, run},
    place, suite, tables,
};

/// Exit codes the command documents.
const CELLS_FAILED: i32 = 1;
const USAGE: i32 = 2;
const BAD_INPUT: i32 = 3;

const HEAD: &str = r#"name = "causal"
seed = 7
prepend_bos = true
models = ["./tiny"]
steps = "all"
"#;

/// The settings of every probe that intervenes, but for its pairs and how it is run.
const PROBES: [(&str, &str); 7] = [
    (
        "activation_patching",
        r#"
kind = "activation_patching"
hooks = ["z", "resid_pre", "pattern", "mlp_post.1"]
positions = ["each", "end", "all"]
sets = { two = ["0.1", "1.3"] }
directions = ["denoising", "noising"]
metrics = ["logit_diff", "accuracy", "kl"]
"#,
    ),
    (
        "ablation",
        r#"
kind = "ablation"
hooks = ["z", "mlp_out"]
sets = { two = ["0.0", "1.2"] }
controls = 2
positions = ["all", "end"]
methods = ["zero", "mean", "mean_per_position", "resample"]
metrics = ["logit_diff", "prob", "rank", "loss"]
"#,
    ),
    (
        "path_patching",
        r#"
kind = "path_patching"
receivers = ["q", "k", "v", "mlps", "logits"]
positions = ["all", "end"]
directions = ["denoising", "noising"]
metrics = ["logit_diff", "log_prob"]
"#,
    ),
    ("direct", "kind = \"path_patching\"\nname = \"direct\"\nfreeze_final_norm = true\n"),
    (
        "steering",
        r#"
kind = "steering"
hooks = ["resid_post", "attn_out.0"]
positions = ["all", "end"]
coefficients = [0.0, 1.0, -2.5]
metrics = ["logit_diff", "prob_diff", "argmax_match"]
"#,
    ),
    (
        "cross_checkpoint",
        r#"
kind = "cross_checkpoint"
source_step = 1
hooks = ["z", "resid_pre"]
weights = ["heads", "mlps", "blocks"]
metrics = ["logit_diff", "cross_entropy"]
"#,
    ),
    (
        "interventions",
        r#"
kind = "interventions"
[probe.runs]
quiet = [{ hook = "z.1", heads = [3], positions = ["end"], edit = "zero" }]
mean = [{ hook = "attn_out.0", edit = "mean" }]
loud = [
    { hook = "mlp_out.0", edit = "scale", factor = 2.0 },
    { hook = "resid_pre.1", positions = ["end"], edit = "other" },
]
"#,
    ),
];

/// The pairs that need no file.
const INDUCTION: &str = r#"pairs = { task = "induction", n = 6, half_len = 5 }"#;
/// The pairs of [`lines`].
const FILE: &str = r#"pairs = { file = "pairs.jsonl" }"#;

/// Two pairs that can be used, of different lengths; the second has no wrong answer.
const GOOD: [&str; 2] = [
    r#"{"clean": [1, 2, 3], "corrupt": [1, 9, 3], "answer": [4], "wrong": [5]}"#,
    r#"{"clean": [1, 2, 3, 8], "corrupt": [7, 2, 3, 8], "answer": [4]}"#,
];
/// One that cannot.
const UNEQUAL: &str = r#"{"clean": [1, 2, 3], "corrupt": [1, 9], "answer": [4], "wrong": [5]}"#;

/// An experiment with these probes, all with the same lines about their pairs and how they are run.
fn experiment<'a>(probes: impl IntoIterator<Item = &'a str>, more: &str) -> String {
    let probe = |text: &str| format!("\n[[probe]]\n{more}\n{}\n", text.trim());
    HEAD.to_owned() + &probes.into_iter().map(probe).collect::<String>()
}

/// All probes.
fn all(more: &str) -> String {
    experiment(PROBES.map(|(_, text)| text), more)
}

/// A scratch folder with checkpoints at 0 to `steps` − 1 and this experiment.
fn study(name: &str, steps: u32, text: &str) -> PathBuf {
    let folder = suite::study(name, steps);
    write(&folder, "experiment.toml", text);
    folder
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).expect("a file can be written");
}

/// A file of pairs.
fn lines(folder: &Path, lines: &[&str]) {
    write(folder, "pairs.jsonl", &(lines.join("\n") + "\n"));
}

fn sweep(folder: &Path, out: &str) -> Said {
    run(folder, &["run", "experiment.toml", "--out", out])
}

/// The folders of all tables.
fn folders() -> Vec<String> {
    PROBES.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("{name}_examples")]).collect()
}

/// The column that a table is about: an effect between two runs, or a distance from one.
fn main_column(table: &DataFrame) -> &'static str {
    if table.column("effect").is_ok() { "effect" } else { "delta" }
}

#[test]
fn every_probe_leaves_two_whole_tables() {
    const STEPS: u32 = 4;
    let folder = study("causal-tables", STEPS, &all(INDUCTION));
    sweep(&folder, "out").ok();
    let out = folder.join("out");
    let written = folders();
    for name in &written {
        let table = tables::read(&out, name);
        assert_eq!(tables::names(&table)[..3], ["model", "step", "tokens_seen"], "{name}");
        for (step, seen) in tables::words(&table, "step").iter().zip(tables::words(&table, "tokens_seen")) {
            let step: u32 = step.parse().expect("a step");
            assert!(step < STEPS && seen == (step * suite::TOKENS_PER_STEP).to_string(), "{name}: {step} {seen}");
        }
        assert_eq!(table.column("step").unwrap().n_unique().unwrap(), STEPS as usize, "{name}");
        assert!(tables::words(&table, "model").iter().all(|model| model == "tiny"));
        whole(&table, name);
    }
    let there = std::fs::read_dir(out.join("results")).expect("results").count() - 1;
    assert!(out.join("results").join(suite::CHECKPOINTS).is_dir());
    assert_eq!(there, written.len());
}

/// No number is broken, and one that is missing says why.
fn whole(table: &DataFrame, name: &str) {
    for column in tables::numbers(table) {
        let values = tables::floats(table, &column);
        assert!(values.iter().all(|value| value.is_none_or(f64::is_finite)), "{name}.{column}");
    }
    let (status, main) = (tables::words(table, "status"), tables::floats(table, main_column(table)));
    for (status, value) in status.iter().zip(&main) {
        assert!(["ok", "undefined", "no_other_prompt"].contains(&status.as_str()), "{name}: {status}");
        assert_eq!(value.is_some(), status == "ok", "{name}: {value:?} with {status}");
    }
    assert!(main.iter().flatten().any(|value| *value != 0.0), "{name}: nothing has any effect");
}

#[test]
fn both_engines_give_the_same_numbers() {
    let folder = suite::study("causal-engines", 3);
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
        assert_eq!(tables::words(a, column), tables::words(b, column), "{name}.{column}");
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
    let (metrics, names) = (tables::words(table, "metric"), tables::names(table));
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
fn a_sweep_that_was_killed_and_robbed_ends_in_the_same_bytes() {
    const STEPS: u32 = 24;
    let folder = study("causal-killed", STEPS, &all(INDUCTION));
    sweep(&folder, "whole").ok();
    let whole = suite::results(&folder.join("whole"));
    assert_eq!(whole.len(), 2 * PROBES.len() * STEPS as usize);
    let out = command::until_caught("the sweep", |attempt| {
        let out = format!("broken-{attempt}");
        suite::killed_thrice(&folder, &out, &whole).map(|()| out)
    });
    sweep(&folder, &out).ok();
    let broken = folder.join(&out);
    assert_eq!(suite::results(&broken), whole);
    // One of the two tables of a probe is missing, of different probes at different steps.
    let lost = ["ablation/tiny/step000003", "ablation_examples/tiny/step000005", "direct/tiny/step000003"];
    for name in lost.iter().chain(&["cross_checkpoint_examples/tiny/step000001", "steering/tiny/step000000"]) {
        std::fs::remove_file(broken.join("results").join(format!("{name}.parquet"))).expect("a result can be removed");
    }
    let said = sweep(&folder, &out).ok();
    assert!(said.err.contains("4 cells done") && said.err.contains("20 were done before"), "{}", said.err);
    assert_eq!(suite::results(&broken), whole);
}

#[test]
fn a_probe_by_itself_gives_the_bytes_that_it_gives_among_others() {
    let folder = study("causal-alone", 2, &all(INDUCTION));
    sweep(&folder, "together").ok();
    let together = suite::results(&folder.join("together"));
    for (name, text) in PROBES {
        write(&folder, "experiment.toml", &experiment([text], INDUCTION));
        sweep(&folder, name).ok();
        let alone = suite::results(&folder.join(name));
        assert_eq!(alone.len(), 4, "{name}");
        for (path, bytes) in alone {
            assert!(together.get(&path) == Some(&bytes), "{}", path.display());
        }
    }
}

#[test]
fn pairs_that_are_left_out_are_counted_and_listed() {
    let folder = study("causal-dropped", 2, &all(FILE));
    lines(&folder, &[GOOD[0], UNEQUAL, "", GOOD[1], UNEQUAL, UNEQUAL, UNEQUAL]);
    let reason =
        |line: usize| format!("line {line}: clean has 3 tokens and corrupt 2, but they must have equally many");
    let told = format!("2 of 6 pairs used; dropped: {}; {}; {}; and 1 more", reason(2), reason(5), reason(6));
    for arguments in [&["validate"][..], &["plan"], &["run", "--out", "out"], &["run", "--out", "out"]] {
        let said = run(&folder, &[&arguments[..1], &["experiment.toml"], &arguments[1..]].concat()).ok();
        for (name, _) in PROBES {
            assert!(said.err.contains(&format!("probe `{name}`: {told}")), "{arguments:?} {name}:\n{}", said.err);
        }
    }
    let plan = run(&folder, &["plan", "experiment.toml", "--json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(plan["pairs"].as_array().map(Vec::len), Some(PROBES.len()));
    let row = &plan["pairs"][0];
    assert_eq!((row["probe"].as_str(), row["used"].as_u64()), (Some("activation_patching"), Some(2)));
    let listed: Vec<u64> = row["dropped"].as_array().unwrap().iter().map(|one| one["line"].as_u64().unwrap()).collect();
    assert_eq!(listed, [2, 5, 6, 7]);
    let results = folder.join("out/results");
    for part in suite::results(&folder.join("out")).into_keys().map(|path| results.join(path)) {
        let metadata = experiments::files::sink::metadata(&part).expect("readable").expect("there");
        let counts = ["pairs_used", "pairs_dropped"].map(|key| metadata[key].as_str());
        assert_eq!(counts, ["2", "4"], "{}", part.display());
    }
    // No message when every pair is used.
    lines(&folder, &GOOD);
    let said = run(&folder, &["validate", "experiment.toml"]).ok();
    assert!(!said.err.contains("pairs used"), "{}", said.err);
}

#[test]
fn results_of_another_file_of_pairs_are_not_mixed() {
    let folder = study("causal-other-pairs", 2, &all(FILE));
    lines(&folder, &GOOD);
    sweep(&folder, "out").ok();
    let before = suite::results(&folder.join("out"));
    // The order of the pairs is part of the file.
    lines(&folder, &[GOOD[1], GOOD[0]]);
    let said = sweep(&folder, "out").refused(&["made with other settings", "files.pairs.jsonl", "--fresh"]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
    assert_eq!(suite::results(&folder.join("out")), before);
    lines(&folder, &GOOD);
    assert!(sweep(&folder, "out").ok().err.contains("2 were done before"));
}

#[test]
fn a_metric_that_is_undefined_on_a_pair_is_null_and_the_rest_goes_on() {
    let folder = study("causal-undefined", 2, &all(FILE));
    lines(&folder, &GOOD);
    sweep(&folder, "out").ok();
    for (name, _) in PROBES {
        let examples = tables::read(&folder.join("out"), &format!("{name}_examples"));
        whole(&examples, name);
        let (status, main) = (tables::words(&examples, "status"), tables::floats(&examples, main_column(&examples)));
        // The pairs are counted from 0; the second has no wrong answer.
        for row in tables::rows(&examples, &[("metric", "logit_diff"), ("prompt_id", "1")]) {
            assert!(main[row].is_none() && status[row] != "ok", "{name}: {:?} {}", main[row], status[row]);
        }
        let defined = tables::rows(&examples, &[("metric", "logit_diff"), ("prompt_id", "0")]);
        assert!(defined.iter().any(|&row| status[row] == "ok" && main[row].is_some()), "{name}");
        let summary = tables::read(&folder.join("out"), name);
        whole(&summary, name);
        // The two prompts differ in length, so that there is no other one to resample from.
        let resampled = |row: usize| name == "ablation" && tables::words(&summary, "method")[row] == "resample";
        let (metrics, n) = (tables::words(&summary, "metric"), tables::words(&summary, "n"));
        // The longer prompt has one position more than the shorter one; rows without a position count both prompts.
        let everywhere = |row: &usize| name == "interventions" || tables::words(&summary, "pos")[*row].is_empty();
        for row in (0..summary.height()).filter(everywhere) {
            let metric = &metrics[row];
            let differs = ["logit_diff", "prob_diff"].contains(&metric.as_str());
            let expected = if resampled(row) {
                "0"
            } else if differs {
                "1"
            } else {
                "2"
            };
            assert_eq!(n[row], expected, "{name}: {metric}");
        }
    }
    let ablation = tables::read(&folder.join("out"), "ablation");
    let status = tables::words(&ablation, "status");
    assert!(tables::rows(&ablation, &[("method", "resample")]).iter().all(|&row| status[row] == "no_other_prompt"));
}

#[test]
fn a_donor_that_cannot_be_read_fails_its_own_probe_alone() {
    let folder = study("causal-donor", 3, &all(INDUCTION));
    sweep(&folder, "good").ok();
    let good = suite::results(&folder.join("good"));
    std::fs::write(folder.join("tiny/step1/model.safetensors"), b"short").expect("a file can be written");
    let said = run(&folder, &["run", "experiment.toml", "--out", "bad", "--set", "steps=[0, 2]"]);
    assert_eq!(said.code, Some(CELLS_FAILED), "{}", said.err);
    assert!(said.err.contains("probe `cross_checkpoint` reads step 1"), "{}", said.err);
    let bad = suite::results(&folder.join("bad"));
    assert_eq!(bad.len(), 2 * 2 * (PROBES.len() - 1));
    assert!(bad.iter().all(|(path, bytes)| good.get(path) == Some(bytes)));
    suite::checkpoints(&folder.join("tiny"), [1]);
    sweep(&folder, "bad").ok();
    assert_eq!(suite::results(&folder.join("bad")), good);
}

/// One probe with its pairs, and what a refusal of it must say.
type Mistake = (&'static str, &'static [&'static str]);

/// Invalid settings, each with words of the message. The kind is in line 9 of the file, its pairs in line 8.
const MISTAKES: &[Mistake] = &[
    ("kind = \"activation_patching\"\nhooks = [\"z\"]\nheads = [\"4\"]", &["heads = [\"4\"]", "0 to 3", ":11:1"]),
    (
        "kind = \"activation_patching\"\nhooks = [\"z\"]\nsets = { a = [\"2.0\"] }",
        &["layer.head", "0.0 to 1.3", ":11:1"],
    ),
    ("kind = \"activation_patching\"\npositions = [\"8\"]", &["8 tokens", "-8 to 7", ":10:1"]),
    ("kind = \"activation_patching\"\npositions = [\"subject\"]", &["\"subject\"", "end, first, successor", ":10:1"]),
    ("kind = \"activation_patching\"\nhooks = [\"resid_mid\"]", &["use_parallel_residual", "hook_resid_pre", ":10:1"]),
    ("kind = \"ablation\"\nhooks = [\"resid_mid\"]", &["use_parallel_residual", ":10:1"]),
    ("kind = \"activation_patching\"\nhooks = [\"resid_pree\"]", &["did you mean `resid_pre`", "list hooks", ":10:1"]),
    ("kind = \"activation_patching\"\nhooks = [\"z.2\"]", &["layers 0 to 1", ":10:1"]),
    ("kind = \"activation_patching\"\nhooks = [\"ln_final.hook_scale\"]", &["final layer norm", ":10:1"]),
    ("kind = \"activation_patching\"\nsets = { a = [\"0.0\"] }", &["name z among them", ":10:1"]),
    (
        "kind = \"activation_patching\"\nhooks = [\"pattern\"]\nkeys = [\"each\"]\npositions = [\"all\"]",
        &["by numbers from 0 on", ":11:1"],
    ),
    ("kind = \"interventions\"\nruns = {}", &["runs", ":10:1"]),
    ("kind = \"interventions\"\nruns = { a = [] }", &["\"a\"", "changes nothing", ":10:1"]),
    (
        "kind = \"interventions\"\nruns = { a = [{ hook = \"z.1\", heads = [4], edit = \"zero\" }] }",
        &["edit 1", "\"a\"", "head 4 is out of range", "has 4", ":10:1"],
    ),
    (
        "kind = \"interventions\"\nruns = { a = [{ hook = \"mlp_out\", heads = [0], edit = \"zero\" }] }",
        &["no head axis", "batch, pos, d_model", ":10:1"],
    ),
    (
        "kind = \"interventions\"\nruns = { a = [{ hook = \"z\", edit = \"zero\" }, \
         { hook = \"ln_final.hook_scale\", edit = \"zero\" }] }",
        &["edit 2", "before any hook of the final layer norm", ":10:1"],
    ),
    (
        "kind = \"interventions\"\nruns = { a = [{ hook = \"pattern\", edit = \"mean\" }] }",
        &["no mean over positions", ":10:1"],
    ),
    ("kind = \"ablation\"\nhooks = [\"pattern\"]\nmethods = [\"mean\"]", &["no mean over positions", ":11:1"]),
    ("kind = \"ablation\"\nmethods = [\"men\"]", &["mean_per_position", ":10:12"]),
    ("kind = \"ablation\"\ncontrols = 2", &["sets names none", ":10:1"]),
    ("kind = \"cross_checkpoint\"\nsource_step = 77", &["step 77", "nearest checkpoints are 1", ":10:1"]),
    ("kind = \"cross_checkpoint\"", &["missing key `source_step`"]),
    ("kind = \"path_patching\"\nreceivers = [\"1.9.k\"]", &["\"0.0.q\" to \"1.3.v\"", ":10:1"]),
    ("kind = \"path_patching\"\nsenders = [\"mlp1\"]\nreceivers = [\"0.1.k\"]", &["no receiver reads", ":10:1"]),
    ("kind = \"steering\"\nhooks = [\"z\"]", &["resid_post", ":10:1"]),
    ("kind = \"steering\"\ncoefficients = [inf]", &["float32", ":10:1"]),
    ("kind = \"ablation\"\nrun = { memory = \"lots\" }", &["\"lots\"", "512MiB", ":10:18"]),
    ("kind = \"ablation\"\nrun = { engine = \"fast\" }", &["`cone` or `naive`", ":10:18"]),
    ("kind = \"ablation\"\nmetrics = [\"logitdiff\"]", &["`logit_diff`", ":10:12"]),
];

/// Invalid sources of pairs, each with words of the message.
const NO_PAIRS: &[Mistake] = &[
    ("pairs = { task = \"induction\", m = 6 }", &["`m`", "`half_len`", ":8:31"]),
    ("pairs = { task = \"induction\", n = 0 }", &["n = 0", "at least 1", ":8:31"]),
    ("pairs = { task = \"induction\", n = \"six\" }", &["a whole number", ":8:35"]),
    ("pairs = { task = \"induction\", half_len = 60 }", &["61 different ids", "60 besides the BOS", ":8:31"]),
    ("pairs = { task = \"iou\" }", &["`ioi`", "`induction_match`", ":8:18"]),
    ("pairs = { task = \"ioi\" }", &["tokenizer", "induction needs none", ":8:11"]),
    ("pairs = {}", &["set task or file", ":8:1"]),
    ("pairs = { task = \"ioi\", file = \"pairs.jsonl\" }", &["not from both", ":8:1"]),
    ("", &["missing key `pairs`"]),
];

/// `validate` and `run` refuse the experiment with these words, and write nothing.
fn refused(folder: &Path, text: &str, words: &[&str]) {
    write(folder, "experiment.toml", text);
    for arguments in [&["validate", "experiment.toml"][..], &["run", "experiment.toml", "--out", "out"]] {
        let said = run(folder, arguments);
        assert_eq!(said.code, Some(USAGE), "{text}\n{}", said.err);
        said.refused(words).refused(&["experiment.toml:"]);
    }
    assert!(!folder.join("out").exists(), "{text}");
}

#[test]
fn mistakes_in_an_experiment_show_their_place_and_what_is_allowed() {
    let folder = suite::study("causal-mistakes", 2);
    for (probe, words) in MISTAKES {
        refused(&folder, &experiment([*probe], INDUCTION), words);
    }
    lines(&folder, &GOOD);
    for (pairs, words) in NO_PAIRS {
        refused(&folder, &experiment(["kind = \"ablation\""], pairs), words);
    }
}

#[test]
fn mistakes_in_a_file_of_pairs_name_its_line() {
    let folder = suite::study("causal-bad-pairs", 1);
    let text = experiment(["kind = \"activation_patching\""], FILE);
    let long = format!("{{\"clean\": {:?}, \"corrupt\": {:?}, \"answer\": [4]}}", vec![1; 64], vec![2; 64]);
    let unequal = "line 1: clean has 3 tokens and corrupt 2";
    let cases: &[(&[&str], &[&str])] = &[
        (&[UNEQUAL, UNEQUAL], &["none of the 2 pairs can be used", unequal]),
        (&[UNEQUAL, UNEQUAL, UNEQUAL, UNEQUAL, UNEQUAL], &[unequal, "line 3", "and 2 more"]),
        (&[r#"{"clean": [1], "corrupt": [1], "answer": [2]}"#], &["none of the 1", "the same 1 tokens"]),
        (&[r#"{"clean": [1], "corrupt": [2], "answer": [61]}"#], &["answer has the id 61", "0 to 60"]),
        (&[GOOD[0], r#"{"clean": [1, 2"#], &["line 2, column"]),
        (&[GOOD[0], "", r#"{"clean": [1], "corupt": [2], "answer": [3]}"#], &["line 3", "`corupt`", "`corrupt`"]),
        (&[r#"{"clean": [1], "corrupt": [2]}"#], &["line 1", "`answer`"]),
        (&[r#"{"clean": [1, -2], "corrupt": [1, 3], "answer": [2]}"#], &["line 1"]),
        (&[r#"{"clean": "a", "corrupt": "b", "answer": "c"}"#], &["line 1", "tokenizer", "give token ids"]),
        (
            &[r#"{"clean": [1, 2], "corrupt": [1, 3], "answer": [2], "positions": {"x": 2}}"#],
            &["line 1", "\"x\" = 2", "2 tokens"],
        ),
        (&[GOOD[0], &long], &["line 2", "65 tokens (BOS included)", "context of 64"]),
        (&[""], &["no pair"]),
    ];
    for (written, words) in cases {
        lines(&folder, written);
        // The file itself is shown with the line that names it.
        refused(&folder, &text, &[words, &[FILE, ":8:11"][..]].concat());
    }
    std::fs::remove_file(folder.join("pairs.jsonl")).expect("a file can be removed");
    let said = sweep(&folder, "out").refused(&["cannot read pairs.jsonl"]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
}

/// A byte-level BPE of the letters a to h, alone and after a space.
fn tokenizer() -> String {
    let letters: Vec<char> = ('a'..='h').collect();
    let plain = letters.iter().enumerate().map(|(at, letter)| format!("\"{letter}\": {}", at + 2));
    let spaced = letters.iter().enumerate().map(|(at, letter)| format!("\"Ġ{letter}\": {}", at + 10));
    let vocab: Vec<String> =
        ["\"<|endoftext|>\": 0".to_owned(), "\"Ġ\": 1".to_owned()].into_iter().chain(plain).chain(spaced).collect();
    let merges: Vec<String> = letters.iter().map(|letter| format!("\"Ġ {letter}\"")).collect();
    let byte_level = r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {byte_level}, "post_processor": null, "decoder": {byte_level},
            "model": {{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                       "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                       "vocab": {{{}}}, "merges": [{}]}}}}"#,
        vocab.join(", "),
        merges.join(", ")
    )
}

#[test]
fn texts_whose_answer_is_not_one_token_are_left_out() {
    let folder = study("causal-texts", 1, &all(FILE));
    write(&folder, "tiny/step0/tokenizer.json", &tokenizer());
    // The donor must be there too.
    suite::checkpoints(&folder.join("tiny"), [1]);
    lines(
        &folder,
        &[
            concat!(
                r#"{"clean": "a b c", "corrupt": "a d c", "answer": " e", "#,
                r#""wrong": [" f", " g"], "positions": {"second": 1}}"#
            ),
            r#"{"clean": "a b c", "corrupt": "a d c", "answer": " ef"}"#,
            r#"{"clean": "a b c", "corrupt": "a d", "answer": " e"}"#,
            r#"{"clean": "h b c", "corrupt": "a b c", "answer": " e", "wrong": " h", "positions": {"second": 1}}"#,
        ],
    );
    let said = run(&folder, &["run", "experiment.toml", "--out", "out", "--set", "steps=[0]"]).ok();
    for words in
        ["2 of 4 pairs used", "line 2: answer \" ef\" is 2 tokens", "not one token", "line 3: clean has 3 tokens"]
    {
        assert!(said.err.contains(words), "{words}:\n{}", said.err);
    }
    let examples = tables::read(&folder.join("out"), "ablation_examples");
    assert_eq!(examples.column("prompt_id").unwrap().n_unique().unwrap(), 2);
    // A run without a usable pair is refused.
    write(&folder, "experiment.toml", &experiment(["kind = \"ablation\""], FILE));
    lines(&folder, &[r#"{"clean": "a b", "corrupt": "a d", "answer": "ef"}"#]);
    let said =
        run(&folder, &["validate", "experiment.toml"]).refused(&["none of the 1 pairs", "answer \"ef\" is 2 tokens"]);
    assert_eq!(said.code, Some(USAGE), "{}", said.err);
}

#[test]
fn sequential_blocks_have_a_stream_between_attention_and_mlp() {
    let folder = place::scratch("causal-sequential");
    place::copy_folder(&place::fixtures().join("sequential"), &folder.join("tiny"));
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

#[test]
fn the_shipped_experiments_are_valid() {
    let folder = place::scratch("causal-shipped");
    for name in ["patching-nano", "ablation-nano", "paths-nano", "lens-nano"] {
        let file = place::root().join(format!("experiments/configs/{name}.toml"));
        run(&folder, &["validate", file.to_str().expect("a plain path")]).ok();
    }
}
