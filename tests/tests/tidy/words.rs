//! Words: names of types, comments that say nothing, reasons of ignored tests, names of machines.

use pythia_tests::{
    items, paths,
    sources::{self, Source},
};

use super::CRATES;

/// Words that fit many types. Each may name at most one type of the workspace.
const GENERAL_WORDS: [&str; 9] =
    ["Cell", "Family", "Interventions", "Kind", "Reading", "Rows", "Sweep", "Weights", "Work"];

#[test]
fn a_general_word_names_one_type_at_most() {
    let all: Vec<Source> = CRATES.iter().flat_map(|folder| sources::of_crate(folder)).collect();
    for word in GENERAL_WORDS {
        let found = items::definitions(&all, word);
        assert!(found.len() <= 1, "{word} names more than one type: {found:#?}");
    }
}

/// Whether a line is a doc comment of an article and one word, such as "The file." above a field `path`.
fn only_names(line: &str) -> bool {
    let doc = line.trim().strip_prefix("/// ").and_then(|text| text.strip_suffix('.'));
    let word = doc.and_then(|text| ["The ", "A ", "An "].iter().find_map(|article| text.strip_prefix(article)));
    word.is_some_and(|word| word.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

#[test]
fn no_doc_comment_only_repeats_a_name() {
    assert!(only_names("    /// The file.") && only_names("/// A token."));
    assert!(!only_names("/// The file with the token.") && !only_names("/// Why.") && !only_names("// The file."));
    for source in sources::tracked(&["rs"]) {
        let found = source.text.lines().zip(1..).find(|(line, _)| only_names(line));
        assert_eq!(found, None, "{}: say its unit, which one, or why", source.path);
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
    assert!(gate.contains("--skip write_the_gallery"), ".ci/run has no CHART_GALLERY, without which that test fails");
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
fn no_file_names_folders_of_one_machine_or_a_registry() {
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
