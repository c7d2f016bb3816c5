//! Rules of the repository. Here: which crate may use which, which module may import which within a crate, and which
//! files may use disk, network, environment or clock. The modules have sizes and words.

mod sizes;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use pythia_probes::ProbeSpec;
use pythia_report::kinds::TableKind;
use pythia_tests::{modules::Modules, paths, sources};

/// Each crate with the crates of this workspace that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("pythia-hooks", &[]),
    ("pythia-files", &[]),
    ("pythia-hub", &["pythia-files"]),
    ("pythia-core", &["pythia-files", "pythia-hooks"]),
    ("pythia-probes", &["pythia-core", "pythia-hooks"]),
    ("pythia-report", &[]),
    ("experiments", &["pythia-core", "pythia-files", "pythia-hooks", "pythia-hub", "pythia-probes", "pythia-report"]),
    (
        "pythia-tests",
        &["experiments", "pythia-core", "pythia-files", "pythia-hooks", "pythia-hub", "pythia-probes", "pythia-report"],
    ),
];

/// The folders of the crates that are not tests.
const CRATES: [&str; 7] = [
    "pythia-hooks",
    "pythia-core/files",
    "pythia-core/hub",
    "pythia-core",
    "pythia-probes",
    "experiments/report",
    "experiments",
];

/// The top-level modules of `experiments` from top to bottom. Each may import from itself and from those below it.
const EXPERIMENTS: [&str; 12] = [
    "cli",
    "nano",
    "bench",
    "results",
    "sweep",
    "plan",
    "checkpoint",
    "resolved",
    "config",
    "integrity",
    "files",
    "terminal",
];

/// Top-level modules that a crate may have, and the longest chain of imports among them. Those of `experiments` are
/// listed above.
const MOST_MODULES: usize = 20;
const MOST_LAYERS: usize = 9;

/// What may use disk, environment, network or clock: whole folders, which end in `/`, and single files.
const EDGE: &[&str] = &[
    "pythia-core/files/src/",
    "pythia-core/hub/src/",
    "pythia-core/src/load.rs",
    "pythia-core/src/store/",
    "pythia-core/src/tokenizer.rs",
    "pythia-core/src/weights/map.rs",
    "experiments/report/src/results/",
    "experiments/src/bench/meter.rs",
    "experiments/src/checkpoint/",
    "experiments/src/cli/",
    "experiments/src/config/input.rs",
    "experiments/src/files/",
    "experiments/src/nano/folder.rs",
    "experiments/src/plan/disk.rs",
    "experiments/src/results/",
    "experiments/src/sweep/timeline.rs",
    "experiments/src/terminal/",
];

#[test]
fn crates_depend_downwards_only() {
    let output = Command::new(env!("CARGO"))
        .current_dir(paths::root())
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let names: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    assert_eq!(names, ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect(), "every crate needs a row here");
    for package in packages {
        let name = text(&package["name"]);
        let allowed: &[&str] = ARROWS.iter().find(|(row, _)| *row == name).map_or(&[], |(_, allowed)| allowed);
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let used = text(&dependency["name"]);
            assert!(!names.contains(&used) || allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn disk_network_environment_and_clock_are_used_where_they_may_be() {
    let outside =
        ["std::fs", "std::env", "std::net", "std::time", "fs::", "env::", "SystemTime", "Instant", "Command::new"];
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for source in CRATES.iter().flat_map(|folder| sources::of_crate(folder)) {
        let code = source.before_tests().find(|line| is_code(line) && outside.iter().any(|word| says(line, word)));
        if let Some(line) = code {
            found.insert(source.path.clone(), line.trim().to_owned());
        }
    }
    let covers = |entry: &str, path: &str| if entry.ends_with('/') { path.starts_with(entry) } else { path == entry };
    let unlisted: Vec<_> = found.iter().filter(|(path, _)| !EDGE.iter().any(|entry| covers(entry, path))).collect();
    assert!(
        unlisted.is_empty(),
        "these files use disk, network, environment or clock and are not listed: {unlisted:#?}"
    );
    let idle: Vec<_> = EDGE.iter().filter(|entry| !found.keys().any(|path| covers(entry, path))).collect();
    assert!(idle.is_empty(), "these entries of the list use none of it: {idle:?}");
}

fn modules(folder: &str) -> Modules {
    let src = format!("{folder}/src");
    Modules::of(&sources::of_crate(folder), &src)
}

#[test]
fn no_crate_has_an_import_cycle_or_too_many_modules() {
    for folder in CRATES.iter().chain(&["tests"]) {
        let modules = modules(folder);
        let lines = |cycle| (modules.imports_among(&cycle).join("\n"), cycle);
        let cycles: Vec<_> = modules.cycles().into_iter().map(lines).collect();
        assert!(cycles.is_empty(), "{folder}: these modules import each other: {cycles:#?}");
        let (count, layers) = (modules.names().len(), modules.layers());
        assert!(count <= MOST_MODULES, "{folder}/src has {count} modules; group them in folders");
        assert!(layers <= MOST_LAYERS, "{folder}/src has a chain of imports through {layers} modules");
    }
}

#[test]
fn no_module_of_experiments_imports_one_above_it() {
    let modules = modules("experiments");
    let listed: BTreeSet<String> = EXPERIMENTS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(modules.names(), &listed, "every top-level module of experiments/src needs a row");
    let upward = modules.upward_imports(&EXPERIMENTS);
    assert!(upward.is_empty(), "these lines import a module from above their own: {upward:#?}");
}

fn is_code(line: &str) -> bool {
    !line.trim_start().starts_with("//")
}

/// Whether `line` holds `word` as a path of its own: `fs::` but not `offs::`.
fn says(line: &str, word: &str) -> bool {
    let whole = |at: usize| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && (word.ends_with(':') || !joins(after))
    };
    line.match_indices(word).any(|(at, _)| whole(at))
}

#[test]
fn the_report_knows_every_probe() {
    let unknown: Vec<&str> =
        ProbeSpec::KINDS.iter().map(|kind| kind.name).filter(|name| TableKind::of(name).is_none()).collect();
    assert!(unknown.is_empty(), "the report has neither summary nor figures for {unknown:?}");
}

/// The version of tables stands in the crate that writes them and in the crate that reads them.
#[test]
fn the_report_reads_the_version_of_tables_that_is_written() {
    const DEFINITION: &str = "const TABLE_VERSION: u32 = ";
    let value = |line: &str| line.split_once(DEFINITION).map(|(_, value)| value.to_owned());
    let all: Vec<_> = CRATES.iter().flat_map(|folder| sources::of_crate(folder)).collect();
    let values: Vec<String> = all.iter().flat_map(|source| source.before_tests().filter_map(value)).collect();
    assert!(!values.is_empty(), "there is no `{DEFINITION}…`");
    assert!(values.iter().all(|value| *value == format!("{};", pythia_report::results::TABLE_VERSION)), "{values:?}");
}

#[test]
fn unsafe_code_is_forbidden_in_every_crate() {
    let read = |path: String| std::fs::read_to_string(paths::root().join(path)).expect("every crate has a manifest");
    assert!(read("Cargo.toml".to_owned()).contains("\nunsafe_code = \"deny\"\n"));
    for folder in CRATES.iter().chain(&["tests"]) {
        assert!(read(format!("{folder}/Cargo.toml")).contains("\n[lints]\nworkspace = true\n"), "{folder}");
    }
    // Mapping a file into memory is the one unsafe call of the workspace.
    let unsafe_files: Vec<String> = CRATES
        .iter()
        .flat_map(|folder| sources::of_crate(folder))
        .filter(|source| source.before_tests().any(|line| is_code(line) && says(line, "unsafe")))
        .map(|source| source.path)
        .collect();
    assert_eq!(unsafe_files, ["pythia-core/src/weights/map.rs"]);
}
