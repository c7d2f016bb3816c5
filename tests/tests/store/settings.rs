//! Settings of connections, the folder of the cache, and the paths of an experiment.

use std::fs;
use std::path::Path;

use pythia_tests::command::{self, Finished};
use pythia_tests::hub::MockHub;
use pythia_tests::{paths, suite};

use super::{BAD_INPUT, MODEL, USAGE, checkpoints, experiment, model, run};

/// Variables that a connection could not use.
const UNUSABLE: [(&str, &str); 5] = [
    ("ALL_PROXY", "gopher://proxy:1"),
    ("HF_ENDPOINT", "nowhere"),
    ("HF_TOKEN", "two words"),
    ("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem"),
    ("NO_PROXY", "10.0.0.0/8,[,/"),
];

/// Runs a command that may connect, with these variables.
fn run_with(folder: &Path, vars: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let mut command = command::pythia(folder);
    command.env_remove("HF_HUB_OFFLINE").envs(vars.iter().copied()).args(arguments);
    Finished::of(command.output().unwrap())
}

#[test]
fn what_needs_no_connection_needs_no_settings_of_one() {
    let folder = suite::experiment_folder("settings-local", 2);
    for arguments in [
        &["validate", "experiment.toml"][..],
        &["plan", "experiment.toml"],
        &["list", "models"],
        &["cache", "ls"],
        &["run", "experiment.toml", "--out", "out"],
        &["status", "out"],
        &["verify", "./tiny"],
    ] {
        run_with(&folder, &UNUSABLE, arguments).ok();
    }
    // The suite's models are planned without the hub, and what is cached runs without it.
    let folder = experiment("settings-hub", &[0, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    for arguments in [["validate", "exp.toml"], ["plan", "exp.toml"]] {
        run_with(&folder, &UNUSABLE, &arguments).ok();
    }
    run(&folder, &hub, &["run", "exp.toml", "--out", "first"]).ok();
    let cached = [&UNUSABLE[..], &[("HF_HUB_CACHE", "cache")]].concat();
    run_with(&folder, &cached, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok", "ok"]);
}

#[test]
fn a_setting_that_a_connection_needs_is_named_once() {
    let folder = experiment("settings-needed", &[0, 512, 1000]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2), (1000, 3)])]);
    let endpoint = hub.endpoint();
    let bad_proxy = [("HF_ENDPOINT", &*endpoint), ("ALL_PROXY", "gopher://proxy:1"), ("HF_HUB_CACHE", "cache")];
    let refused = |word: &str, vars: &[(&str, &str)]| {
        let output = run_with(&folder, vars, &["run", "exp.toml", "--out", "out"]).refused(&[word]);
        assert_eq!((output.code, output.err.matches(word).count()), (Some(USAGE), 2), "{}", output.err);
    };
    refused("ALL_PROXY", &bad_proxy);
    // Pinned and described, so that the hub is asked for nothing but weights.
    run(&folder, &hub, &["run", "exp.toml", "--out", "first"]).ok();
    for (path, bytes) in paths::contents(&folder.join("cache")) {
        if bytes.len() > 5000 {
            fs::remove_file(folder.join("cache").join(path)).unwrap();
        }
    }
    refused("ALL_PROXY", &bad_proxy);
    let direct = [&bad_proxy[..], &[("NO_PROXY", "127.0.0.0/8")]].concat();
    run_with(&folder, &direct, &["run", "exp.toml", "--out", "out"]).ok();
}

#[test]
fn every_command_has_the_same_cache_and_activations_fetch() {
    let folder = paths::scratch("settings-cache");
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    fs::write(folder.join("ids.json"), "[1, 2, 3]").unwrap();
    let endpoint = hub.endpoint();
    let activations = |vars: &[(&str, &str)], more: &[&str]| {
        let vars = [vars, &[("HF_ENDPOINT", &*endpoint), ("BIG", "big")]].concat();
        let of_512 = ["activations", "--model", "pythia-14m", "--step", "512", "--tokens", "ids.json"];
        run_with(&folder, &vars, &[&of_512[..], &["--hooks", "embed", "--out", "a.safetensors"], more].concat())
    };
    let cache = [("XDG_CACHE_HOME", "$BIG/x")];
    let output = activations(&cache, &["--offline"]).refused(&["not in the cache", "leave --offline out"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    activations(&cache, &[]).ok();
    let blobs = folder.join("big/x/huggingface/hub").join(format!("models--{}/blobs", MODEL.replace('/', "--")));
    assert!(blobs.is_dir(), "{}", blobs.display());
    // Whoever looks there finds it.
    let asked = hub.seen().len();
    for cache in [
        ("XDG_CACHE_HOME", "~/big/x"),
        ("HF_HOME", "${BIG}/x/huggingface"),
        ("HUGGINGFACE_HUB_CACHE", "big/x/huggingface/hub"),
    ] {
        activations(&[cache], &["--offline"]).ok();
        let listed = run_with(&folder, &[cache, ("BIG", "big")], &["cache", "ls"]).ok().out;
        assert!(listed.contains("step512"), "{cache:?}: {listed}");
    }
    assert_eq!(hub.seen().len(), asked);
    let output = activations(&cache, &["--step", "513"]);
    assert!(output.code != Some(0), "{}", output.err);
}

#[test]
fn the_paths_of_a_file_count_from_the_file() {
    let folder = suite::experiment_folder("settings-paths", 2);
    fs::create_dir_all(folder.join("deep/files")).unwrap();
    fs::write(folder.join("deep/files/prompts.jsonl"), "{\"tokens\": [1, 2, 3]}\n").unwrap();
    fs::write(folder.join("deep/known.json"), "{\"known_bad\": []}").unwrap();
    let keys = "out = \"out-a\"\nknown_bad = \"known.json\"\nlock = \"$NAMES/lock.json\"\n[[probe]]";
    let text = suite::EXPERIMENT.replace("./tiny", "../tiny").replacen("[[probe]]", keys, 1);
    let text = text.replace("{ tokens = [[1, 2, 3, 4, 5], [6, 7, 8]] }", "{ file = \"files/prompts.jsonl\" }");
    fs::write(folder.join("deep/exp.toml"), &text).unwrap();
    let vars = [("NAMES", "files"), ("HF_HUB_OFFLINE", "1")];
    let run = |more: &[&str]| run_with(&folder, &vars, &[&["run", "deep/exp.toml"], more].concat());
    run(&[]).ok();
    let results = suite::all_results(&folder.join("deep/out-a"));
    // Options count from where the command runs; where files lie changes no byte of a result.
    let sets = ["--set", "out='$NAMES/b'", "--set", "models=['./tiny']"];
    let prompts = ["--set", "probe.2.prompts.file='files/prompts.jsonl'"];
    run(&[&sets[..], &prompts].concat()).refused(&["cannot read files/prompts.jsonl", "count from the folder"]);
    fs::create_dir(folder.join("files")).unwrap();
    fs::copy(folder.join("deep/files/prompts.jsonl"), folder.join("files/prompts.jsonl")).unwrap();
    run(&[&sets[..], &prompts].concat()).ok();
    assert_eq!(suite::all_results(&folder.join("files/b")), results);
    run(&["--set", "out='~/c'"]).ok();
    assert_eq!(suite::all_results(&folder.join("c")), results, "HOME is the folder of the test");
    for key in ["out", "cache", "lock", "known_bad"] {
        let set = format!("{key}='$NOBODY/x'");
        let output = run(&["--set", &set]).refused(&["NOBODY is not set", &format!("`{key}`")]);
        assert_eq!(output.code, Some(USAGE));
    }
    let output = run(&["--set", "models=['$NOBODY/x']"]).refused(&["`models` names `$NOBODY/x`"]);
    assert_eq!(output.code, Some(USAGE));
    run(&["--set", "probe.2.prompts.file='$NOBODY/x'"]).refused(&["probe `token_loss` names", "NOBODY is not set"]);
    assert!(!folder.join("$NOBODY").exists() && !folder.join("~").exists());
}
