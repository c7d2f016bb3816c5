//! The source files of the workspace.

use std::path::{Path, PathBuf};

use crate::place;

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the repository's root, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The lines before the file's unit tests, if it has some.
    pub fn before_tests(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
    }
}

/// Files that git tracks or would track, of the given endings, in order.
pub fn tracked(endings: &[&str]) -> Vec<Source> {
    let root = place::root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let wanted = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    found.into_iter().filter(wanted).map(|path| source(&root, &path)).collect()
}

/// Folders that hold no source: build output, results, and everything hidden but CI's.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the repository can be read") {
        let path = entry.expect("its entries can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let hidden = name.starts_with('.') && name != ".ci";
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

/// Source files of the crate in `folder`, without its tests and benches.
pub fn of_crate(folder: &str) -> Vec<Source> {
    let prefix = format!("{folder}/src/");
    tracked(&["rs"]).into_iter().filter(|source| source.path.starts_with(&prefix)).collect()
}
