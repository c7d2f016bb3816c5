//! What the repository promises about itself: which crate may know which, which files touch the world, how long a
//! file gets, and that what is generated is fresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use pythia_hooks::{Presence, SITES, Site, SiteRow};
use pythia_probes::ProbeSpec;
use pythia_report::results::Kind;
use pythia_tests::{place, sources};

/// Each crate with the crates of this workspace that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("pythia-hooks", &[]),
    ("pythia-core", &["pythia-hooks"]),
    ("pythia-files", &[]),
    ("pythia-hub", &["pythia-files"]),
    ("pythia-probes", &["pythia-core", "pythia-hooks"]),
    ("pythia-report", &[]),
    ("experiments", &["pythia-core", "pythia-hooks", "pythia-probes", "pythia-report"]),
    ("pythia-tests", &["experiments", "pythia-core", "pythia-hooks", "pythia-probes", "pythia-report"]),
];

/// The files that may touch disk, environment, network or clock.
const EDGE: &[&str] = &[
    "pythia-core/src/hub/clock.rs",
    "pythia-core/src/hub/digest.rs",
    "pythia-core/src/hub/fetch.rs",
    "pythia-core/src/hub/http.rs",
    "pythia-core/src/hub/ledger.rs",
    "pythia-core/src/hub/owner.rs",
    "pythia-core/src/hub/partial.rs",
    "pythia-core/src/hub/place.rs",
    "pythia-core/src/hub/receive.rs",
    "pythia-core/src/hub/ring/claim.rs",
    "pythia-core/src/hub/ring/evict.rs",
    "pythia-core/src/hub/ring/mod.rs",
    "pythia-core/src/hub/ring/room.rs",
    "pythia-core/src/hub/ring/scan.rs",
    "pythia-core/src/hub/settings.rs",
    "pythia-core/src/hub/wait.rs",
    "pythia-core/src/store/folder.rs",
    "pythia-core/src/store/layout.rs",
    "pythia-core/src/tokenizer.rs",
    "pythia-core/src/weights/map.rs",
    "experiments/report/src/results/origin.rs",
    "experiments/report/src/results/record.rs",
    "experiments/report/src/results/scan.rs",
    "experiments/src/bench/meter.rs",
    "experiments/src/commands/activations.rs",
    "experiments/src/commands/mod.rs",
    "experiments/src/commands/report.rs",
    "experiments/src/commands/status.rs",
    "experiments/src/commands/validate.rs",
    "experiments/src/curve.rs",
    "experiments/src/disk.rs",
    "experiments/src/folder.rs",
    "experiments/src/inputs.rs",
    "experiments/src/commands/cache.rs",
    "experiments/src/journal.rs",
    "experiments/src/library.rs",
    "experiments/src/merge/part.rs",
    "experiments/src/nano/folder.rs",
    "experiments/src/place.rs",
    "experiments/src/progress.rs",
    "experiments/src/recorded.rs",
    "experiments/src/sink.rs",
    "experiments/src/shape.rs",
    "experiments/src/shelves.rs",
    "experiments/src/status/log.rs",
    "experiments/src/status/process.rs",
    "experiments/src/supply/parts.rs",
    "experiments/src/supply/kept.rs",
    "experiments/src/supply/ticker.rs",
    "experiments/src/sweep/timeline.rs",
];

/// Lines a file may have before its unit tests.
const LONGEST_FILE: usize = 300;

#[test]
fn crates_depend_downwards_only() {
    let output = Command::new(env!("CARGO"))
        .current_dir(place::root())
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
    for folder in ["pythia-hooks", "pythia-core", "pythia-probes", "experiments/report", "experiments"] {
        for source in sources::of_crate(folder) {
            let code = source.before_tests().find(|line| is_code(line) && worldly.iter().any(|word| says(line, word)));
            if let Some(line) = code {
                found.insert(source.path.clone(), line.trim().to_owned());
            }
        }
    }
    let allowed: BTreeSet<&str> = EDGE.iter().copied().collect();
    let strangers: Vec<_> = found.iter().filter(|(path, _)| !allowed.contains(path.as_str())).collect();
    assert!(strangers.is_empty(), "these files touch the world and are not on the list: {strangers:#?}");
    let idle: Vec<_> = EDGE.iter().filter(|path| !found.contains_key(**path)).collect();
    assert!(idle.is_empty(), "these files are on the list and do not touch the world: {idle:?}");
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
        ProbeSpec::KINDS.iter().map(|kind| kind.name).filter(|name| Kind::of(name).is_none()).collect();
    assert!(unknown.is_empty(), "the report has neither summary nor figures for {unknown:?}");
}

#[test]
fn files_stay_short() {
    let crates = ["pythia-hooks", "pythia-core", "pythia-probes", "experiments/report", "experiments", "tests"];
    let code = crates.iter().flat_map(|folder| sources::of_crate(folder));
    let long: Vec<String> = code
        .map(|source| (source.path.clone(), source.before_tests().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines before the tests: {long:#?}");
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
    let read = |path: String| std::fs::read_to_string(place::root().join(path)).expect("every crate has a manifest");
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

/// The README's hook table stands between these two lines.
const MARKS: [&str; 2] = ["<!-- hooks: generated, do not edit -->", "<!-- end of hooks -->"];

#[test]
fn the_readme_has_the_hook_table() {
    let path = place::root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("there is a README");
    let fresh = with_table(&readme).unwrap_or_else(|| panic!("README.md lacks the lines {MARKS:?}"));
    if std::env::var_os("PYTHIA_REWRITE").is_some() {
        std::fs::write(&path, fresh).expect("the README can be written");
    } else {
        assert!(readme == fresh, "README.md's hook table is stale; run this test once with PYTHIA_REWRITE=1");
    }
}

fn with_table(readme: &str) -> Option<String> {
    let (before, rest) = readme.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}\n{}{}{after}", MARKS[0], table(), MARKS[1]))
}

fn table() -> String {
    let mut out = String::from("| name | axes | when | what |\n|---|---|---|---|\n");
    for row in SITES {
        let axes: Vec<&str> = row.axes.iter().map(|axis| axis.name()).collect();
        out += &format!("| `{}` | {} | {} | {} |\n", full_name(row), axes.join(" "), when(row), row.doc);
    }
    out
}

fn full_name(row: &SiteRow) -> String {
    if row.site.is_global() { row.name.to_owned() } else { format!("blocks.{{l}}.{}", row.name) }
}

fn when(row: &SiteRow) -> &'static str {
    match row.presence {
        Presence::Always => "always",
        Presence::WhenWanted => "if wanted",
        Presence::SequentialOnly => "sequential blocks",
    }
}

#[test]
fn the_hook_table_is_whole() {
    let table = table();
    assert_eq!(table.lines().count(), SITES.len() + 2);
    assert!(table.contains("| `blocks.{l}.attn.hook_z` | batch pos head d_head | always |"), "{table}");
    assert!(table.contains(&format!("`{}`", Site::Embed.name())));
    let readme = format!("a\n{}\nold\n{}\nb", MARKS[0], MARKS[1]);
    let fresh = with_table(&readme).unwrap();
    assert_eq!(with_table(&fresh).unwrap(), fresh, "rewriting twice changes nothing");
    assert!(with_table("no marks").is_none());
}

#[test]
fn the_schema_of_experiment_files_is_fresh() {
    let path = place::root().join("experiments/schema.json");
    let fresh = experiments::config::json_schema();
    if std::env::var_os("PYTHIA_REWRITE").is_some() {
        std::fs::write(&path, fresh).expect("the schema can be written");
    } else {
        let committed = std::fs::read_to_string(&path).expect("a committed schema");
        assert!(committed == fresh, "experiments/schema.json is stale; run this test once with PYTHIA_REWRITE=1");
    }
}
