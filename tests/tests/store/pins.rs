//! What is pinned, what works offline, and what a plan says.

use pythia_tests::hub::MockHub;
use pythia_tests::{suite, tables};

use super::{SEEDS, STEPS, checkpoints, experiment, model, run, weights_of};

#[test]
fn a_sweep_over_the_hub_is_pinned_verified_and_equal_to_one_over_a_folder() {
    let folder = experiment("hub-sweep", &STEPS);
    let hub = MockHub::start(vec![model(&SEEDS)]);
    let output = run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert!(output.err.contains("exp.lock.json") && output.err.contains("Slowest stage: "), "{}", output.err);
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
fn offline_runs_send_no_request() {
    let folder = experiment("hub-offline", &STEPS);
    let hub = MockHub::start(vec![model(&SEEDS)]);
    for arguments in [&["run", "exp.toml", "--offline"][..], &["verify", "pythia-14m", "--offline"]] {
        let output = run(&folder, &hub, arguments).refused(&["pythia-14m"]);
        assert!(output.err.contains("offline") || output.err.contains("not in the cache"), "{}", output.err);
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
fn pins_stay_until_they_are_updated() {
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
    let output = run(&folder, &hub, &["lock", "exp.toml", "--update"]).ok();
    assert!(output.out.contains("step512 has moved from") && lock().contains(&commit), "{}", output.out);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"])
        .refused(&["was made with other settings", "weights_files"]);
    run(&folder, &hub, &["lock", "exp.toml", "--offline"]).refused(&["nothing can be pinned offline"]);
}

#[test]
fn a_plan_says_what_a_whole_model_takes_before_anything_is_fetched() {
    let folder = experiment("hub-plan", &[]);
    let hub = MockHub::start(vec![]);
    let all = ["plan", "exp.toml", "--set", "models=['pythia-70m']", "--set", "steps='all'"];
    let output = run(&folder, &hub, &all).ok();
    for words in
        ["fetch: 154 checkpoints, 25.6 GB", "34.1 min at 100 Mb/s", "3.4 min at 1 Gb/s", "498.1 MB to stream them"]
    {
        assert!(output.out.contains(words), "no {words:?} in\n{}", output.out);
    }
    assert_eq!(hub.accepted(), 0);
    assert!(!folder.join("cache").exists() && !folder.join("out").exists(), "a plan writes nothing");
}
