//! Rules of the repository: which crate may use which, and within a crate which module may import which; which files
//! touch disk, network, environment or clock; and how long files and lines may be.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use pythia_probes::ProbeSpec;
use pythia_report::kinds::TableKind;
use pythia_tests::{
    paths,
    rooms::Rooms,
    sources::{self, Source},
    type_names,
};

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

/// The wings of `experiments` from top to bottom. A module may import from its own wing and from those below.
const WINGS: [&str; 12] = [
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

/// Rooms that a crate may have, and how many of them may stand above one another. The wings bound those of
/// `experiments`.
const MOST_ROOMS: usize = 20;
const MOST_FLOORS: usize = 9;

/// Words that read as the name of a type in many places, so each may name one type of the workspace at most.
const SCARCE: [&str; 9] = ["Cell", "Family", "Interventions", "Kind", "Reading", "Rows", "Sweep", "Weights", "Work"];

/// What may touch disk, environment, network or clock: whole folders, which end in `/`, and single files.
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

/// Bytes that all fixtures together may have.
const LARGEST_FIXTURES: u64 = 3_000_000;
/// Lines a file may have before its unit tests.
const LONGEST_FILE: usize = 300;
/// Columns a line of Rust may have, comments and docs included. Markdown has no limit, since its tables and links
/// cannot be broken.
const LONGEST_LINE: usize = 120;

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
fn only_the_edge_touches_the_world() {
    let worldly =
        ["std::fs", "std::env", "std::net", "std::time", "fs::", "env::", "SystemTime", "Instant", "Command::new"];
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for source in CRATES.iter().flat_map(|folder| sources::of_crate(folder)) {
        let code = source.before_tests().find(|line| is_code(line) && worldly.iter().any(|word| says(line, word)));
        if let Some(line) = code {
            found.insert(source.path.clone(), line.trim().to_owned());
        }
    }
    let covers = |entry: &str, path: &str| if entry.ends_with('/') { path.starts_with(entry) } else { path == entry };
    let unlisted: Vec<_> = found.iter().filter(|(path, _)| !EDGE.iter().any(|entry| covers(entry, path))).collect();
    assert!(unlisted.is_empty(), "these files touch the world and are not on the list: {unlisted:#?}");
    let idle: Vec<_> = EDGE.iter().filter(|entry| !found.keys().any(|path| covers(entry, path))).collect();
    assert!(idle.is_empty(), "these entries of the list touch the world nowhere: {idle:?}");
}

fn rooms(folder: &str) -> Rooms {
    let src = format!("{folder}/src");
    Rooms::of(&sources::of_crate(folder), &src)
}

#[test]
fn no_crate_has_a_ring_or_too_many_rooms() {
    for folder in CRATES.iter().chain(&["tests"]) {
        let rooms = rooms(folder);
        let rings: Vec<_> = rooms.rings().into_iter().map(|ring| (rooms.among(&ring).join("\n"), ring)).collect();
        assert!(rings.is_empty(), "{folder}: these modules import each other: {rings:#?}");
        let (count, floors) = (rooms.names().len(), rooms.floors());
        assert!(count <= MOST_ROOMS, "{folder}/src has {count} modules; group them in folders");
        assert!(floors <= MOST_FLOORS, "{folder}/src has {floors} modules above one another");
    }
}

#[test]
fn no_wing_knows_one_above_it() {
    let rooms = rooms("experiments");
    let wings: BTreeSet<String> = WINGS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(rooms.names(), &wings, "every module of experiments/src lies in a wing, and every wing needs a row");
    let upward = rooms.upward(&WINGS);
    assert!(upward.is_empty(), "these lines import from a wing above their own: {upward:#?}");
}

#[test]
fn a_scarce_word_names_one_type() {
    let all: Vec<Source> = CRATES.iter().flat_map(|folder| sources::of_crate(folder)).collect();
    for word in SCARCE {
        let found = type_names::definitions(&all, word);
        assert!(found.len() <= 1, "{word} names more than one type: {found:#?}");
    }
}

/// What an ignored test may need; its reason begins so. `.ci/run` leaves tests out by these words and says how many.
const NEEDS: [&str; 7] = [
    "needs PYTHIA_SHARED",
    "needs PYTHIA_PYTHON",
    "needs Chromium",
    "needs a GPU",
    "needs the right to mount",
    "trains",
    "writes",
];

#[test]
fn ignored_tests_say_what_they_need() {
    let gate = std::fs::read_to_string(paths::root().join(".ci/run")).expect("the gate is committed");
    for need in NEEDS.iter().filter_map(|need| need.strip_prefix("needs ")) {
        assert!(gate.contains(&format!("leave_out \"{need}\"")), ".ci/run does not leave out what needs {need}");
    }
    let mut ignored = 0;
    for source in sources::tracked(&["rs"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        // Attributes only: this file has the word in a string.
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[ignore")) {
            let reason = line.split('"').nth(1).unwrap_or_default();
            let place = format!("{}:{}: {line}", source.path, at + 1);
            assert!(NEEDS.iter().any(|need| reason.starts_with(need)), "{place}: none of {NEEDS:?}");
            assert!(
                lines.get(at + 1).is_some_and(|next| next.contains("fn ")),
                "{place}: .ci/run reads the name below"
            );
            ignored += 1;
        }
    }
    assert!(ignored > 0, "no ignored test was found");
}

#[test]
fn lines_of_rust_fit_a_page() {
    for source in sources::tracked(&["rs"]) {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            assert!(columns <= LONGEST_LINE, "{}:{}: {columns} columns: {line}", source.path, number + 1);
        }
    }
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

#[test]
fn files_stay_short() {
    let code = CRATES.iter().chain(&["tests"]).flat_map(|folder| sources::of_crate(folder));
    let long: Vec<String> = code
        .map(|source| (source.path.clone(), source.before_tests().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines before the tests: {long:#?}");
}

#[test]
fn fixtures_stay_small() {
    let folder = paths::fixtures();
    let size = |path| std::fs::metadata(folder.join(path)).expect("a fixture can be read").len();
    let bytes: u64 = paths::files(&folder).into_iter().map(size).sum();
    assert!(bytes <= LARGEST_FIXTURES, "tests/fixtures holds {bytes} bytes, more than {LARGEST_FIXTURES}");
}

#[test]
fn no_file_names_this_machine() {
    // Spelled in parts, so that this file passes its own test.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("crates.", "io"),
        concat!("pypi.", "org"),
    ];
    for source in sources::tracked(&["rs", "md", "toml", "py", "sh", "json", "txt", "yml"]) {
        for (number, line) in source.text.lines().enumerate() {
            for word in words {
                assert!(!line.contains(word), "{}:{}: {word} in {line}", source.path, number + 1);
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_in_every_crate() {
    let read = |path: String| std::fs::read_to_string(paths::root().join(path)).expect("every crate has a manifest");
    assert!(read("Cargo.toml".to_owned()).contains("\nunsafe_code = \"deny\"\n"));
    let nested = ["pythia-core/files", "pythia-core/hub", "experiments/report"];
    for folder in ["pythia-hooks", "pythia-core", "pythia-probes", "experiments", "tests"].into_iter().chain(nested) {
        assert!(read(format!("{folder}/Cargo.toml")).contains("\n[lints]\nworkspace = true\n"), "{folder}");
    }
    // Mapping a file into memory is the one unsafe call of the workspace.
    let unsafe_files: Vec<String> =
        ["pythia-hooks", "pythia-core", "pythia-probes", "experiments/report", "experiments"]
            .iter()
            .flat_map(|folder| sources::of_crate(folder))
            .filter(|source| source.before_tests().any(|line| is_code(line) && says(line, "unsafe")))
            .map(|source| source.path)
            .collect();
    assert_eq!(unsafe_files, ["pythia-core/src/weights/map.rs"]);
}
