//! What the README and the pages of docs/ show of experiment files is read as they say, and what they show of the
//! library stands in a program that is built.

use std::fs;
use std::path::{Path, PathBuf};

/// The keys of a file that a piece of one leaves out.
const KEYS: [(&str, &str); 5] =
    [("name", "\"page\""), ("seed", "0"), ("prepend_bos", "true"), ("models", "[\"pythia-70m\"]"), ("steps", "[512]")];

/// The probe that stands for one that a piece leaves out. Prompts and pairs are values of a probe.
const PROBES: [(&str, &str); 2] = [("prompts", "token_loss"), ("pairs", "ablation")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README and every page of docs/, with their names.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let mut all: Vec<PathBuf> = pages.chain([root().join("README.md"), root().join("CONTRIBUTING.md")]).collect();
    all.sort();
    all.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).expect("a page"))).collect()
}

/// The blocks of code in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    page.split(&start).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

/// The experiments that a block shows: a file, a piece of one, or values of a key, a line each.
fn experiments(block: &str) -> Vec<String> {
    let of_probe = |line: &str| PROBES.iter().find(|(key, _)| line.starts_with(&format!("{key} = "))).copied();
    let alternatives = block.lines().filter_map(|line| Some((line, of_probe(line)?.1)));
    if block.lines().next().and_then(of_probe).is_some() {
        return alternatives.map(|(line, kind)| whole(&format!("[[probe]]\nkind = \"{kind}\"\n{line}"))).collect();
    }
    vec![whole(block)]
}

/// A piece of a file with the keys that it leaves out.
fn whole(piece: &str) -> String {
    let (head, probes) = piece.split_at(piece.find("[[probe]]").unwrap_or(piece.len()));
    let lacks = |key: &str| !head.lines().any(|line| line.starts_with(&format!("{key} = ")));
    let keys: String =
        KEYS.iter().filter(|(key, _)| lacks(key)).map(|(key, value)| format!("{key} = {value}\n")).collect();
    let probes = if probes.is_empty() { "[[probe]]\nkind = \"token_loss\"\n" } else { probes };
    format!("{keys}{head}\n{probes}")
}

#[test]
fn experiments_on_the_pages_are_read() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (page, text) in pages() {
        for experiment in blocks(&text, "toml").into_iter().flat_map(experiments) {
            count += 1;
            let refused = super::parse("page.toml", &experiment, &[]).err();
            wrong.extend(refused.map(|errors| format!("{page}: {errors}\n{experiment}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 15, "only {count} were found");
}

#[test]
fn pieces_become_whole_and_mistakes_in_them_are_found() {
    let lines = experiments("prompts = { n = 2 }\nprompts = { m = 2 }\n");
    let read: Vec<bool> = lines.iter().map(|text| super::parse("a.toml", text, &[]).is_ok()).collect();
    assert_eq!(read, [true, false]);
    let read = |block: &str| experiments(block).iter().all(|text| super::parse("a.toml", text, &[]).is_ok());
    assert!(read("steps = \"log\"\n") && read("[[probe]]\nkind = \"weight_norms\"\n"));
    assert!(!read("stps = \"log\"\n") && !read("[[probe]]\nkind = \"weight_norm\"\n"));
}

/// The lines of a block without the space that they all begin with.
fn dedented(block: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let least = block.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    block.lines().map(|line| line.get(least..).unwrap_or_default().to_owned()).collect()
}

/// Whether these lines stand in a text one below the other, set in alike.
fn stands_in(block: &str, text: &str) -> bool {
    let wanted = dedented(block);
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(wanted.len()).any(|window| dedented(&window.join("\n")) == wanted)
}

#[test]
fn rust_on_the_page_for_users_of_transformer_lens_is_that_of_the_example() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (page, example) = (read("docs/from-transformerlens.md"), read("examples/first_afternoon.rs"));
    let all = blocks(&page, "rust");
    let wrong: Vec<&&str> = all.iter().filter(|block| !stands_in(block, &example)).collect();
    assert!(
        wrong.is_empty(),
        "not in examples/first_afternoon.rs:\n{}",
        wrong.iter().copied().copied().collect::<String>()
    );
    assert!(all.len() >= 8, "only {} were found", all.len());
    assert!(stands_in("b\n  c\n", "a\n  b\n    c\nd\n") && !stands_in("b\nc\n", "b\nx\nc\n"));
}
