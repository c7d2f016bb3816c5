//! The files that probes name: read once, before anything runs, and hashed for the configuration of results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pythia_probes::{Files, ProbeSpec};
use serde_json::{Value, json};

use crate::config::{Experiment, Located, Problem, read_text};

/// The files of an experiment, by their paths as they are written: where they lie changes no result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) contents: Files,
    hashes: BTreeMap<PathBuf, String>,
    /// Where each path leads.
    found: BTreeMap<PathBuf, PathBuf>,
}

impl Inputs {
    /// Reads every file that a probe names, each once; what cannot be read is a problem of the first probe that names
    /// it.
    pub(crate) fn of(experiment: &Experiment) -> (Self, Vec<Located>) {
        let (mut inputs, mut problems) = (Self::default(), Vec::new());
        for probe in &experiment.probes {
            for path in probe.spec.files() {
                let (name, at) = (probe.name.clone(), probe.place_of_file(path));
                let added = match experiment.sources.path(path, &at) {
                    Ok(found) => inputs.add(&name, path, found),
                    Err(error) => Err(Problem::PathOfProbe { probe: name, written: path.into(), error }),
                };
                problems.extend(added.err().map(|problem| Located::new(problem, at)));
            }
        }
        (inputs, problems)
    }

    /// Reads a file that was not read already: `written` in the texts, and found at `found`.
    fn add(&mut self, probe: &str, written: &Path, found: PathBuf) -> Result<(), Problem> {
        match self.found.get(written) {
            Some(first) if *first == found => return Ok(()),
            // One is of the file and one of an option.
            Some(first) => {
                return Err(Problem::TwoFiles { written: written.into(), first: first.clone(), second: found });
            }
            None => {}
        }
        let text = read_text(&found).map_err(|error| Problem::Input { probe: probe.to_owned(), error })?;
        self.hashes.insert(written.into(), blake3::hash(text.as_bytes()).to_hex().to_string());
        self.contents.0.insert(written.into(), text);
        self.found.insert(written.into(), found);
        Ok(())
    }

    /// Whether every file that the probe names was read.
    pub(crate) fn has_all_of(&self, spec: &ProbeSpec) -> bool {
        spec.files().into_iter().all(|path| self.contents.get(path).is_some())
    }

    /// The hashes of these files by their paths; `None` without files, which leaves the configuration unchanged.
    pub(crate) fn hashes_of(&self, paths: &[&Path]) -> Option<Value> {
        let hash = |path: &&Path| Some((path.to_str()?.to_owned(), json!(self.hashes.get(*path)?)));
        (!paths.is_empty()).then(|| Value::Object(paths.iter().filter_map(hash).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use std::fs;

    #[test]
    fn a_file_is_known_by_its_content() {
        let scratch = Scratch::new("inputs");
        let [first, second] = ["a.jsonl", "b.jsonl"].map(|name| scratch.0.join(name));
        fs::write(&first, "one\n").expect("write");
        fs::write(&second, "two\n").expect("write");
        let mut inputs = Inputs::default();
        inputs.add("p", &first, first.clone()).expect("a text");
        inputs.add("p", &second, second.clone()).expect("a text");
        inputs.add("p", &first, first.clone()).expect("read already");
        let other = inputs.add("p", &first, second.clone()).expect_err("another file of that name");
        assert!(matches!(other, Problem::TwoFiles { .. }), "{other}");
        assert_eq!(inputs.contents.get(&first), Some("one\n"));
        let hashes = inputs.hashes_of(&[&first, &second]).expect("two files");
        let hash = |path: &Path| hashes[path.to_str().expect("UTF-8")].as_str().expect("a hash").to_owned();
        assert_eq!(hash(&first), blake3::hash(b"one\n").to_hex().to_string());
        assert_ne!(hash(&first), hash(&second));
        assert_eq!(inputs.hashes_of(&[]), None);
    }
}
