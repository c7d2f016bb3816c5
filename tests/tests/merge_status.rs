//! `pythia merge` and `pythia status` from the outside, on the results of real sweeps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pythia_tests::{
    command::{self, finish, run, start},
    paths, suite, tables,
};

const STEPS: u32 = 12;

/// A sweep of its own, in `out`.
fn swept(name: &str) -> PathBuf {
    let folder = suite::experiment_folder(name, STEPS);
    run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    folder
}

fn merged(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    paths::contents(&folder.join("out/merged"))
}

#[test]
fn merged_tables_are_the_union_of_their_parts_in_every_reader() {
    let folder = swept("merge");
    let before = suite::all_results(&folder.join("out"));
    let output = run(&folder, &["merge", "out"]).ok();
    let mut names: Vec<String> = suite::PROBES.iter().map(|(probe, _)| (*probe).to_owned()).collect();
    names.push(suite::CHECKPOINTS.to_owned());
    for name in &names {
        let whole = tables::file(&folder.join(format!("out/merged/{name}/tiny.parquet")));
        // The parts' names sort as their steps do, so their union is in order too.
        assert!(whole.equals_missing(&tables::read(&folder.join("out"), name)), "{name}");
        assert!(whole.height() >= STEPS as usize);
        assert!(
            output.err.contains(&format!("{name}: tiny: {STEPS} parts, {} rows", whole.height())),
            "{}",
            output.err
        );
    }
    let first = merged(&folder);
    let expected: Vec<PathBuf> = {
        names.sort();
        names.iter().map(|name| PathBuf::from(format!("{name}/tiny.parquet"))).collect()
    };
    assert_eq!(first.keys().cloned().collect::<Vec<_>>(), expected);
    run(&folder, &["merge", "out"]).ok();
    assert_eq!(merged(&folder), first, "merging again changes nothing");
    run(&folder, &["merge", "out", "--out", "elsewhere"]).ok();
    assert_eq!(paths::contents(&folder.join("elsewhere")), first);
    assert_eq!(suite::all_results(&folder.join("out")), before, "the parts stay as they are");
    // The results are still those of the experiment, and a sweep finds everything done.
    let again = run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    assert!(again.err.contains(&format!(" s, {STEPS} done before, 0 failed")), "{}", again.err);
}

#[test]
fn a_merge_refuses_missing_parts_mixed_experiments_and_other_folders() {
    let folder = swept("merge-refused");
    let lost = folder.join("out/results/head_scores/tiny/step000007.parquet");
    let bytes = std::fs::read(&lost).unwrap();
    std::fs::remove_file(&lost).unwrap();
    let output = run(&folder, &["merge", "out"]).refused(&[
        "missing 1 of 36 parts",
        "head_scores: tiny step7",
        "--allow-missing",
    ]);
    assert_eq!(output.code, Some(1));
    assert!(!folder.join("out/merged").exists());
    let output = run(&folder, &["merge", "out", "--allow-missing"]).ok();
    assert!(output.err.contains("warning: missing 1 of 36 parts"), "{}", output.err);
    assert_eq!(
        tables::texts(&tables::file(&folder.join("out/merged/head_scores/tiny.parquet")), "step")
            .iter()
            .filter(|step| *step == "7")
            .count(),
        0
    );
    std::fs::write(&lost, bytes).unwrap();
    // A part of another experiment, as somebody may have copied it.
    run(&folder, &["run", "experiment.toml", "--out", "other", "--set", "probe.0.prompts.n=5"]).ok();
    std::fs::copy(folder.join("other/results/head_scores/tiny/step000007.parquet"), &lost).unwrap();
    let output = run(&folder, &["merge", "out"]).refused(&[
        "step000000.parquet",
        "step000007.parquet",
        "probe.prompts.n is 4 there and 5 here",
    ]);
    assert_eq!(output.code, Some(3));
    for (arguments, words) in [
        (&["merge", "tiny"][..], "is not an output folder of `pythia run`"),
        (&["merge", "nowhere"], "is not an output folder of `pythia run`"),
        (&["status", "nowhere"], "is not an output folder of `pythia run`"),
        (&["merge", "out", "--out", "out/results/merged"], "is one of the files that this command reads"),
    ] {
        assert_eq!(run(&folder, arguments).refused(&[words]).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_duplicate_that_was_left_out_is_neither_missing_nor_planned() {
    let folder = suite::experiment_folder("merge-left-out", STEPS);
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder.join("tiny/step4").join(file), folder.join("tiny/step9").join(file)).unwrap();
    }
    run(&folder, &["run", "experiment.toml", "--out", "out", "--on-bad", "skip"]).ok();
    let status = run(&folder, &["status", "out"]).ok();
    assert!(status.out.starts_with("tiny: 11 of 12 cells done (92 %), 1 left out\n"), "{}", status.out);
    let output = run(&folder, &["merge", "out"]).ok();
    assert!(output.err.contains("left out as bad: 1 checkpoint,"), "{}", output.err);
    let table = tables::file(&folder.join("out/merged/checkpoints/tiny.parquet"));
    assert!(tables::texts(&table, "checkpoint_status").contains(&"duplicate_of:4".to_owned()));
    assert!(
        !tables::texts(&tables::file(&folder.join("out/merged/token_loss/tiny.parquet")), "step")
            .contains(&"9".to_owned())
    );
}

/// The one experiment of a status in JSON.
fn standing(folder: &Path) -> serde_json::Value {
    let output = run(folder, &["status", "out", "--json"]).ok();
    let status: serde_json::Value = serde_json::from_str(&output.out).expect("JSON");
    let experiments = status["experiments"].as_array().expect("a list");
    assert_eq!(experiments.len(), 1, "{status}");
    experiments[0].clone()
}

#[test]
fn a_status_follows_a_run_without_touching_it() {
    // Many steps, so that the sweep is still going on when it is asked for.
    let folder = suite::experiment_folder("status-running", 20 * STEPS);
    let watched = command::until_caught("the sweep", |_| {
        if folder.join("out").exists() {
            std::fs::remove_dir_all(folder.join("out")).expect("an earlier attempt can be removed");
        }
        let mut child = start(&folder, &["run", "experiment.toml", "--out", "out"]);
        command::wait_until("the first results", suite::PATIENCE, || suite::count(&folder.join("out")) > 0);
        let before = standing(&folder);
        if !command::is_running(&mut child) {
            return None;
        }
        assert_eq!(before["name"], "tiny");
        assert_eq!(before["cells"]["total"], 20 * STEPS);
        assert_eq!(before["processes"][0]["pid"], child.id());
        let watched = run(&folder, &["status", "out", "--watch", "0.1"]).ok();
        finish(child).ok();
        watched.out.contains("running: process ").then_some(watched)
    });
    let lines: Vec<&str> = watched.out.lines().collect();
    assert!(lines[0].starts_with("tiny: ") && lines[0].contains(" of 240 cells done ("), "{}", watched.out);
    assert!(watched.out.contains("tiny: 240 of 240 cells done (100 %)\n  No run is active.\n"), "{}", watched.out);
    assert!(!watched.out.contains('\u{1b}'), "a pipe is no terminal");
    let after = standing(&folder);
    assert_eq!((&after["cells"]["done"], &after["processes"]), (&serde_json::json!(240), &serde_json::json!([])));
    let results = suite::all_results(&folder.join("out"));
    run(&folder, &["status", "out"]).ok();
    assert_eq!(suite::all_results(&folder.join("out")), results);
}

#[test]
fn a_status_names_failures_and_runs_that_were_killed() {
    let folder = suite::experiment_folder("status-failed", STEPS);
    std::fs::write(folder.join("tiny/step3/model.safetensors"), b"cut").unwrap();
    let output = run(&folder, &["run", "experiment.toml", "--out", "out"]);
    assert_eq!(output.code, Some(1), "{}", output.err);
    let status = run(&folder, &["status", "out"]).ok();
    assert!(
        status.out.starts_with("tiny: 11 of 12 cells done (92 %), 1 failed\n  No run is active.\n  last: tiny step"),
        "{}",
        status.out
    );
    assert!(status.out.contains("  failed: tiny step3, "), "{}", status.out);
    // A run that was killed: it has begun and never ended, and its journal is cut.
    std::fs::remove_dir_all(folder.join("out/results/token_loss")).unwrap();
    let journal = folder.join("out/state/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    assert!(text.trim_end().ends_with("}}}"), "{text}");
    let unfinished: Vec<&str> = text.lines().filter(|line| !line.contains("\"finished\"")).collect();
    std::fs::write(&journal, format!("{}\n{{\"time\":17", unfinished.join("\n"))).unwrap();
    let status = run(&folder, &["status", "out", "--watch"]).ok();
    let expected =
        "tiny: 0 of 12 cells done (0 %), 1 failed, 11 to do\n  No run is active; run the experiment again to resume.\n";
    assert!(status.out.starts_with(expected), "{}", status.out);
    run(&folder, &["status", "out", "--watch", "never"]).refused(&["seconds from 0.1 to 86400 are expected"]);
}

/// Gives every part of a folder of results the table version 3 in its metadata. Nothing else changes: the two digits
/// have one length.
fn make_old(folder: &Path) {
    let current = pythia_report::results::TABLE_VERSION.to_string();
    // In the footer a text is its length and its bytes; 0x18 says that the value of the key follows.
    let (key, value) = (b"pythia.table_version\x18\x01".as_slice(), current.as_bytes());
    assert_eq!(value.len(), 1, "another length needs another footer");
    for path in suite::parts(folder) {
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(key.len()).position(|window| window == key).expect("parts carry their version");
        assert_eq!(&bytes[at + key.len()..][..1], value, "{}", path.display());
        bytes[at + key.len()] = b'3';
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn results_of_another_version_are_named_by_every_command_and_replaced_by_a_fresh_run() {
    let folder = swept("other-version");
    let whole = suite::all_results(&folder.join("out"));
    make_old(&folder.join("out/results"));
    let old = suite::all_results(&folder.join("out"));
    assert_ne!(old, whole);
    let run_out = ["run", "experiment.toml", "--out", "out"];
    let names = ["probe.0.name=\"a\"", "probe.1.name=\"b\"", "probe.2.name=\"c\""];
    let renamed = [&run_out[..], &names.map(|name| ["--set", name]).concat()].concat();
    for arguments in [&run_out[..], &renamed, &["plan", "experiment.toml", "--out", "out"], &["merge", "out"]] {
        let output = run(&folder, arguments).refused(&["was made by another version", "is of version 3 there and"]);
        assert_eq!((output.code, suite::all_results(&folder.join("out")) == old), (Some(3), true), "{arguments:?}");
    }
    run(&folder, &["summary", "out"]).refused(&["was made by another version", "table version 3"]);
    let status = run(&folder, &["status", "out"]).ok();
    assert!(status.out.starts_with("warning: out/results/checkpoints/tiny/step000000.parquet was made"), "{status:?}");
    run(&folder, &[&run_out[..], &["--fresh"]].concat()).ok();
    assert_eq!(suite::all_results(&folder.join("out")), whole);
    run(&folder, &["summary", "out"]).ok();
    // The rows of checkpoints are looked at too.
    make_old(&folder.join("out/results/checkpoints"));
    run(&folder, &run_out).refused(&["table `checkpoints` is of version 3 there", "--fresh"]);
}
