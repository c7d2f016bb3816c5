//! Checkpoints that are missing, duplicates of others, or known to be wrong.

use pythia_tests::command;
use pythia_tests::hub::{MockHub, MockRepo};
use pythia_tests::{paths, suite, tables};

use super::{BAD_INPUT, CELLS_FAILED, MODEL, STEPS, checkpoints, experiment, file, model, run};

#[test]
fn equal_weights_of_two_steps_end_the_plan_unless_allowed() {
    let folder = experiment("hub-duplicates", &STEPS);
    let hub = MockHub::start(vec![model(&[(0, 1), (1, 1), (2, 2), (512, 3), (1000, 3)])]);
    let output = run(&folder, &hub, &["run", "exp.toml"]).refused(&[
        "2 of the chosen checkpoints are not what their names say",
        "pythia-14m step512: duplicate_of:1000: its weights are those of step1000",
        "pythia-14m step1000: duplicate_of:512",
        "--on-bad skip",
    ]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert_eq!(hub.count("resolve/"), hub.count("config.json"), "only what describes the model was fetched");
    let output = run(&folder, &hub, &["run", "exp.toml", "--on-bad", "skip", "--out", "skip"]).ok();
    assert!(output.err.contains("3 cells done") && output.err.contains("2 left out as bad"), "{}", output.err);
    let statuses = ["ok", "ok", "ok", "duplicate_of:1000", "duplicate_of:512"];
    assert_eq!(checkpoints(&folder.join("skip"), "checkpoint_status"), statuses);
    run(&folder, &hub, &["run", "exp.toml", "--on-bad", "mark", "--out", "mark"]).ok();
    assert_eq!(checkpoints(&folder.join("mark"), "checkpoint_status"), statuses);
    let scores = tables::read(&folder.join("mark"), "head_scores");
    assert!(!tables::rows(&scores, &[("step", "1000"), ("checkpoint_status", "duplicate_of:512")]).is_empty());
}

#[test]
fn equal_weights_in_a_folder_are_found_while_they_are_read() {
    let folder = suite::experiment_folder("local-duplicates", 4);
    std::fs::copy(folder.join("tiny/step2/model.safetensors"), folder.join("tiny/step3/model.safetensors")).unwrap();
    let output =
        command::run(&folder, &["run", "experiment.toml", "--out", "out"]).refused(&["duplicate_of:2", "on_bad"]);
    assert_eq!(output.code, Some(CELLS_FAILED));
    command::run(&folder, &["run", "experiment.toml", "--out", "out", "--on-bad", "mark"]).ok();
    let expected = ["unverified", "unverified", "unverified", "duplicate_of:2"];
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), expected);
    // The same after a run that did the first three only.
    command::run(&folder, &["run", "experiment.toml", "--out", "two", "--on-bad", "mark", "--limit", "3"]).ok();
    command::run(&folder, &["run", "experiment.toml", "--out", "two", "--on-bad", "mark"]).ok();
    assert_eq!(suite::all_results(&folder.join("two")), suite::all_results(&folder.join("out")));
    let output = command::run(&folder, &["verify", "./tiny"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert!(output.out.contains("its weights are those of step2") && output.out.contains("step3"), "{}", output.out);
}

#[test]
fn a_list_of_defects_can_be_extended() {
    let folder = suite::experiment_folder("known-bad", 3);
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
    let bin = std::fs::read(paths::fixtures().join("parallel-bin/pytorch_model.bin")).unwrap();
    let shape = std::fs::read_to_string(paths::fixtures().join("parallel-bin/config.json")).unwrap();
    let safe = std::fs::read(paths::fixtures().join("parallel/model.safetensors")).unwrap();
    let same = file("model.safetensors", safe.clone());
    let mut repo = MockRepo::new(MODEL);
    for (step, weights) in [
        (0, vec![file("model.safetensors", other_values(&safe))]),
        (2, vec![]),
        (512, vec![same.clone(), file("pytorch_model.bin", bin)]),
        (1000, vec![same]),
    ] {
        let config = vec![file("config.json", shape.clone())];
        repo = repo.branch(&format!("step{step}"), [config, weights].concat());
    }
    let hub = MockHub::start(vec![repo]);
    let tokens = "probe.2.prompts={ tokens = [[1, 2]] }";
    let output = run(&folder, &hub, &["run", "exp.toml", "--set", tokens])
        .refused(&["pythia-14m step2: missing: the branch holds no weights", "pythia-14m step1000: duplicate_of:512"]);
    assert!(!output.err.contains("step512: "), "its other form is its own: {}", output.err);
    run(&folder, &hub, &["run", "exp.toml", "--on-bad", "mark", "--out", "out", "--set", tokens]);
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
fn a_branch_that_the_hub_lacks_is_missing_and_steps_without_pins_are_not_called_good() {
    let folder = experiment("hub-absent", &[0, 2, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    run(&folder, &hub, &["run", "exp.toml"]).refused(&["pythia-14m step2: missing: the hub has no such branch"]);
    run(&folder, &hub, &["run", "exp.toml", "--on-bad", "skip", "--out", "out"]).ok();
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok", "missing", "ok"]);
    let output = run(&folder, &hub, &["plan", "exp.toml"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    let output = run(&folder, &hub, &["verify", "pythia-14m", "--lock", "exp.lock.json", "--steps", "0,1000"]).ok();
    assert!(output.out.contains("1 of them not checked: no published hash"), "{}", output.out);
    run(&folder, &hub, &["verify", "pythia-14m", "--steps", "3"]).refused(&["pythia-14m has no step3"]);
}

/// The defects of pythia-2.8b as they were found: 76 branches with the weights of main, ten with one other file.
#[test]
fn verify_names_the_86_wrong_branches_of_the_2_8b_model() {
    let folder = paths::scratch("hub-verify");
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
    let output = run(&folder, &hub, &["verify", "pythia-2.8b"]);
    assert_eq!(output.code, Some(BAD_INPUT), "{}", output.err);
    assert!(output.out.contains("154 checkpoints: 68 not known to be bad, 86 bad"), "{}", output.out);
    let named = output.out.split_whitespace().filter(|word| word.starts_with("step") && word.len() > 4);
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
    let output = run(&folder, &hub, &["verify", "pythia-2.8b", "--steps", "66000,67000"]).ok();
    assert!(output.out.contains("2 checkpoints: 2 not known to be bad, 0 bad"), "{}", output.out);
}
