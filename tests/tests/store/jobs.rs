//! Limits of the job, a second process on one folder, and words that are no text.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use pythia_tests::command::{self, Finished};
use pythia_tests::suite;

use super::{RESOURCES, TEMPORARY, USAGE};

/// `pythia` in a folder, started by a shell after these commands.
fn after(folder: &Path, commands: &str, arguments: &str) -> Finished {
    let mut shell = Command::new("sh");
    let script = format!("{commands}; exec '{}' {arguments}", command::PYTHIA.display());
    shell.current_dir(folder).args(["-c", &script]).env("HF_HUB_OFFLINE", "1").env("HOME", folder);
    Finished::of(shell.output().unwrap())
}

#[test]
fn the_limits_of_a_job_bound_memory_and_plan_names_the_one_that_counts() {
    let folder = suite::experiment_folder("job-memory", 2);
    let plan = |commands: &str| after(&folder, commands, "plan experiment.toml").ok().out;
    let words = "(SLURM_MEM_PER_CPU times SLURM_CPUS_ON_NODE)";
    let planned = plan("export SLURM_MEM_PER_CPU=100 SLURM_CPUS_ON_NODE=5");
    assert!(planned.contains(&format!("within 524.3 MB {words}")), "{planned}");
    let refused = after(&folder, "export SLURM_MEM_PER_NODE=1", "run experiment.toml --out none");
    let refused = refused.refused(&["SLURM_MEM_PER_NODE allows 1MiB", "ask for a job with more memory"]);
    assert_eq!(refused.code, Some(RESOURCES));
    assert!(plan("ulimit -v 3000000").contains("(`ulimit -v`)"));
    assert!(plan("ulimit -v 3000000; export SLURM_MEM_PER_NODE=100").contains("(SLURM_MEM_PER_NODE)"));
    // What is planned within such a limit runs within it.
    after(&folder, "ulimit -v 3000000", "run experiment.toml --out out").ok();
    after(&folder, "true", "run experiment.toml --out free").ok();
    assert_eq!(suite::all_results(&folder.join("out")), suite::all_results(&folder.join("free")));
}

fn arguments(out: &str) -> [&str; 4] {
    ["run", "experiment.toml", "--out", out]
}

#[test]
fn a_second_run_of_the_same_cells_gives_way() {
    let folder = suite::experiment_folder("job-second", 240);
    let second = command::until_caught("the first run", |attempt| {
        let out = format!("out-{attempt}");
        let mut first = command::start(&folder, &arguments(&out));
        command::wait_until("the first results", suite::PATIENCE, || suite::count(&folder.join(&out)) > 0);
        let journal = || std::fs::read_to_string(folder.join(&out).join("state/journal.jsonl")).unwrap();
        let seconds = [&arguments(&out)[..], &[&arguments(&out)[..], &["--fresh"]].concat()]
            .map(|arguments| command::run(&folder, arguments));
        let caught = command::is_running(&mut first);
        let first = command::finish(first).ok();
        if !caught {
            return None;
        }
        assert_eq!(journal().matches("\"started\"").count(), 1, "a run that gives way leaves no trace");
        assert!(first.err.contains("240 cells done"), "{}", first.err);
        // It has ended, so nothing is in the way.
        command::run(&folder, &arguments(&out)).ok();
        Some(seconds)
    });
    for output in second {
        let output = output.refused(&["computes the same cells in out-", "pythia status out-", "--watch"]);
        assert_eq!(output.code, Some(TEMPORARY), "{}", output.err);
    }
}

#[test]
fn words_that_are_no_text_never_panic() {
    let folder = suite::experiment_folder("job-words", 1);
    let odd = || OsString::from_vec(b"od\xff d".to_vec());
    std::fs::rename(folder.join("tiny"), folder.join(odd())).unwrap();
    let word = OsString::from;
    let run = |words: &[OsString]| {
        let mut command = command::pythia(&folder);
        let output = Finished::of(command.args(words).env("NO_COLOR", odd()).env("HF_HOME", odd()).output().unwrap());
        assert!(
            output.code.is_some_and(|code| code != 101) && !output.err.contains("panicked"),
            "{words:?} {output:?}"
        );
        output
    };
    let files = ["run", "plan", "validate", "lock", "migrate", "status", "summary", "report", "merge", "verify"];
    for command in files {
        run(&[word(command), odd()]);
    }
    for command in [
        &["query", ".", "\u{1}"][..],
        &["list", "probes", "\u{1}"],
        &["list", "steps", "\u{1}"],
        &["cache", "verify", "\u{1}"],
        &["cache", "prune", "\u{1}"],
        &["cache", "fetch", "\u{1}"],
        &["completions", "\u{1}"],
        &["\u{1}"],
        &["run", "experiment.toml", "--set", "\u{1}"],
        &["run", "experiment.toml", "--lock", "\u{1}"],
        &["run", "experiment.toml", "--memory", "\u{1}"],
    ] {
        run(&command.iter().map(|word| if *word == "\u{1}" { odd() } else { word.into() }).collect::<Vec<_>>());
    }
    let output = run(&[word("run"), word("experiment.toml"), word("--set"), odd()]);
    assert_eq!(output.code, Some(USAGE), "{}", output.err);
    // Folders and files may be called so.
    std::fs::write(folder.join("ids.json"), "[1, 2]").unwrap();
    let text = ["activations", "--step", "0", "--tokens", "ids.json", "--hooks", "embed", "--out"].map(word);
    run(&[&text[..], &[odd(), word("--model"), OsString::from_vec(b"./od\xff d".to_vec())]].concat());
    std::fs::rename(folder.join(odd()), folder.join("tiny")).unwrap();
    run(&[word("run"), word("experiment.toml"), word("--out"), OsString::from_vec(b"out\xfe".to_vec())]).ok();
    for command in ["status", "summary", "report", "merge"] {
        run(&[word(command), OsString::from_vec(b"out\xfe".to_vec())]);
    }
}
