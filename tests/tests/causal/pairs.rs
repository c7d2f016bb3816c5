//! Pairs of prompts: which are used, which are left out, and what is undefined on them.

use pythia_tests::command::run;
use pythia_tests::{suite, tables};

use super::{
    BAD_INPUT, FILE, GOOD, PROBES, UNEQUAL, USAGE, all, experiment, experiment_folder, lines, main_column, sweep,
    whole, write,
};

#[test]
fn pairs_that_are_left_out_are_counted_and_listed() {
    let folder = experiment_folder("causal-dropped", 2, &all(FILE));
    lines(&folder, &[GOOD[0], UNEQUAL, "", GOOD[1], UNEQUAL, UNEQUAL, UNEQUAL]);
    let reason =
        |line: usize| format!("line {line}: clean has 3 tokens and corrupt 2, but they must have equally many");
    let told = format!("2 of 6 pairs used; dropped: {}; {}; {}; and 1 more", reason(2), reason(5), reason(6));
    for arguments in [&["validate"][..], &["plan"], &["run", "--out", "out"], &["run", "--out", "out"]] {
        let output = run(&folder, &[&arguments[..1], &["experiment.toml"], &arguments[1..]].concat()).ok();
        for (name, _) in PROBES {
            assert!(output.err.contains(&format!("probe `{name}`: {told}")), "{arguments:?} {name}:\n{}", output.err);
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
    let output = run(&folder, &["validate", "experiment.toml"]).ok();
    assert!(!output.err.contains("pairs used"), "{}", output.err);
}

#[test]
fn results_of_another_file_of_pairs_are_not_mixed() {
    let folder = experiment_folder("causal-other-pairs", 2, &all(FILE));
    lines(&folder, &GOOD);
    sweep(&folder, "out").ok();
    let before = suite::results(&folder.join("out"));
    // The order of the pairs is part of the file.
    lines(&folder, &[GOOD[1], GOOD[0]]);
    let output = sweep(&folder, "out").refused(&["made with other settings", "files.pairs.jsonl", "--fresh"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert_eq!(suite::results(&folder.join("out")), before);
    lines(&folder, &GOOD);
    assert!(sweep(&folder, "out").ok().err.contains("2 done before"));
}

#[test]
fn a_metric_that_is_undefined_on_a_pair_is_null_and_the_rest_goes_on() {
    let folder = experiment_folder("causal-undefined", 2, &all(FILE));
    lines(&folder, &GOOD);
    sweep(&folder, "out").ok();
    for (name, _) in PROBES {
        let examples = tables::read(&folder.join("out"), &format!("{name}_examples"));
        whole(&examples, name);
        let (status, main) = (tables::texts(&examples, "status"), tables::floats(&examples, main_column(&examples)));
        // The pairs are counted from 0; the second has no wrong answer.
        for row in tables::rows(&examples, &[("metric", "logit_diff"), ("prompt_id", "1")]) {
            assert!(main[row].is_none() && status[row] != "ok", "{name}: {:?} {}", main[row], status[row]);
        }
        let defined = tables::rows(&examples, &[("metric", "logit_diff"), ("prompt_id", "0")]);
        assert!(defined.iter().any(|&row| status[row] == "ok" && main[row].is_some()), "{name}");
        let summary = tables::read(&folder.join("out"), name);
        whole(&summary, name);
        // The two prompts differ in length, so that there is no other one to resample from.
        let resampled = |row: usize| name == "ablation" && tables::texts(&summary, "method")[row] == "resample";
        let (metrics, n) = (tables::texts(&summary, "metric"), tables::texts(&summary, "n"));
        // The longer prompt has one position more than the shorter one; rows without a position count both prompts.
        let everywhere = |row: &usize| name == "interventions" || tables::texts(&summary, "pos")[*row].is_empty();
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
    let status = tables::texts(&ablation, "status");
    assert!(tables::rows(&ablation, &[("method", "resample")]).iter().all(|&row| status[row] == "no_other_prompt"));
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
    let folder = experiment_folder("causal-texts", 1, &all(FILE));
    write(&folder, "tiny/step0/tokenizer.json", &tokenizer());
    // The source checkpoint must be there too.
    suite::checkpoints(&folder.join("tiny"), [1]);
    lines(
        &folder,
        &[
            concat!(
                r#"{"clean": "a b c", "corrupt": "a d c", "answer": " e", "#,
                r#""wrong": [" f", " g"], "positions": {"second": 2}, "positions_count_bos": true}"#
            ),
            r#"{"clean": "a b c", "corrupt": "a d c", "answer": " ef"}"#,
            r#"{"clean": "a b c", "corrupt": "a d", "answer": " e"}"#,
            concat!(
                r#"{"clean": "h b c", "corrupt": "a b c", "answer": " e", "#,
                r#""wrong": " h", "positions": {"second": 2}, "positions_count_bos": true}"#
            ),
        ],
    );
    let output = run(&folder, &["run", "experiment.toml", "--out", "out", "--set", "steps=[0]"]).ok();
    for words in
        ["2 of 4 pairs used", "line 2: answer \" ef\" is 2 tokens", "not one token", "line 3: clean has 3 tokens"]
    {
        assert!(output.err.contains(words), "{words}:\n{}", output.err);
    }
    let examples = tables::read(&folder.join("out"), "ablation_examples");
    assert_eq!(examples.column("prompt_id").unwrap().n_unique().unwrap(), 2);
    // A run without a usable pair is refused.
    write(&folder, "experiment.toml", &experiment(["kind = \"ablation\""], FILE));
    lines(&folder, &[r#"{"clean": "a b", "corrupt": "a d", "answer": "ef"}"#]);
    let output = run(&folder, &["validate", "experiment.toml"])
        .refused(&["not even the only pair can be used", "answer \"ef\" is 2 tokens"]);
    assert_eq!(output.code, Some(USAGE), "{}", output.err);
}
