//! Mistakes in an experiment and in a file of pairs, each with its place and what is allowed.

use std::path::Path;

use pythia_tests::command::run;
use pythia_tests::suite;

use super::{BAD_INPUT, FILE, GOOD, INDUCTION, UNEQUAL, USAGE, experiment, lines, sweep, write};

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
    ("pairs = { task = \"induction\", m = 6 }", &["unknown key `m` in `pairs`", "half_len", ":8:31"]),
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
        let output = run(folder, arguments);
        assert_eq!(output.code, Some(USAGE), "{text}\n{}", output.err);
        output.refused(words).refused(&["experiment.toml:"]);
    }
    assert!(!folder.join("out").exists(), "{text}");
}

#[test]
fn mistakes_in_an_experiment_show_their_place_and_what_is_allowed() {
    let folder = suite::experiment_folder("causal-mistakes", 2);
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
    let folder = suite::experiment_folder("causal-bad-pairs", 1);
    let text = experiment(["kind = \"activation_patching\""], FILE);
    let long = format!("{{\"clean\": {:?}, \"corrupt\": {:?}, \"answer\": [4]}}", vec![1; 64], vec![2; 64]);
    let unequal = "line 1: clean has 3 tokens and corrupt 2";
    let cases: &[(&[&str], &[&str])] = &[
        (&[UNEQUAL, UNEQUAL], &["none of the 2 pairs can be used", unequal]),
        (&[UNEQUAL, UNEQUAL, UNEQUAL, UNEQUAL, UNEQUAL], &[unequal, "line 3", "and 2 more"]),
        (&[r#"{"clean": [1], "corrupt": [1], "answer": [2]}"#], &["not even the only pair", "the same 1 token"]),
        (&[r#"{"clean": [1], "corrupt": [2], "answer": [61]}"#], &["answer has the id 61", "0 to 60"]),
        (&[GOOD[0], r#"{"clean": [1, 2"#], &["line 2, column"]),
        (&[GOOD[0], "", r#"{"clean": [1], "corupt": [2], "answer": [3]}"#], &["line 3", "`corupt`", "`corrupt`"]),
        (&[r#"{"clean": [1], "corrupt": [2]}"#], &["line 1", "`answer`"]),
        (&[r#"{"clean": [1, -2], "corrupt": [1, 3], "answer": [2]}"#], &["line 1"]),
        (&[r#"{"clean": "a", "corrupt": "b", "answer": "c"}"#], &["line 1", "tokenizer", "give token ids"]),
        (
            &[concat!(
                r#"{"clean": [1, 2], "corrupt": [1, 3], "answer": [2], "#,
                r#""positions": {"x": 3}, "positions_count_bos": true}"#
            )],
            &["line 1", "\"x\" = 3", "3 tokens"],
        ),
        (
            &[r#"{"clean": [1, 2], "corrupt": [1, 3], "answer": [2], "positions": {"x": 1}}"#],
            &["line 1", "\"x\" = 1 does not say whether it counts the BOS", "add 1 to each position"],
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
    let output = sweep(&folder, "out").refused(&["cannot read pairs.jsonl"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
}
