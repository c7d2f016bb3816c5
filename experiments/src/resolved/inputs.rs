//! The files that probes name: read once, before anything runs, with the hash by which a result knows its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pythia_probes::{Files, ProbeSpec};
use serde_json::{Value, json};

use crate::config::{Experiment, InputError, Located, Problem, read_text};

/// The files of an experiment. Paths count from where the command runs, as the folders of models do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// Their contents.
    pub(crate) contents: Files,
    hashes: BTreeMap<PathBuf, String>,
}

impl Inputs {
    /// Reads every file that a probe names, each once; what cannot be read is a problem of the first probe that names it.
    pub(crate) fn of(experiment: &Experiment) -> (Self, Vec<Located>) {
        let (mut inputs, mut problems) = (Self::default(), Vec::new());
        for probe in &experiment.probes {
            for path in probe.spec.files() {
                if let Err(error) = inputs.add(path) {
                    let problem = Problem::Input { probe: probe.name.clone(), error };
                    problems.push(Located::new(problem, probe.place_of_file(path)));
                }
            }
        }
        (inputs, problems)
    }

    /// Reads a file where it was not read already.
    fn add(&mut self, path: &Path) -> Result<(), InputError> {
        if self.contents.get(path).is_none() {
            let text = read_text(path)?;
            self.hashes.insert(path.into(), blake3::hash(text.as_bytes()).to_hex().to_string());
            self.contents.0.insert(path.into(), text);
        }
        Ok(())
    }

    /// Whether every file that the probe names was read.
    pub(crate) fn has_all_of(&self, spec: &ProbeSpec) -> bool {
        spec.files().into_iter().all(|path| self.contents.get(path).is_some())
    }

    /// The hashes of these files by their paths; `None` where there are none, so that what names no file stays as it is.
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
        inputs.add(&first).expect("a text");
        inputs.add(&second).expect("a text");
        assert_eq!(inputs.contents.get(&first), Some("one\n"));
        let hashes = inputs.hashes_of(&[&first, &second]).expect("two files");
        let hash = |path: &Path| hashes[path.to_str().expect("UTF-8")].as_str().expect("a hash").to_owned();
        assert_eq!(hash(&first), blake3::hash(b"one\n").to_hex().to_string());
        assert_ne!(hash(&first), hash(&second));
        assert_eq!(inputs.hashes_of(&[]), None);
    }
}
