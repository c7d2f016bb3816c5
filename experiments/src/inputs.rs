//! The files that probes name: read once, before anything runs, with the hash by which a result knows its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pythia_probes::{Files, ProbeSpec};
use serde_json::{Value, json};

use crate::config::{Experiment, Located, Problem};

/// Larger files are refused: they are held in memory while the experiment runs.
const MAX_BYTES: u64 = 64 << 20;

/// The files of an experiment. Paths count from where the command runs, as the folders of models do.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Their contents.
    pub contents: Files,
    hashes: BTreeMap<PathBuf, String>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, or something that never ends.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is too large.
    #[error("{} has {found} bytes or more, at most {most} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes, a lower bound.
        found: u64,
        /// The most that is read.
        most: u64,
    },
    /// It is not text.
    #[error("{} is not text in UTF-8: line {line} has a byte that cannot stand there", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

impl Inputs {
    /// Reads every file that a probe names, each once; what cannot be read is a problem of the first probe that names it.
    pub fn of(experiment: &Experiment) -> (Self, Vec<Located>) {
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
            let text = read(path)?;
            self.hashes.insert(path.into(), blake3::hash(text.as_bytes()).to_hex().to_string());
            self.contents.0.insert(path.into(), text);
        }
        Ok(())
    }

    /// Whether every file that the probe names was read.
    pub fn has_all_of(&self, spec: &ProbeSpec) -> bool {
        spec.files().into_iter().all(|path| self.contents.get(path).is_some())
    }

    /// The hashes of these files by their paths; `None` where there are none, so that what names no file stays as it is.
    pub fn hashes_of(&self, paths: &[&Path]) -> Option<Value> {
        let hash = |path: &&Path| Some((path.to_str()?.to_owned(), json!(self.hashes.get(*path)?)));
        (!paths.is_empty()).then(|| Value::Object(paths.iter().filter_map(hash).collect()))
    }
}

/// The text of a regular file of bounded size.
pub fn read(path: &Path) -> Result<String, InputError> {
    let failed = |source| InputError::Io { path: path.into(), source };
    // Asked before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(InputError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let found = bytes.len() as u64;
    if found > MAX_BYTES {
        return Err(InputError::TooLarge { path: path.into(), found, most: MAX_BYTES });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
        InputError::NotText { path: path.into(), line }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

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

    #[test]
    fn what_is_no_text_of_that_size_is_refused() {
        let scratch = Scratch::new("inputs-bad");
        assert!(matches!(read(&scratch.0), Err(InputError::NotAFile { .. })));
        assert!(matches!(read(Path::new("/dev/zero")), Err(InputError::NotAFile { .. })));
        assert!(matches!(read(&scratch.0.join("none")), Err(InputError::Io { .. })));
        let path = scratch.0.join("binary");
        fs::write(&path, b"one\ntw\xff\n").expect("write");
        let error = read(&path).expect_err("no text");
        assert!(
            error.to_string().ends_with("is not text in UTF-8: line 2 has a byte that cannot stand there"),
            "{error}"
        );
        let file = File::create(&path).expect("create");
        file.set_len(MAX_BYTES + 1).expect("a sparse file");
        assert!(matches!(read(&path), Err(InputError::TooLarge { found, .. }) if found == MAX_BYTES + 1));
    }
}
