//! Sizes of files, lines, functions, structs and fixtures.

use pythia_tests::{
    items::{self, Item},
    paths,
    sources::{self, Source},
};

use super::CRATES;

/// Bytes that all fixtures together may have.
const LARGEST_FIXTURES: u64 = 3_000_000;
/// Lines a file may have before its unit tests.
const LONGEST_FILE: usize = 300;
/// Columns a line of Rust, Python or TOML may have, comments and docs included. Markdown has no limit, since its
/// tables and links cannot be broken.
const LONGEST_LINE: usize = 120;
/// Lines a function may have, its signature and closing brace included. Most have about 10.
const LONGEST_FUNCTION: usize = 50;
/// Named fields a struct may have.
const MOST_FIELDS: usize = 10;

/// Items that may be larger, with the reason.
const LARGER: [(&str, &str); 4] = [
    ("experiments/src/config/problem.rs: help", "one arm with its words per kind of mistake"),
    ("pythia-core/src/config/hub.rs: HubConfig", "the keys of a config.json as transformers writes it"),
    ("pythia-core/src/config/raw.rs: RawConfig", "the keys of a config.json as transformers writes it"),
    ("pythia-probes/src/probes/activation_patching/mod.rs: ActivationPatching", "the keys of a probe in its file"),
];

fn code() -> Vec<Source> {
    CRATES.iter().chain(&["tests"]).flat_map(|folder| sources::of_crate(folder)).collect()
}

/// Fails on items over the limit that have no row in [`LARGER`].
fn stay_within(limit: usize, unit: &str, items: Vec<Item>) {
    assert!(!items.is_empty(), "no item was found");
    let excepted = |item: &Item| LARGER.iter().any(|(place, _)| *place == item.place);
    let large: Vec<String> = items
        .into_iter()
        .filter(|item| item.size > limit && !excepted(item))
        .map(|item| format!("{}: {} {unit}", item.place, item.size))
        .collect();
    assert!(large.is_empty(), "over {limit} {unit}: {large:#?}");
}

#[test]
fn files_stay_short() {
    let file = |source: Source| Item { size: source.before_tests().count(), place: source.path };
    stay_within(LONGEST_FILE, "lines before the tests", code().into_iter().map(file).collect());
}

#[test]
fn functions_stay_short() {
    stay_within(LONGEST_FUNCTION, "lines", code().iter().flat_map(items::functions).collect());
}

#[test]
fn structs_have_few_fields() {
    stay_within(MOST_FIELDS, "fields", code().iter().flat_map(items::structs).collect());
}

#[test]
fn lines_have_at_most_120_columns() {
    for source in sources::tracked(&["rs", "py", "toml"]) {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            assert!(columns <= LONGEST_LINE, "{}:{}: {columns} columns: {line}", source.path, number + 1);
        }
    }
}

#[test]
fn fixtures_stay_small() {
    let folder = paths::fixtures();
    let size = |path| std::fs::metadata(folder.join(path)).expect("a fixture can be read").len();
    let bytes: u64 = paths::files(&folder).into_iter().map(size).sum();
    assert!(bytes <= LARGEST_FIXTURES, "tests/fixtures holds {bytes} bytes, more than {LARGEST_FIXTURES}");
}
