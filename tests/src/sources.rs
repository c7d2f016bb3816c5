//! The source files of the workspace.

use std::path::{Path, PathBuf};

use crate::paths;

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the repository's root, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The lines before the file's inline unit tests. A `mod tests;` that declares tests in another file does not
    /// count.
    pub fn before_tests(&self) -> impl Iterator<Item = &str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let inline = |pair: &[&str]| pair[0].trim() == TESTS && pair[1].trim_end().ends_with('{');
        let end = lines.windows(2).position(inline).unwrap_or(lines.len());
        lines.into_iter().take(end)
    }

    /// Paths, without their ending, of the modules that this file declares for its tests alone.
    fn test_modules(&self) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().map(str::trim).collect();
        let stem = self.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        let declared = lines.windows(2).filter(|pair| pair[0] == TESTS);
        let names = declared.filter_map(|pair| pair[1].split("mod ").nth(1)?.strip_suffix(';'));
        names.map(|name| format!("{folder}/{name}")).collect()
    }
}

/// The attribute of everything that is compiled for tests alone.
const TESTS: &str = "#[cfg(test)]";

/// Files that git tracks or would track, of the given endings, in order.
pub fn tracked(endings: &[&str]) -> Vec<Source> {
    let root = paths::root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let wanted = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    found.into_iter().filter(wanted).map(|path| source(&root, &path)).collect()
}

/// Lists the files of a folder and its subfolders, without build output, results, fixtures, and hidden folders but
/// CI's.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the repository can be read") {
        let path = entry.expect("its entries can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let hidden = name.starts_with('.') && ![".ci", ".config", ".github"].contains(&name.as_str());
        if hidden || ["target", "out", "data", "fixtures"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn source(root: &Path, path: &Path) -> Source {
    let name = path.strip_prefix(root).expect("it lies inside").to_string_lossy().replace('\\', "/");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    Source { path: name, text }
}

/// Source files of the crate in `folder`, without modules that are tests and without crates that lie inside it.
pub fn of_crate(folder: &str) -> Vec<Source> {
    without_tests(tracked(&["rs"]), &format!("{folder}/src/"))
}

/// The files under `prefix` that are compiled outside tests too.
pub fn without_tests(all: Vec<Source>, prefix: &str) -> Vec<Source> {
    let all: Vec<Source> = all.into_iter().filter(|source| source.path.starts_with(prefix)).collect();
    let tests: Vec<String> = all.iter().flat_map(Source::test_modules).collect();
    let is_test = |path: &str| {
        tests.iter().any(|module| path.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['.', '/'])))
    };
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn inline_tests_end_a_file_and_declared_ones_do_not() {
        let inline = source("a/src/x.rs", "one\n#[cfg(test)]\nmod tests {\ntwo\n}");
        assert_eq!(inline.before_tests().collect::<Vec<_>>(), ["one"]);
        assert!(inline.test_modules().is_empty());
        let declared = source("a/src/x.rs", "#[cfg(test)]\nmod tests;\ntwo");
        assert_eq!(declared.before_tests().count(), 3);
        assert_eq!(declared.test_modules(), ["a/src/x/tests"]);
        assert_eq!(source("a/src/lib.rs", "#[cfg(test)]\npub(crate) mod aid;").test_modules(), ["a/src/aid"]);
    }
}
