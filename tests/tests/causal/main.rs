//! Interventions through the command, from the experiment file to their tables.
//!
//! - [`engines`]: whole tables, and two engines that agree;
//! - [`resume`]: interruptions that leave no trace, and probes that fail alone;
//! - [`pairs`]: pairs that are used, and pairs that are left out;
//! - [`mistakes`]: bad input of every kind.

mod engines;
mod mistakes;
mod pairs;
mod resume;

use std::path::{Path, PathBuf};

use polars::prelude::*;
use pythia_tests::command::{Finished, run};
use pythia_tests::{suite, tables};

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

/// The settings of every causal probe, except for its pairs and how it is run.
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
fn experiment_folder(name: &str, steps: u32, text: &str) -> PathBuf {
    let folder = suite::experiment_folder(name, steps);
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

fn sweep(folder: &Path, out: &str) -> Finished {
    run(folder, &["run", "experiment.toml", "--out", out])
}

/// The folders of all tables.
fn folders() -> Vec<String> {
    PROBES.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("{name}_examples")]).collect()
}

/// The main column of a table: an effect between two runs, or a difference from one.
fn main_column(table: &DataFrame) -> &'static str {
    if table.column("effect").is_ok() { "effect" } else { "delta" }
}

/// No number is NaN or infinite, and the status of a null says why.
fn whole(table: &DataFrame, name: &str) {
    for column in tables::numbers(table) {
        let values = tables::floats(table, &column);
        assert!(values.iter().all(|value| value.is_none_or(f64::is_finite)), "{name}.{column}");
    }
    let (status, main) = (tables::texts(table, "status"), tables::floats(table, main_column(table)));
    for (status, value) in status.iter().zip(&main) {
        let defined = match status.as_str() {
            "ok" => true,
            // What changed nothing has exactly no effect.
            "no_change" => *value == Some(0.0),
            "undefined" | "no_other_prompt" => false,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(value.is_some(), defined, "{name}: {value:?} with {status}");
    }
    assert!(main.iter().flatten().any(|value| *value != 0.0), "{name}: nothing has any effect");
}
