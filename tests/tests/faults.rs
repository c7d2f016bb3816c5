//! Bad input of every kind: a short message with a remedy, a documented exit code, and nothing half-written.

use std::path::{Path, PathBuf};

use pythia_tests::{
    command::{self, run},
    paths, suite,
};

/// Exit codes the command documents.
const CELLS_FAILED: i32 = 1;
const USAGE: i32 = 2;
const BAD_INPUT: i32 = 3;
const RESOURCES: i32 = 4;

/// `pythia activations` on a model folder.
fn activations(folder: &Path, model: &str, hooks: &str) -> command::Finished {
    std::fs::write(folder.join("tokens.json"), "[[1, 2, 3]]").unwrap();
    run(
        folder,
        &["activations", "--model", model, "--tokens", "tokens.json", "--hooks", hooks, "--out", "a.safetensors"],
    )
}

/// A scratch folder that holds a copy of a fixture as `model/`.
fn with_model(test: &str, fixture: &str) -> PathBuf {
    let folder = paths::scratch(test);
    paths::copy_folder(&paths::fixtures().join(fixture), &folder.join("model"));
    folder
}

/// The model in `folder` must be refused as bad input with these words, and leave no file behind.
fn refuses_model(folder: &Path, words: &[&str]) {
    let output = activations(folder, "./model", "*").refused(words);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert!(!folder.join("a.safetensors").exists());
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let folder = with_model("unknown-names", "parallel");
    for (hooks, words) in [
        ("blocks.0.attn.hook_patern", &["blocks.0.attn.hook_pattern"][..]),
        ("blocks.9.attn.hook_z", &["0 to 1"]),
        ("blocks.0.hook_resid_mid", &["parallel"]),
        ("zz*", &["zz*"]),
    ] {
        let output = activations(&folder, "./model", hooks).refused(words);
        assert_eq!(output.code, Some(USAGE), "{}", output.err);
    }
    let output = activations(&folder, "pythia-70n", "*").refused(&["pythia-70m"]);
    assert_eq!(output.code, Some(USAGE), "{}", output.err);
    let output = activations(&folder, "./nowhere", "*").refused(&["nowhere"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert!(!folder.join("a.safetensors").exists());
}

#[test]
fn tokens_outside_the_vocabulary_are_refused() {
    let folder = with_model("bad-tokens", "parallel");
    let too_long: Vec<i64> = vec![1; 49];
    for (text, words) in [
        ("[[61]]".to_owned(), &["61"][..]),
        ("[[-1]]".to_owned(), &["tokens.json"]),
        ("[[1, 2], []]".to_owned(), &["prompt 1"]),
        ("[]".to_owned(), &["empty"]),
        ("[[]]".to_owned(), &["empty"]),
        ("nonsense".to_owned(), &["tokens.json"]),
        (format!("[{too_long:?}]"), &["49", "48"]),
    ] {
        std::fs::write(folder.join("tokens.json"), &text).unwrap();
        let arguments =
            ["activations", "--model", "./model", "--tokens", "tokens.json", "--hooks", "*", "--out", "a.safetensors"];
        run(&folder, &arguments).refused(words);
        assert!(!folder.join("a.safetensors").exists(), "{text}");
    }
}

#[test]
fn mistakes_in_an_experiment_file_show_line_and_token() {
    let folder = suite::experiment_folder("bad-experiment", 2);
    for (from, to, words) in [
        ("head_scores", "head_score", &["experiment.toml", "head_scores"][..]),
        ("half_len", "half_length", &["half_length", "half_len"]),
        ("seed = 7", "", &["seed"]),
        ("prepend_bos = false", "", &["prepend_bos"]),
        ("\"./tiny\"", "\"pythia-70mm\"", &["pythia-70m"]),
        ("\"all\"", "\"al\"", &["\"al", "all"]),
        ("\"all\"", "[0, 999]", &["999"]),
        ("n = 4", "n = \"four\"", &["expected a whole number", "experiment.toml:10:17"]),
        ("n = 4", "n = 0", &["prompts.n = 0, but it must be at least 1", "experiment.toml:10:13"]),
        ("name = \"tiny\"", "name = tiny", &["experiment.toml:2"]),
        ("[[1, 2, 3, 4, 5]", "[[1, 2, 3, 4, 500]", &["500"]),
    ] {
        let text = suite::EXPERIMENT.replacen(from, to, 1);
        assert_ne!(text, suite::EXPERIMENT, "{from}");
        std::fs::write(folder.join("experiment.toml"), text).unwrap();
        for verb in ["validate", "run"] {
            let output = run(&folder, &[verb, "experiment.toml"]).refused(words);
            assert_eq!(output.code, Some(USAGE), "{verb} {to}: {}", output.err);
        }
        assert!(!folder.join("out").exists(), "a refused experiment must leave nothing");
    }
    run(&folder, &["run", "absent.toml"]).refused(&["absent.toml"]);
}

#[test]
fn truncated_weights_are_refused_wherever_they_are_cut() {
    for (fixture, file) in [("parallel", "model.safetensors"), ("parallel-bin", "pytorch_model.bin")] {
        let folder = with_model(&format!("truncated-{fixture}"), fixture);
        let path = folder.join("model").join(file);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 1, 7, 8, 100, whole.len() / 4, whole.len() / 2, whole.len() - 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            refuses_model(&folder, &[file]);
        }
    }
}

#[test]
fn damaged_weights_name_the_tensor() {
    let folder = with_model("damaged", "tied");
    let path = folder.join("model/model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&whole[8..header]).unwrap();
    let name = "gpt_neox.layers.1.mlp.dense_4h_to_h.bias";
    // Another name of the same length: one tensor is missing and one is unexpected.
    let other = name.replace("bias", "bios");
    let renamed = [&whole[..8], text.replace(name, &other).as_bytes(), &whole[header..]].concat();
    std::fs::write(&path, renamed).unwrap();
    refuses_model(&folder, &["dense_4h_to_h.bi"]);
    // A NaN inside one tensor.
    let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
    let start = header + parsed[name]["data_offsets"][0].as_u64().unwrap() as usize;
    let mut poisoned = whole.clone();
    poisoned[start..start + 2].copy_from_slice(&[0xc0, 0x7f]);
    std::fs::write(&path, poisoned).unwrap();
    refuses_model(&folder, &[name]);
    std::fs::write(&path, &whole).unwrap();
    activations(&folder, "./model", "embed").ok();
}

#[test]
fn weights_of_another_shape_are_refused() {
    let folder = with_model("other-shape", "parallel");
    let config = folder.join("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to, words) in [
        ("\"hidden_size\": 24", "\"hidden_size\": 48", &["48", "24"][..]),
        ("\"vocab_size\": 61", "\"vocab_size\": 64", &["61", "64"]),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", &["layers.2"]),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", &["layers.1"]),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 5", &["5"]),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\"", &["relu"]),
        ("\"gpt_neox\"", "\"llama\"", &["llama"]),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&config, changed).unwrap();
        refuses_model(&folder, words);
    }
    std::fs::remove_file(&config).unwrap();
    refuses_model(&folder, &["config.json"]);
}

#[test]
fn missing_files_are_named() {
    let folder = with_model("missing-shard", "sequential");
    std::fs::remove_file(folder.join("model/model-00002-of-00003.safetensors")).unwrap();
    refuses_model(&folder, &["model-00002-of-00003.safetensors"]);
    let folder = with_model("missing-weights", "parallel");
    std::fs::remove_file(folder.join("model/model.safetensors")).unwrap();
    refuses_model(&folder, &["reference.safetensors is not read", "name it model.safetensors"]);
}

#[test]
fn hostile_pickles_are_refused_and_never_run() {
    for (file, word) in [("call.bin", "system"), ("giant.bin", "storage")] {
        let folder = with_model(&format!("hostile-{file}"), "parallel-bin");
        std::fs::copy(paths::fixtures().join("hostile").join(file), folder.join("model/pytorch_model.bin")).unwrap();
        refuses_model(&folder, &["pytorch_model.bin", word]);
        let ran: Vec<_> =
            paths::contents(&folder).into_keys().filter(|path| path.ends_with("hostile-pickle-was-run")).collect();
        assert!(ran.is_empty(), "the pickle was run: {ran:?}");
    }
}

#[test]
fn one_bad_checkpoint_fails_alone() {
    let folder = suite::experiment_folder("one-bad", 6);
    run(&folder, &["run", "experiment.toml", "--out", "good"]).ok();
    std::fs::write(folder.join("tiny/step3/model.safetensors"), b"short").unwrap();
    let output = run(&folder, &["run", "experiment.toml", "--out", "bad"]);
    assert_eq!(output.code, Some(CELLS_FAILED), "{}", output.err);
    assert!(output.err.contains("step3") || output.err.contains("step 3"), "{}", output.err);
    let (good, bad) = (suite::results(&folder.join("good")), suite::results(&folder.join("bad")));
    assert!(bad.iter().all(|(path, bytes)| good.get(path) == Some(bytes)));
    assert_eq!(good.len() - bad.len(), suite::PROBES.len());
    // Once the file is whole again, the same command fills the gap.
    suite::checkpoints(&folder.join("tiny"), [3]);
    run(&folder, &["run", "experiment.toml", "--out", "bad"]).ok();
    assert_eq!(suite::results(&folder.join("bad")), good);
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_work() {
    let folder = suite::experiment_folder("unwritable", 2);
    std::fs::write(folder.join("file"), b"").unwrap();
    // Permission bits do not bind a superuser; a file in the way and a system folder bind everybody.
    for out in ["file", "file/inside", "/proc/pythia-out"] {
        let output = run(&folder, &["run", "experiment.toml", "--out", out]).refused(&[out]);
        assert_eq!(output.code, Some(RESOURCES), "{}", output.err);
    }
    paths::copy_folder(&paths::fixtures().join("parallel"), &folder.join("model"));
    std::fs::write(folder.join("tokens.json"), "[[1, 2, 3]]").unwrap();
    for out in ["file/a.safetensors", "/proc/a.safetensors"] {
        let arguments = ["activations", "--model", "./model", "--tokens", "tokens.json", "--hooks", "z", "--out", out];
        let output = run(&folder, &arguments).refused(&[out]);
        assert_eq!(output.code, Some(RESOURCES), "{}", output.err);
    }
}

#[test]
fn results_of_another_experiment_are_not_mixed() {
    let folder = suite::experiment_folder("other-experiment", 2);
    run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    let before = suite::results(&folder.join("out"));
    let output = run(&folder, &["run", "experiment.toml", "--out", "out", "--set", "seed=8"]).refused(&["out"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert_eq!(suite::results(&folder.join("out")), before);
}

#[test]
#[ignore = "needs the right to mount a file system"]
fn a_full_disk_leaves_whole_files_only() {
    let folder = suite::experiment_folder("full-disk", 24);
    run(&folder, &["run", "experiment.toml", "--out", "whole"]).ok();
    let whole = suite::results(&folder.join("whole"));
    // A small memory file system of its own, seen by this command alone.
    let script = r#"
        mkdir small && mount -t tmpfs -o size=160k tmpfs small || exit 77
        "$0" run experiment.toml --out small/out; code=$?
        cp -r small/out copied; exit $code"#;
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(&*command::PYTHIA)
        .current_dir(&folder)
        .output();
    let said = command::Finished::of(output.expect("unshare can be started"));
    assert_eq!(said.code, Some(RESOURCES), "{}", said.err);
    assert!(said.err.contains("space"), "{}", said.err);
    for (path, bytes) in suite::results(&folder.join("copied")) {
        assert_eq!(whole.get(&path), Some(&bytes), "{}", path.display());
    }
    run(&folder, &["run", "experiment.toml", "--out", "copied"]).ok();
    assert_eq!(suite::results(&folder.join("copied")), whole);
}

#[test]
fn a_full_stderr_does_not_end_a_sweep() {
    let folder = suite::experiment_folder("full-stderr", 3);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has a device that is full");
    let status =
        command::pythia(&folder).args(["run", "experiment.toml", "--out", "out"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
    run(&folder, &["run", "experiment.toml", "--out", "whole"]).ok();
    assert_eq!(suite::results(&folder.join("out")), suite::results(&folder.join("whole")));
}

#[test]
fn an_output_never_replaces_what_is_read() {
    let folder = with_model("out-is-input", "parallel");
    std::fs::write(folder.join("tokens.json"), "[[1, 2, 3]]").unwrap();
    let weights = std::fs::read(folder.join("model/model.safetensors")).unwrap();
    for out in ["model/model.safetensors", "./tokens.json"] {
        let arguments = ["activations", "--model", "./model", "--tokens", "tokens.json", "--hooks", "z", "--out", out];
        let output = run(&folder, &arguments).refused(&["--out"]);
        assert_eq!(output.code, Some(USAGE), "{}", output.err);
    }
    assert_eq!(std::fs::read(folder.join("model/model.safetensors")).unwrap(), weights);
    assert_eq!(std::fs::read(folder.join("tokens.json")).unwrap(), b"[[1, 2, 3]]");
}

#[test]
fn a_damaged_result_is_named_and_needs_no_fresh_start() {
    let folder = suite::experiment_folder("damaged-result", 3);
    run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    let whole = suite::results(&folder.join("out"));
    let part = suite::parts(&folder.join("out/results/head_scores")).remove(0);
    std::fs::write(&part, b"PAR1").unwrap();
    let output =
        run(&folder, &["run", "experiment.toml", "--out", "out"]).refused(&["not a whole results file", "remove"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    let name = part.file_name().and_then(std::ffi::OsStr::to_str).unwrap();
    assert_eq!(output.err.matches(name).count(), 1, "{}", output.err);
    let plan = run(&folder, &["plan", "experiment.toml", "--out", "out"]).ok();
    assert!(plan.err.contains("remove that file") && !plan.err.contains("--fresh"), "{plan:?}");
    std::fs::remove_file(&part).unwrap();
    run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    assert_eq!(suite::results(&folder.join("out")), whole);
    let other_seed = ["--out", "out", "--set", "seed=77"];
    let plan = run(&folder, &[&["plan", "experiment.toml"], &other_seed[..]].concat()).ok();
    let refused = run(&folder, &[&["run", "experiment.toml"], &other_seed[..]].concat()).refused(&["other settings"]);
    assert!(plan.err.contains("--fresh") && !plan.err.contains("remove that file"), "{plan:?}");
    let remedy = refused.err.lines().find(|line| line.starts_with("remedy: ")).unwrap();
    assert!(plan.err.contains(remedy), "{plan:?}");
}
