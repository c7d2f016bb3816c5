//! Budgets of the cache, servers that stop answering, and corrupt bytes.

use std::path::PathBuf;

use pythia_tests::hub::{Fault, MockHub};
use pythia_tests::{paths, suite};

use super::{RESOURCES, TEMPORARY, checkpoints, experiment, model, run, weights_of};

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
    let held: u64 = paths::contents(&folder.join("cache"))
        .iter()
        .filter(|(path, _)| path.starts_with(blobs()))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert!(held > 0 && held <= 4 * one, "{held} of {}", 4 * one);
    let output = run_with("1kB", "none").refused(&["does not fit into a cache of 1.0 kB", "--cache-max"]);
    assert_eq!(output.code, Some(RESOURCES), "{}", output.err);
    let listed = run(&folder, &hub, &["cache", "ls"]).ok().out;
    assert!(listed.contains("EleutherAI/pythia-14m") && listed.contains("fetched by pythia"), "{listed}");
    assert!(run(&folder, &hub, &["cache", "verify"]).ok().out.contains(", 0 wrong"));
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
    let output = run(&folder, &hub, &["run", "exp.toml", "--out", "out"]);
    assert_eq!(output.code, Some(TEMPORARY), "{}", output.err);
    assert!(
        output.err.contains("was not asked again") && output.err.contains("run the same command again"),
        "{}",
        output.err
    );
    let some = suite::results(&folder.join("out")).len();
    assert!(some > 0 && some < suite::results(&folder.join("whole")).len(), "{some}");
    hub.heal();
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(suite::all_results(&folder.join("out")), suite::all_results(&folder.join("whole")));
}

#[test]
fn a_corrupt_download_is_fetched_again() {
    let folder = experiment("hub-flip", &[0, 512]);
    let hub = MockHub::start(vec![model(&[(0, 1), (512, 2)])]);
    // The second server's paths have a query. It sends the bytes; the first server only redirects.
    hub.fault("model.safetensors?", 1, Fault::Flip(1000));
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(hub.count("model.safetensors?"), 3, "two files, one of them twice");
    assert_eq!(checkpoints(&folder.join("out"), "checkpoint_status"), ["ok", "ok"]);
}
