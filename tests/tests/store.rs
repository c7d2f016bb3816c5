//! Sweeps over checkpoints of a hub: pins, statuses, budgets, and a server that goes away.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use pythia_core::weights;
use pythia_tests::{
    command::{self, Said},
    hub::{Body, Fault, MockFile, MockHub, MockRepo},
    place, random, suite, tables,
};

const CELLS_FAILED: i32 = 1;
const BAD_INPUT: i32 = 3;
const RESOURCES: i32 = 4;
const TEMPORARY: i32 = 75;

const MODEL: &str = "EleutherAI/pythia-14m";

/// Weights of the suite's tiny shape; equal seeds are equal weights.
fn weights_of(seed: u64) -> Vec<u8> {
    let config = suite::config();
    weights::to_safetensors(&config, &random::params(&config, seed))
}

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> MockFile {
    MockFile::new(name, Body::Bytes(bytes.into()))
}

/// A branch with the tiny shape's configuration and these other files.
fn branch(repo: MockRepo, step: u32, mut files: Vec<MockFile>) -> MockRepo {
    files.push(file("config.json", suite::config().to_json()));
    files.push(file(".gitattributes", "*.bin lfs"));
    repo.branch(&format!("step{step}"), files)
}

/// A model with these steps, each with the weights of its seed.
fn model(steps: &[(u32, u64)]) -> MockRepo {
    let add = |repo, &(step, seed): &(u32, u64)| branch(repo, step, vec![file("model.safetensors", weights_of(seed))]);
    steps.iter().fold(MockRepo::new(MODEL), add)
}

/// A folder with an experiment over these steps of the model.
fn experiment(name: &str, steps: &[u32]) -> PathBuf {
    let folder = place::scratch(name);
    let text = suite::EXPERIMENT.replace("./tiny", "pythia-14m").replace("\"all\"", &format!("{steps:?}"));
    std::fs::write(folder.join("exp.toml"), text).unwrap();
    folder
}

fn pythia(folder: &Path, hub: &MockHub, arguments: &[&str]) -> Command {
    let mut command = command::pythia(folder);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", hub.endpoint()).env("HF_HUB_CACHE", folder.join("cache"));
    command.args(arguments);
    command
}

fn run(folder: &Path, hub: &MockHub, arguments: &[&str]) -> Said {
    Said::of(pythia(folder, hub, arguments).output().unwrap())
}

/// The words of a column of the table of checkpoints, by ascending step.
fn checkpoints(out: &Path, column: &str) -> Vec<String> {
    tables::words(&tables::read(out, "checkpoints"), column)
}

const STEPS: [u32; 5] = [0, 1, 2, 512, 1000];
/// Steps 0 and 1 have the same weights, as in every model of the suite.
const SEEDS: [(u32, u64); 5] = [(0, 1), (1, 1), (2, 2), (512, 3), (1000, 4)];

#[test]
fn a_sweep_over_the_hub_is_pinned_verified_and_equal_to_one_over_a_folder() {
    let folder = experiment("hub-sweep", &STEPS);
    let hub = MockHub::start(vec![model(&SEEDS)]);
    let said = run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert!(said.err.contains("exp.lock.json") && said.err.contains("Slowest stage: "), "{}", said.err);
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok"; 5]);
    // Once more from the cache: with the lock file and the cache, the hub is not asked.
    let asked = hub.accepted();
    run(&folder, &hub, &["run", "exp.toml", "--out", "again"]).ok();
    assert_eq!(hub.accepted(), asked);
    assert_eq!(suite::all_results(&folder.join("again")), suite::all_results(&folder.join("out")));
    // Pinned but not in the cache: only bytes are requested, no lists.
    std::fs::remove_dir_all(folder.join("cache")).unwrap();
    let listed = hub.count("/api/");
    run(&folder, &hub, &["run", "exp.toml", "--out", "third"]).ok();
    assert_eq!(hub.count("/api/"), listed);
    assert_eq!(suite::all_results(&folder.join("third")), suite::all_results(&folder.join("out")));

    for (step, seed) in SEEDS {
        let at = folder.join(format!("local/step{step}"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("config.json"), suite::config().to_json()).unwrap();
        std::fs::write(at.join("model.safetensors"), weights_of(seed)).unwrap();
    }
    let local = ["run", "exp.toml", "--out", "here", "--set", "models=['./local']"];
    run(&folder, &hub, &local).ok();
    for (table, column) in suite::PROBES {
        let [a, b] = ["out", "here"].map(|out| tables::floats(&tables::read(&folder.join(out), table), column));
        assert_eq!(a, b, "{table}");
    }
    assert_eq!(checkpoints(&folder.join("here"), "checkpoint_status"), ["unverified"; 5]);
}

#[test]
fn offline_nothing_is_asked() {
    let folder = experiment("hub-offline", &STEPS);
    let hub = MockHub::start(vec![model(&SEEDS)]);
    for arguments in [&["run", "exp.toml", "--offline"][..], &["verify", "pythia-14m", "--offline"]] {
        let said = run(&folder, &hub, arguments).refused(&["pythia-14m"]);
        assert!(said.err.contains("offline") || said.err.contains("not in the cache"), "{}", said.err);
    }
    // Planning and validating never ask, with or without the flag.
    run(&folder, &hub, &["plan", "exp.toml"]).ok();
    run(&folder, &hub, &["validate", "exp.toml"]).ok();
    assert_eq!(hub.accepted(), 0);
    // What was fetched can be used without the hub.
    run(&folder, &hub, &["cache", "fetch", "exp.toml"]).ok();
    let before = hub.accepted();
    run(&folder, &hub, &["run", "exp.toml", "--offline", "--out", "out"]).ok();
    assert_eq!(hub.accepted(), before);
}

#[test]
fn equal_weights_of_two_steps_end_the_plan_unless_told_otherwise() {
    let folder = experiment("hub-duplicates", &STEPS);
    let hub = MockHub::start(vec![model(&[(0, 1), (1, 1), (2, 2), (512, 3), (1000, 3)])]);
    let said = run(&folder, &hub, &["run", "exp.toml"]).refused(&[
        "2 of the chosen checkpoints are not what their names say",
        "pythia-14m step512: duplicate_of:1000: its weights are those of step1000",
        "pythia-14m step1000: duplicate_of:512",
        "--on-bad skip",
    ]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
    assert_eq!(hub.count("resolve/"), hub.count("config.json"), "only what describes the model was fetched");
    let said = run(&folder, &hub, &["run", "exp.toml", "--on-bad", "skip", "--out", "skip"]).ok();
    assert!(said.err.contains("3 cells done") && said.err.contains("2 left out as bad"), "{}", said.err);
    let statuses = ["ok", "ok", "ok", "duplicate_of:1000", "duplicate_of:512"];
    assert_eq!(checkpoints(&folder.join("skip"), "checkpoint_status"), statuses);
    run(&folder, &hub, &["run", "exp.toml", "--on-bad", "mark", "--out", "mark"]).ok();
    assert_eq!(checkpoints(&folder.join("mark"), "checkpoint_status"), statuses);
    let scores = tables::read(&folder.join("mark"), "head_scores");
    assert!(!tables::rows(&scores, &[("step", "1000"), ("checkpoint_status", "duplicate_of:512")]).is_empty());
}

#[test]
fn equal_weights_in_a_folder_are_found_while_they_are_read() {
    let folder = suite::study("local-duplicates", 4);
    std::fs::copy(folder.join("tiny/step2/model.safetensors"), folder.join("tiny/step3/model.safetensors")).unwrap();
    let said =
        command::run(&folder, &["run", "experiment.toml", "--out", "out"]).refused(&["duplicate_of:2", "on_bad"]);
    assert_eq!(said.code, Some(CELLS_FAILED));
    command::run(&folder, &["run", "experiment.toml", "--out", "out", "--on-bad", "mark"]).ok();
    let expected = ["unverified", "unverified", "unverified", "duplicate_of:2"];
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), expected);
    // The same after a run that did the first three only.
    command::run(&folder, &["run", "experiment.toml", "--out", "two", "--on-bad", "mark", "--limit", "3"]).ok();
    command::run(&folder, &["run", "experiment.toml", "--out", "two", "--on-bad", "mark"]).ok();
    assert_eq!(suite::all_results(&folder.join("two")), suite::all_results(&folder.join("out")));
    let said = command::run(&folder, &["verify", "./tiny"]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
    assert!(said.out.contains("its weights are those of step2") && said.out.contains("step3"), "{}", said.out);
}

#[test]
fn a_list_of_defects_can_be_extended() {
    let folder = suite::study("known-bad", 3);
    let list = r#"{"known_bad": [{"models": ["tiny"], "kind": "wrong_weights", "steps": [[1, 1]],
        "problem": "from another run", "source": "our notes"}]}"#;
    std::fs::write(folder.join("list.json"), list).unwrap();
    let list = ["--set", "known_bad='list.json'"];
    let run = |more: &[&str]| command::run(&folder, &[&["run", "experiment.toml"], more, &list].concat());
    run(&[]).refused(&["tiny step1: known_bad: from another run (our notes)"]);
    run(&["--on-bad", "skip", "--out", "skip"]).ok();
    assert_eq!(checkpoints(&folder.join("skip"), "reason")[1], "from another run (our notes)");
    std::fs::write(folder.join("list.json"), "{}").unwrap();
    run(&[]).refused(&["list.json is not a list of known defects"]);
}

#[test]
fn a_branch_without_weights_is_missing_and_the_other_form_of_a_duplicate_is_read() {
    let folder = experiment("hub-forms", &[0, 2, 512, 1000]);
    let bin = std::fs::read(place::fixtures().join("parallel-bin/pytorch_model.bin")).unwrap();
    let shape = std::fs::read_to_string(place::fixtures().join("parallel-bin/config.json")).unwrap();
    let repo = |step, files: Vec<MockFile>, repo: MockRepo| {
        let config = vec![file("config.json", shape.clone())];
        repo.branch(&format!("step{step}"), [config, files].concat())
    };
    let safe = std::fs::read(place::fixtures().join("parallel/model.safetensors")).unwrap();
    let same = || file("model.safetensors", safe.clone());
    let hub = MockHub::start(vec![repo(
        1000,
        vec![same()],
        repo(
            512,
            vec![same(), file("pytorch_model.bin", bin)],
            repo(2, vec![], repo(0, vec![file("model.safetensors", other_values(&safe))], MockRepo::new(MODEL))),
        ),
    )]);
    let said = run(&folder, &hub, &["run", "exp.toml", "--set", "probe.2.tokens=[[1, 2]]"])
        .refused(&["pythia-14m step2: missing: the branch holds no weights", "pythia-14m step1000: duplicate_of:512"]);
    assert!(!said.err.contains("step512: "), "its other form is its own: {}", said.err);
    let skip = ["run", "exp.toml", "--on-bad", "mark", "--out", "out", "--set", "probe.2.tokens=[[1, 2]]"];
    run(&folder, &hub, &skip);
    assert!(hub.count("pytorch_model.bin") > 0, "the other form was fetched");
    let statuses = checkpoints(&folder.join("out"), "checkpoint_status");
    assert_eq!(statuses[1], "missing");
    let reasons = checkpoints(&folder.join("out"), "reason");
    assert!(reasons[2].contains("pytorch_model.bin, another file, was read instead"), "{reasons:?}");
}

/// The same file with one value changed a little, in the middle of the weights.
fn other_values(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[test]
fn a_budget_is_kept_while_a_sweep_streams() {
    let steps: Vec<(u32, u64)> = (0..20).map(|at| (1000 * (at + 1), u64::from(at) + 1)).collect();
    let labels: Vec<u32> = steps.iter().map(|(step, _)| *step).collect();
    let folder = experiment("hub-budget", &labels);
    let hub = MockHub::start(vec![model(&steps)]);
    let one = weights_of(1).len() as u64;
    let budget = format!("{}B", 4 * one);
    let run_with =
        |budget: &str, out: &str| run(&folder, &hub, &["run", "exp.toml", "--cache-max", budget, "--out", out]);
    run_with(&budget, "out").ok();
    let held: u64 = place::contents(&folder.join("cache"))
        .iter()
        .filter(|(path, _)| path.starts_with(blobs()))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert!(held > 0 && held <= 4 * one, "{held} of {}", 4 * one);
    let said = run_with("1kB", "none").refused(&["does not fit into a cache of 1.0 kB", "--cache-max"]);
    assert_eq!(said.code, Some(RESOURCES), "{}", said.err);
    let listed = run(&folder, &hub, &["cache", "ls"]).ok().out;
    assert!(listed.contains("EleutherAI/pythia-14m") && listed.contains("fetched by pythia"), "{listed}");
    assert!(run(&folder, &hub, &["cache", "verify"]).ok().out.contains(", 0 are wrong"));
    run(&folder, &hub, &["cache", "prune"]).ok();
    assert!(run(&folder, &hub, &["cache", "ls"]).ok().out.contains("0 B fetched by pythia"));
}

fn blobs() -> PathBuf {
    PathBuf::from("models--EleutherAI--pythia-14m/blobs")
}

#[test]
fn a_server_that_goes_away_ends_the_sweep_and_the_same_command_resumes_it() {
    let steps: Vec<(u32, u64)> = (0..12).map(|at| (1000 * (at + 1), u64::from(at) + 1)).collect();
    let labels: Vec<u32> = steps.iter().map(|(step, _)| *step).collect();
    let folder = experiment("hub-gone", &labels);
    let hub = MockHub::start(vec![model(&steps)]);
    run(&folder, &hub, &["run", "exp.toml", "--out", "whole"]).ok();
    std::fs::remove_dir_all(folder.join("cache")).unwrap();
    hub.die_after(12);
    let said = run(&folder, &hub, &["run", "exp.toml", "--out", "out"]);
    assert_eq!(said.code, Some(TEMPORARY), "{}", said.err);
    assert!(
        said.err.contains("was not asked again") && said.err.contains("run the same command again"),
        "{}",
        said.err
    );
    let some = suite::results(&folder.join("out")).len();
    assert!(some > 0 && some < suite::results(&folder.join("whole")).len(), "{some}");
    hub.heal();
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(suite::all_results(&folder.join("out")), suite::all_results(&folder.join("whole")));
}

#[test]
fn a_byte_that_arrives_wrong_is_fetched_again() {
    let folder = experiment("hub-flip", &[0, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    // The second server's paths have a query. It sends the bytes; the first server only redirects.
    hub.fault("model.safetensors?", 1, Fault::Flip(1000));
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(hub.count("model.safetensors?"), 3, "two files, one of them twice");
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok", "ok"]);
}

#[test]
fn what_is_pinned_stays_so_until_told_otherwise() {
    let folder = experiment("hub-moved", &[0, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2), (1000, 3)])]);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    let lock = || std::fs::read_to_string(folder.join("exp.lock.json")).unwrap();
    let before = lock();
    // Another commit with other weights takes the branch's name.
    let other = model(&[(0, 1), (512, 9), (1000, 3)]);
    drop(hub);
    let files = other.commits[&other.branches["step512"]].clone();
    let mut moved = model(&[(0, 1), (512, 2), (1000, 3)]);
    let commit = "ab".repeat(20);
    moved.commits.insert(commit.clone(), files);
    moved.branches.insert("step512".to_owned(), commit.clone());
    let hub = MockHub::start(vec![moved]);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(lock(), before);
    // A further step is pinned beside the others.
    run(&folder, &hub, &["lock", "exp.toml", "--set", "steps=[0, 512, 1000]"]).ok();
    assert!(!lock().contains(&commit) && lock().contains("step1000"));
    // Only the update moves it, and results of the old weights are not mixed with those of the new.
    let said = run(&folder, &hub, &["lock", "exp.toml", "--update"]).ok();
    assert!(said.out.contains("step512 has moved from") && lock().contains(&commit), "{}", said.out);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"])
        .refused(&["was made with other settings", "weights_files"]);
    run(&folder, &hub, &["lock", "exp.toml", "--offline"]).refused(&["nothing can be pinned offline"]);
}

#[test]
fn a_branch_that_the_hub_lacks_is_missing_and_steps_without_pins_are_not_called_good() {
    let folder = experiment("hub-absent", &[0, 2, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    run(&folder, &hub, &["run", "exp.toml"]).refused(&["pythia-14m step2: missing: the hub has no such branch"]);
    run(&folder, &hub, &["run", "exp.toml", "--on-bad", "skip", "--out", "out"]).ok();
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok", "missing", "ok"]);
    let said = run(&folder, &hub, &["plan", "exp.toml"]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
    let said = run(&folder, &hub, &["verify", "pythia-14m", "--lock", "exp.lock.json", "--steps", "0,1000"]).ok();
    assert!(said.out.contains("1 with no published hash"), "{}", said.out);
    run(&folder, &hub, &["verify", "pythia-14m", "--steps", "3"]).refused(&["pythia-14m has no step3"]);
}

/// The defects of pythia-2.8b as they were found: 76 branches with the weights of main, ten with one other file.
#[test]
fn verify_names_the_86_wrong_branches_of_the_2_8b_model() {
    let folder = place::scratch("hub-verify");
    let id: pythia_core::suite::ModelId = "pythia-2.8b".parse().unwrap();
    let wrong = |step| pythia_core::suite::suite().known_bad(id, step);
    let mut repo = MockRepo::new("EleutherAI/pythia-2.8b").branch("main", vec![file("model.safetensors", "main")]);
    for step in id.info().grid() {
        let content = match wrong(*step) {
            Some(defect) if defect.problem.contains("76 branches") => "main".to_owned(),
            Some(_) => "the other".to_owned(),
            None => format!("of its own {step}"),
        };
        let files = vec![file("config.json", "{}"), file("model.safetensors", content.into_bytes())];
        repo = repo.branch(&step.to_string(), files);
    }
    let hub = MockHub::start(vec![repo]);
    let said = run(&folder, &hub, &["verify", "pythia-2.8b"]);
    assert_eq!(said.code, Some(BAD_INPUT), "{}", said.err);
    assert!(said.out.contains("154 checkpoints: 68 not known to be bad, 86 bad"), "{}", said.out);
    let named = said.out.split_whitespace().filter(|word| word.starts_with("step") && word.len() > 4);
    let named: std::collections::BTreeSet<&str> = named.collect();
    for step in id.info().grid().iter().filter(|step| wrong(**step).is_some()) {
        assert!(named.contains(step.to_string().as_str()), "{step} is not named");
    }
    assert_eq!(hub.count("resolve/"), 0, "nothing was fetched");
    let json: serde_json::Value =
        serde_json::from_str(&run(&folder, &hub, &["verify", "pythia-2.8b", "--json"]).out).unwrap();
    let steps = json["findings"]["steps"].as_array().unwrap();
    let bad = steps.iter().filter(|step| step["checkpoint_status"] != "ok").count();
    assert_eq!(bad, 86);
    let said = run(&folder, &hub, &["verify", "pythia-2.8b", "--steps", "66000,67000"]).ok();
    assert!(said.out.contains("2 checkpoints: 2 not known to be bad, 0 bad"), "{}", said.out);
}

#[test]
fn a_plan_says_what_a_whole_model_takes_before_anything_is_fetched() {
    let folder = experiment("hub-plan", &[]);
    let hub = MockHub::start(vec![]);
    let all = ["plan", "exp.toml", "--set", "models=['pythia-70m']", "--set", "steps='all'"];
    let said = run(&folder, &hub, &all).ok();
    for words in
        ["fetch: 154 checkpoints, 25.6 GB", "34.1 min at 100 Mb/s", "3.4 min at 1 Gb/s", "498.1 MB to stream them"]
    {
        assert!(said.out.contains(words), "no {words:?} in\n{}", said.out);
    }
    assert_eq!(hub.accepted(), 0);
    assert!(!folder.join("cache").exists() && !folder.join("out").exists(), "a plan writes nothing");
}
