//! Folders with checkpoints that are broken or misnamed: nothing of them is left out in silence.

use std::fs;
use std::path::{Path, PathBuf};

use pythia_tests::{command, suite};

use super::CELLS_FAILED;

/// Checkpoints 0 to 5 of which 0 and 1 are whole, and folders with other names.
fn folder(name: &str) -> PathBuf {
    let folder = suite::experiment_folder(name, 6);
    let tiny = folder.join("tiny");
    fs::remove_file(tiny.join("step2/config.json")).unwrap();
    fs::remove_file(tiny.join("step3/model.safetensors")).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    fs::write(tiny.join("step4/model.safetensors"), pointer).unwrap();
    fs::remove_file(tiny.join("step5/model.safetensors")).unwrap();
    link(Path::new("../../blobs/gone"), &tiny.join("step5/model.safetensors"));
    fs::create_dir(tiny.join("checkpoint-512")).unwrap();
    fs::create_dir(tiny.join("step01")).unwrap();
    folder
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) {
    std::os::unix::fs::symlink(target, at).unwrap();
}

const MISNAMED: [&str; 2] = [
    "checkpoint-512 is not read as a step: rename it to step512",
    "step01 is not read as a step: its name means step1, which is there too",
];

const BROKEN: [&str; 3] = [
    "tiny step2 cannot be read: ./tiny/step2 has no config.json",
    "tiny step3 cannot be read: ./tiny/step3 has no weights",
    "tiny step5 cannot be read: ./tiny/step5/model.safetensors is a link to ../../blobs/gone, which is not there",
];

#[cfg(unix)]
#[test]
fn every_command_names_what_is_broken_or_misnamed() {
    let folder = folder("local-broken");
    let checked = command::run(&folder, &["validate", "experiment.toml"]).ok().err;
    let planned = command::run(&folder, &["plan", "experiment.toml", "--out", "out"]).ok().err;
    let ran = command::run(&folder, &["run", "experiment.toml", "--out", "out"]);
    assert_eq!(ran.code, Some(CELLS_FAILED), "{}", ran.err);
    assert!(ran.err.contains("2 cells done") && ran.err.contains("4 failed"), "{}", ran.err);
    assert!(ran.err.contains("it is a Git LFS pointer"), "{}", ran.err);
    let status = command::run(&folder, &["status", "out"]).ok().out;
    let summary = command::run(&folder, &["summary", "out"]).ok().out;
    for (command, text) in
        [("validate", &checked), ("plan", &planned), ("run", &ran.err), ("status", &status), ("summary", &summary)]
    {
        for line in MISNAMED.iter().chain(&BROKEN) {
            assert!(text.contains(line), "{command} does not say {line:?}:\n{text}");
        }
    }
}

#[test]
fn keys_of_which_nothing_is_known_are_shown() {
    let folder = suite::experiment_folder("local-keys", 1);
    let config = suite::config().to_json().replacen('{', "{\"mystery_scale\": 2, \"temperature\": NaN,", 1);
    fs::write(folder.join("tiny/step0/config.json"), &config).unwrap();
    let line = "tiny: nothing is known about these keys of its config.json, and they are not obeyed: mystery_scale";
    assert!(command::run(&folder, &["validate", "experiment.toml"]).ok().err.contains(line));
    let ran = command::run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    assert!(ran.err.contains(line), "{}", ran.err);
    fs::write(folder.join("tiny/step0/config.json"), config.replace("mystery_scale", "sliding_window")).unwrap();
    let refused = command::run(&folder, &["run", "experiment.toml", "--out", "out"]);
    refused.refused(&["`sliding_window` is 2, which would change what the model computes"]);
}
