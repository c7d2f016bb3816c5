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
fn of_two_processes_on_the_same_cells_one_gives_way() {
    let folder = suite::experiment_folder("shared-folder", STEPS);
    sweep(&folder, "alone").ok();
    let arguments = ["run", "experiment.toml", "--out", "both"];
    let both = [start(&folder, &arguments), start(&folder, &arguments)].map(finish);
    // The second one may find everything done.
    assert!(both.iter().any(|run| run.code == Some(0)), "{both:?}");
    for run in both.iter().filter(|run| run.code != Some(0)) {
        assert!(run.code == Some(75) && run.err.contains("computes the same cells"), "{run:?}");
    }
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
fn equal_cells_of_a_plan_are_one_line() {
    let folder = suite::experiment_folder("plan-groups", 20);
    let plan = || run(&folder, &["plan", "experiment.toml"]).ok().out;
    let of_cells = |plan: &str| plan.lines().filter(|line| line.contains("tiny step")).map(str::to_owned).collect();
    // The first and the last cell may need another amount of memory.
    let lines: Vec<String> = of_cells(&plan());
    assert!(lines.len() <= 3 && lines.iter().any(|line| line.contains(" × tiny step")), "{lines:#?}");
    run(&folder, &["run", "experiment.toml", "--set", "steps=[4]"]).ok();
    let text = plan();
    let lines: Vec<String> = of_cells(&text);
    let done: Vec<&String> = lines.iter().filter(|line| line.starts_with("tiny step4 ")).collect();
    assert!(lines.len() <= 4 && matches!(done[..], [line] if line.ends_with(" done")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(" × tiny step5 … step")), "{lines:#?}");
    assert!(text.contains("20 cells, 1 done") && text.contains("results: out/tiny\n"), "{text}");
}

#[test]
fn what_an_experiment_names_must_be_there_to_be_valid() {
    let folder = suite::experiment_folder("validate-missing", 2);
    let validate = |from: &str, to: &str| {
        std::fs::write(folder.join("changed.toml"), suite::EXPERIMENT.replacen(from, to, 1)).expect("write");
        run(&folder, &["validate", "changed.toml"])
    };
    validate("", "").ok();
    let output = validate("./tiny", "./tinny").refused(&["there is no folder", "tinny"]);
    assert_eq!(output.code, Some(3));
    let tokens = "tokens = [[1, 2, 3, 4, 5], [6, 7, 8]]";
    let output = validate(tokens, "file = \"prompts.jsonl\"").refused(&["prompts.jsonl", "changed.toml"]);
    assert_eq!(output.code, Some(3));
    // A model of the suite is fetched by the run.
    validate("./tiny", "pythia-70m").ok();
    let texts = suite::EXPERIMENT.replace("tokens = [[1, 2, 3, 4, 5], [6, 7, 8]]", "texts = [\"When Mary\"]");
    std::fs::write(folder.join("changed.toml"), texts.replace("./tiny", "pythia-70m")).expect("write");
    let output = run(&folder, &["validate", "changed.toml"]).ok();
    assert!(
        output.err.contains("note: probe `token_loss` reads text, and the tokenizer of pythia-70m"),
        "{}",
        output.err
    );
    let output =
        run(&folder, &["plan", "changed.toml"]).refused(&["is not fetched yet", "`pythia run FILE` fetches it"]);
    assert_eq!(output.code, Some(3));
}

#[test]
fn results_are_looked_for_where_a_run_writes_them() {
    let folder = suite::experiment_folder("default-out", 3);
    run(&folder, &["status"]).refused(&["there are no results in out", "pythia run FILE"]);
    let output = run(&folder, &["run", "experiment.toml"]).ok();
    assert!(output.err.contains("Results are in out/tiny/results"), "{}", output.err);
    for arguments in [&["status"][..], &["summary"], &["report"], &["merge"], &["query", "SHOW TABLES"]] {
        let output = run(&folder, arguments).ok();
        assert!(output.err.contains("reading out/tiny\n"), "{arguments:?}: {}", output.err);
        let named = [arguments, &["experiment.toml"]].concat();
        let named = if arguments[0] == "query" { vec!["query", "experiment.toml", arguments[1]] } else { named };
        assert!(!run(&folder, &named).ok().err.contains("reading"), "{named:?}");
    }
    run(&folder, &["run", "experiment.toml", "--set", "name=other", "--limit", "1"]).ok();
    let output = run(&folder, &["summary"]).refused(&["several output folders in out", "out/other", "out/tiny"]);
    assert_eq!(output.code, Some(2));
    run(&folder, &["status", "out"]).refused(&["is not an output folder itself", "for example out/other"]);
}

#[test]
fn a_failure_is_printed_once_and_absent_results_are_not_offered() {
    let folder = suite::experiment_folder("all-failed", 3);
    for step in 0..3 {
        std::fs::write(folder.join(format!("tiny/step{step}/model.safetensors")), b"cut").expect("write");
    }
    let output = run(&folder, &["run", "experiment.toml"]);
    assert_eq!(output.code, Some(1), "{}", output.err);
    for step in 0..3 {
        assert_eq!(output.err.matches(&format!("tiny step{step}: ")).count(), 1, "{}", output.err);
    }
    assert_eq!(output.err.matches("remedy").count(), 1, "{}", output.err);
    assert!(output.err.contains("out/tiny holds no results of this experiment yet"), "{}", output.err);
    for absent in ["scan_parquet", "report", "pythia summary"] {
        assert!(!output.err.contains(absent), "{absent}: {}", output.err);
    }
}

/// The text between two others, each time that both are there.
fn between<'t>(text: &'t str, start: &str, end: &'t str) -> Vec<&'t str> {
    text.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
}

#[test]
fn printed_lines_read_the_folder_that_they_name_and_no_other() {
    let folder = suite::experiment_folder("quoting", 2);
    // A folder that the pattern in the name would match too.
    run(&folder, &["run", "experiment.toml", "--out", "o 1 \"x\" it's $HOME and more"]).ok();
    for out in ["o [1] \"x\" it's $HOME*", "o*", "a?b\\c"] {
        let output = run(&folder, &["run", "experiment.toml", "--out", out]).ok();
        let calls = between(&output.err, "pl.scan_parquet(", ").collect()");
        assert_eq!(calls.len(), suite::PROBES.len(), "{}", output.err);
        for (call, (probe, _)) in calls.iter().zip(suite::PROBES) {
            // Of these names JSON and Python write the same literals.
            let path: String = serde_json::from_str(call).expect("a literal");
            let path = PlRefPath::new(folder.join(path).to_str().expect("a text"));
            let rows = LazyFrame::scan_parquet(path, ScanArgsParquet::default()).and_then(LazyFrame::collect);
            assert!(rows.expect("readable").equals_missing(&tables::read(&folder.join(out), probe)), "{call}");
        }
        let commands = between(&output.err, "`pythia ", "` has the numbers");
        let script = format!("\"$PYTHIA\" {}", commands[0]);
        let shell = std::process::Command::new("sh")
            .current_dir(&folder)
            .args(["-c", &script])
            .env("PYTHIA", &*command::PYTHIA)
            .output();
        assert!(shell.expect("a shell").status.success(), "{script}");
    }
}

#[test]
fn equal_values_in_any_spelling_are_one_experiment() {
    let folder = suite::experiment_folder("spellings", 2);
    let plain = "kind = \"ablation\"\nheads = [\"0\", \"1\"]\nmetrics = [\"kl\"]\n\
                 pairs = { task = \"induction\", n = 2, half_len = 4 }\n";
    let other = "kind = \"Ablation\"\nheads = [0, \"1\"]\nmetrics = \"KL\"\n\
                 pairs = { task = \"INDUCTION\", n = \"2\", half_len = 4 }\n";
    let head = "name = \"tiny\"\nseed = 7\nprepend_bos = false\nmodels = \"./tiny\"\nsteps = \"ALL\"\n";
    std::fs::write(folder.join("plain.toml"), format!("{head}[[probe]]\n{plain}")).expect("write");
    std::fs::write(folder.join("other.toml"), format!("{head}[probe]\n{other}")).expect("write");
    run(&folder, &["run", "plain.toml"]).ok();
    let output = run(&folder, &["run", "other.toml"]).ok();
    assert!(output.err.contains("2 done before"), "{}", output.err);
}

#[test]
fn a_new_experiment_is_valid_as_it_is() {
    let folder = paths::scratch("new");
    let text = run(&folder, &["new", "Activation-Patching"]).ok().out;
    std::fs::write(folder.join("exp.toml"), text).expect("write");
    run(&folder, &["validate", "exp.toml"]).ok();
    let output = run(&folder, &["new", "activation_patchin"]).refused(&["did you mean `activation_patching`?"]);
    assert_eq!(output.code, Some(2));
    let listed = run(&folder, &["list", "probes", "head_scores"]).ok();
    assert!(listed.out.contains("allowed: induction, previous_token"), "{}", listed.out);
    let of_all = run(&folder, &["list", "hooks"]).ok().out;
    let parallel = run(&folder, &["list", "hooks", "pythia-70m"]).ok().out;
    assert!(of_all.contains("hook_resid_mid") && !parallel.contains("hook_resid_mid"), "{parallel}");
    assert_eq!(of_all.lines().count(), parallel.lines().count() + 1);
    paths::copy_folder(&paths::fixtures().join("parallel"), &folder.join("data/parallel"));
    assert_eq!(run(&folder, &["list", "hooks", "data/parallel"]).ok().out, parallel);
    run(&folder, &["list", "steps", "data/parallel"]).ok();
    run(&folder, &["list", "models", "pythia-70m"]).refused(&["only the lists of steps, hooks and probes take a name"]);
}

#[test]
fn answers_with_and_without_a_space_are_a_warning() {
    let folder = suite::experiment_folder("answer-spaces", 2);
    let probe = "kind = \"ablation\"\nheads = [0]\npairs = { file = \"pairs.jsonl\" }\n";
    let text = suite::EXPERIMENT.split("[[probe]]").next().expect("a head").to_owned() + "[[probe]]\n" + probe;
    std::fs::write(folder.join("experiment.toml"), text).expect("write");
    let tokenizer = paths::root().join("tests/fixtures/tokenizer/tokenizer.json");
    let line = |answer: &str, wrong: &str| {
        format!("{{\"clean\": [1, 2], \"corrupt\": [2, 2], \"answer\": \"{answer}\", \"wrong\": \"{wrong}\"}}\n")
    };
    std::fs::write(folder.join("pairs.jsonl"), line("A", "B") + &line(" a", "B")).expect("write");
    for step in 0..2 {
        std::fs::copy(&tokenizer, folder.join(format!("tiny/step{step}/tokenizer.json"))).expect("copy");
    }
    for command in ["validate", "run"] {
        let output = run(&folder, &[command, "experiment.toml"]).ok();
        let told = "warning: 1 pair has answers with and without a leading space";
        assert_eq!(output.err.matches(told).count(), 1, "{command}: {}", output.err);
    }
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
    assert_eq!(ours.len(), points.len() + 3, "every point, the tokens, their number and the logits");
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
    let hooks = ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.1.hook_resid_post"];
    assert_eq!(names, [&hooks[..], &["lengths", "logits", "tokens"]].concat());
    assert_eq!(ours["logits"].shape, [1, 1, 61]);
}
