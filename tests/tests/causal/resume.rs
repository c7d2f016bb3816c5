//! Runs that were interrupted, that are parts of others, or of which a part fails.

use pythia_tests::command::{self, run};
use pythia_tests::{paths, suite};

use super::{CELLS_FAILED, INDUCTION, PROBES, all, experiment, experiment_folder, sweep, write};

#[test]
fn a_sweep_that_was_killed_and_lost_files_ends_in_the_same_bytes() {
    const STEPS: u32 = 24;
    let folder = experiment_folder("causal-killed", STEPS, &all(INDUCTION));
    sweep(&folder, "whole").ok();
    let whole = suite::results(&folder.join("whole"));
    assert_eq!(whole.len(), 2 * PROBES.len() * STEPS as usize);
    let out = command::until_caught("the sweep", |attempt| {
        let out = format!("broken-{attempt}");
        suite::killed_thrice(&folder, &out, &whole).map(|()| out)
    });
    sweep(&folder, &out).ok();
    let broken = folder.join(&out);
    assert_eq!(suite::results(&broken), whole);
    // One of the two tables of a probe is missing, of different probes at different steps.
    let lost = ["ablation/tiny/step000003", "ablation_examples/tiny/step000005", "direct/tiny/step000003"];
    for name in lost.iter().chain(&["cross_checkpoint_examples/tiny/step000001", "steering/tiny/step000000"]) {
        std::fs::remove_file(broken.join("results").join(format!("{name}.parquet"))).expect("a result can be removed");
    }
    let output = sweep(&folder, &out).ok();
    assert!(output.err.contains("4 cells done") && output.err.contains("20 done before"), "{}", output.err);
    assert_eq!(suite::results(&broken), whole);
}

#[test]
fn a_probe_by_itself_gives_the_bytes_that_it_gives_among_others() {
    let folder = experiment_folder("causal-alone", 2, &all(INDUCTION));
    sweep(&folder, "together").ok();
    let together = suite::results(&folder.join("together"));
    for (name, text) in PROBES {
        write(&folder, "experiment.toml", &experiment([text], INDUCTION));
        sweep(&folder, name).ok();
        let alone = suite::results(&folder.join(name));
        assert_eq!(alone.len(), 4, "{name}");
        for (path, bytes) in alone {
            assert!(together.get(&path) == Some(&bytes), "{}", path.display());
        }
    }
}

#[test]
fn a_source_checkpoint_that_cannot_be_read_fails_its_own_probe_alone() {
    let folder = experiment_folder("causal-source", 3, &all(INDUCTION));
    sweep(&folder, "good").ok();
    let good = suite::results(&folder.join("good"));
    std::fs::write(folder.join("tiny/step1/model.safetensors"), b"short").expect("a file can be written");
    let output = run(&folder, &["run", "experiment.toml", "--out", "bad", "--set", "steps=[0, 2]"]);
    assert_eq!(output.code, Some(CELLS_FAILED), "{}", output.err);
    assert!(output.err.contains("probe `cross_checkpoint` reads step 1"), "{}", output.err);
    let bad = suite::results(&folder.join("bad"));
    assert_eq!(bad.len(), 2 * 2 * (PROBES.len() - 1));
    assert!(bad.iter().all(|(path, bytes)| good.get(path) == Some(bytes)));
    suite::checkpoints(&folder.join("tiny"), [1]);
    sweep(&folder, "bad").ok();
    assert_eq!(suite::results(&folder.join("bad")), good);
}

#[test]
fn the_shipped_experiments_are_valid() {
    let folder = paths::scratch("causal-shipped");
    for name in ["patching-nano", "ablation-nano", "paths-nano", "lens-nano"] {
        let file = paths::root().join(format!("experiments/configs/{name}.toml"));
        // Nano is not there; nothing else is wrong.
        let output = run(&folder, &["validate", file.to_str().expect("a plain path")]).refused(&["there is no folder"]);
        assert_eq!((output.code, output.err.matches("error:").count()), (Some(3), 1), "{}", output.err);
    }
}
