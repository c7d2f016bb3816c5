//! The `pythia` command from the outside: a sweep over checkpoints, its results, and what a user sees of it.

use std::{collections::BTreeSet, path::Path};

use burn::tensor::DType;
use polars::prelude::*;
use pythia_core::weights::Profile;
use pythia_hooks::points_of;
use pythia_tests::{
    cases::{self, Case},
    command::{self, finish, run, start},
    paths, suite, tables,
    tensors::{self, Comparisons},
};

const STEPS: u32 = 60;

fn sweep(folder: &Path, out: &str) -> command::Finished {
    run(folder, &["run", "experiment.toml", "--out", out])
}

#[test]
fn a_sweep_covers_every_step_and_repeats_bit_for_bit() {
    let folder = suite::experiment_folder("sweep", STEPS);
    sweep(&folder, "a").ok();
    sweep(&folder, "b").ok();
    let (a, b) = (suite::results(&folder.join("a")), suite::results(&folder.join("b")));
    assert_eq!(a, b);
    for (probe, numbers) in suite::PROBES {
        let rows = tables::read(&folder.join("a"), probe);
        let steps: BTreeSet<i64> = rows.column("step").unwrap().i64().unwrap().into_no_null_iter().collect();
        assert_eq!(steps, (0..i64::from(STEPS)).collect(), "{probe}");
        let seen: BTreeSet<i64> = rows.column("tokens_seen").unwrap().i64().unwrap().into_no_null_iter().collect();
        assert_eq!(seen, steps.iter().map(|step| step * i64::from(suite::TOKENS_PER_STEP)).collect(), "{probe}");
        for column in ["model", "step", "tokens_seen", numbers, "status"] {
            assert!(rows.column(column).is_ok(), "{probe} has no column {column}");
        }
        assert_eq!(rows.column("step").unwrap().dtype(), &DataType::Int64);
        assert_eq!(rows.column(numbers).unwrap().dtype(), &DataType::Float64);
        assert_eq!(rows.column("model").unwrap().dtype(), &DataType::String);
        no_nan_and_null_only_with_a_status(&rows, probe, numbers);
    }
    // A second start finds everything done and touches nothing.
    let again = sweep(&folder, "a").ok();
    assert_eq!(suite::results(&folder.join("a")), a, "{}", again.err);
}

fn no_nan_and_null_only_with_a_status(rows: &DataFrame, probe: &str, numbers: &str) {
    let values = rows.column(numbers).unwrap().f64().unwrap();
    let status = rows.column("status").unwrap().str().unwrap();
    for (value, status) in values.iter().zip(status.iter()) {
        assert!(value.is_none_or(f64::is_finite), "{probe}: {value:?}");
        assert_eq!(value.is_none(), status.is_some_and(|word| word != "ok"), "{probe}: {value:?} with {status:?}");
    }
}

#[test]
fn a_killed_sweep_resumes_to_the_same_bytes() {
    let folder = suite::experiment_folder("killed", STEPS);
    sweep(&folder, "whole").ok();
    let whole = suite::results(&folder.join("whole"));
    let out = command::until_caught("the sweep", |attempt| {
        let out = format!("broken-{attempt}");
        suite::killed_thrice(&folder, &out, &whole).map(|()| out)
    });
    sweep(&folder, &out).ok();
    assert_eq!(suite::results(&folder.join(&out)), whole);
    assert_eq!(suite::all_results(&folder.join(&out)), suite::all_results(&folder.join("whole")));
}

#[test]
fn an_interrupt_loses_nothing() {
    let folder = suite::experiment_folder("interrupted", STEPS);
    sweep(&folder, "whole").ok();
    let whole = suite::results(&folder.join("whole"));
    let out = command::until_caught("the sweep", |attempt| {
        let out = format!("broken-{attempt}");
        let child = start(&folder, &["run", "experiment.toml", "--out", &out]);
        command::wait_until("the first result", suite::PATIENCE, || suite::count(&folder.join(&out)) > 0);
        command::signal(&child, "INT");
        let output = finish(child);
        let all = suite::count(&folder.join(&out)) == whole.len();
        assert!(all || output.code == Some(130), "stdout:\n{}\nstderr:\n{}", output.out, output.err);
        (!all).then_some(out)
    });
    sweep(&folder, &out).ok();
    assert_eq!(suite::results(&folder.join(&out)), whole);
}

#[test]
fn results_can_be_read_while_the_sweep_goes_on() {
    // Many steps, so that the sweep is still going on when its first results are there.
    let folder = suite::experiment_folder("reading", 4 * STEPS);
    command::until_caught("the sweep", |attempt| {
        let name = format!("out-{attempt}");
        let out = folder.join(&name);
        let mut child = start(&folder, &["run", "experiment.toml", "--out", &name]);
        command::wait_until("the first results", suite::PATIENCE, || {
            let folders = suite::PROBES.map(|(probe, _)| out.join("results").join(probe));
            folders.iter().all(|folder| folder.is_dir() && !suite::parts(folder).is_empty())
        });
        let mut reads = 0;
        while command::is_running(&mut child) {
            for (probe, _) in suite::PROBES {
                assert!(tables::read(&out, probe).height() > 0);
                reads += 1;
            }
        }
        finish(child).ok();
        (reads > 0).then_some(())
    });
}

#[test]
fn two_processes_may_share_a_folder() {
    let folder = suite::experiment_folder("shared-folder", STEPS);
    sweep(&folder, "alone").ok();
    let arguments = ["run", "experiment.toml", "--out", "both"];
    let (first, second) = (start(&folder, &arguments), start(&folder, &arguments));
    finish(first).ok();
    finish(second).ok();
    assert_eq!(suite::results(&folder.join("both")), suite::results(&folder.join("alone")));
}

#[test]
fn a_limit_runs_only_so_many_cells() {
    let folder = suite::experiment_folder("limit", 6);
    run(&folder, &["run", "experiment.toml", "--out", "out", "--limit", "2"]).ok();
    let rows = tables::read(&folder.join("out"), "head_scores");
    assert_eq!(rows.column("step").unwrap().n_unique().unwrap(), 2);
}

#[test]
fn overrides_change_the_experiment() {
    let folder = suite::experiment_folder("overrides", 6);
    run(&folder, &["run", "experiment.toml", "--out", "out", "--set", "steps=[1, 3]"]).ok();
    let rows = tables::read(&folder.join("out"), "head_scores");
    let steps: BTreeSet<i64> = rows.column("step").unwrap().i64().unwrap().into_no_null_iter().collect();
    assert_eq!(steps, BTreeSet::from([1, 3]));
}

#[test]
fn planning_and_validating_write_nothing() {
    let folder = suite::experiment_folder("plan", 6);
    let before = paths::contents(&folder);
    run(&folder, &["validate", "experiment.toml"]).ok();
    let plan = run(&folder, &["plan", "experiment.toml"]).ok();
    assert!(plan.out.contains("6 cells, 0 done"), "{}", plan.out);
    assert_eq!(paths::contents(&folder), before);
}

#[test]
fn lists_and_completions_are_printed() {
    let folder = paths::scratch("lists");
    for (what, word) in [("models", "pythia-70m"), ("hooks", "blocks.{l}.attn.hook_pattern"), ("probes", "head_scores")]
    {
        let plain = run(&folder, &["list", what]).ok();
        assert!(plain.out.contains(word), "{what}:\n{}", plain.out);
        let json = run(&folder, &["list", what, "--json"]).ok();
        let parsed: serde_json::Value = serde_json::from_str(&json.out).expect("--json prints JSON");
        assert!(parsed.as_array().is_some_and(|rows| !rows.is_empty()), "{what}: {parsed}");
    }
    assert!(run(&folder, &["completions", "bash"]).ok().out.contains("pythia"));
    assert!(run(&folder, &["--version"]).ok().out.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn activations_of_the_fixtures_equal_the_reference() {
    for case in cases::committed() {
        activations(&case);
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn activations_of_the_goldens_equal_the_reference() {
    for case in cases::goldens(&paths::shared()) {
        activations(&case);
    }
}

fn activations(case: &Case) {
    let folder = paths::scratch(&format!("activations-{}", case.name.replace(' ', "-")));
    let tokens = case.value("tokens.clean").tokens();
    std::fs::write(folder.join("tokens.json"), serde_json::to_string(&tokens).unwrap()).unwrap();
    let model = case.folder.to_str().expect("a plain path");
    let arguments =
        ["activations", "--model", model, "--tokens", "tokens.json", "--hooks", "*", "--out", "a.safetensors"];
    run(&folder, &arguments).ok();
    let ours = tensors::read(&folder.join("a.safetensors"));
    let mut comparisons = Comparisons::default();
    let logits = case.value("plain.logits");
    comparisons.compare("logits", "logits", &ours["logits"], logits, 5e-5 * logits.std());
    assert_eq!(ours["tokens"].tokens(), tokens);
    for (name, expected) in case.under("plain.acts.") {
        let found = ours.get(name).unwrap_or_else(|| panic!("{}: {name} was not written", case.name));
        comparisons.compare("activations", name, found, expected, 1e-4);
    }
    comparisons.assert_within_bounds(&format!("pythia activations, {}", case.name));
    let loaded = case.model(Profile::AsPublished, DType::F32);
    let points = points_of(&loaded.model_shape());
    assert_eq!(ours.len(), points.len() + 2, "every point, the tokens and the logits");
}

#[test]
fn last_logits_and_chosen_hooks_keep_the_file_small() {
    let case = &cases::committed()[0];
    let folder = paths::scratch("activations-last");
    std::fs::write(folder.join("tokens.json"), "[[1, 2, 3, 4]]").unwrap();
    let model = case.folder.to_str().expect("a plain path");
    let arguments = [
        "activations",
        "--model",
        model,
        "--tokens",
        "tokens.json",
        "--hooks",
        "z",
        "--hooks",
        "blocks.-1.hook_resid_post",
    ];
    let more = ["--last-logits", "--out", "a.safetensors"];
    run(&folder, &[&arguments[..], &more].concat()).ok();
    let ours = tensors::read(&folder.join("a.safetensors"));
    let names: Vec<&str> = ours.keys().map(String::as_str).collect();
    let expected = ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.1.hook_resid_post", "logits", "tokens"];
    assert_eq!(names, expected);
    assert_eq!(ours["logits"].shape, [1, 1, 61]);
}
