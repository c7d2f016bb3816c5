//! The records that runs left in an output folder, read back: which tables of which checkpoints there should be.

pub(crate) mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pythia_core::suite::Step;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{InputError, read_text};
use crate::files::sink;
use crate::integrity::{CHECKPOINTS, OnBad};
use crate::results::index::ResultsIndex;
use crate::terminal::{Exit, Explained};

/// What one experiment was to compute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    /// The experiment's name.
    pub(crate) name: String,
    /// Hash of the record, as the journal has it.
    pub(crate) hash: String,
    /// The models, in the order of the experiment.
    pub(crate) models: Vec<ManifestModel>,
    /// The folders of the tables, in the order of the probes.
    pub(crate) tables: Vec<String>,
    /// Whether bad checkpoints are left out.
    pub(crate) skips_bad: bool,
}

/// One model of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ManifestModel {
    /// What the results call it.
    pub(crate) label: String,
    /// Its checkpoints, none for a single model's only one.
    pub(crate) steps: Vec<Option<Step>>,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// The folder of records cannot be listed.
    #[error("cannot list {}: {source}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] InputError),
    /// It is no JSON, or not of the form of a record.
    #[error("{} is not the manifest of a run: {source}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A name in it is not one that a run gives to a folder.
    #[error("{} is not the manifest of a run: {name:?} cannot be the name of a folder", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

impl Explained for ManifestError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }
}

/// As much of a record as says what there should be.
#[derive(Deserialize)]
struct Raw {
    name: String,
    models: Vec<RawModel>,
    probes: Vec<RawProbe>,
    /// Records of the first versions lack it.
    #[serde(default)]
    on_bad: OnBad,
}

#[derive(Deserialize)]
struct RawModel {
    model: String,
    steps: Vec<Option<u32>>,
}

#[derive(Deserialize)]
struct RawProbe {
    name: String,
    /// Records of the first versions lack it; their probes had one table each.
    tables: Option<Vec<String>>,
}

impl Manifest {
    /// Every record in an output folder, by file name; none where nothing ran there.
    ///
    /// # Errors
    /// A folder or file that cannot be read, and a record that is none.
    pub(crate) fn all(out: &Path) -> Result<Vec<Self>, ManifestError> {
        let folder = out.join("state");
        let failed = |source| ManifestError::List { path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let mut paths: Vec<PathBuf> = paths.map_err(failed)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().filter_map(|path| Self::read(path).transpose()).collect()
    }

    /// One record; `None` for another file of the run's, such as its timeline.
    fn read(path: &Path) -> Result<Option<Self>, ManifestError> {
        let text = read_text(path)?;
        let form = |source| ManifestError::Form { path: path.into(), source };
        let value: Value = serde_json::from_str(&text).map_err(form)?;
        if value.get("models").is_none() || value.get("probes").is_none() {
            return Ok(None);
        }
        let raw = Raw::deserialize(value).map_err(form)?;
        let model = |RawModel { model, steps }| ManifestModel {
            label: model,
            steps: steps.into_iter().map(|step| step.map(Step::from_label)).collect(),
        };
        let record = Self {
            name: raw.name,
            hash: blake3::hash(text.as_bytes()).to_hex().to_string(),
            models: raw.models.into_iter().map(model).collect(),
            skips_bad: raw.on_bad == OnBad::Skip,
            tables: raw.probes.into_iter().flat_map(|probe| probe.tables.unwrap_or(vec![probe.name])).collect(),
        };
        let mut names = record.models.iter().map(|model| &model.label).chain(&record.tables);
        match names.find(|name| !is_folder_name(name)) {
            Some(name) => Err(ManifestError::Name { path: path.into(), name: name.clone() }),
            None => Ok(Some(record)),
        }
    }

    /// Every checkpoint of every model, in the order of the plan.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&str, Option<Step>)> {
        self.models.iter().flat_map(|model| model.steps.iter().map(|step| (model.label.as_str(), *step)))
    }

    /// Whether a checkpoint was left out as bad: that was asked for, nothing was made of it, and its row in the table of checkpoints
    /// says what is wrong with it.
    pub(crate) fn left_out(&self, index: &ResultsIndex, model: &str, step: Option<Step>) -> bool {
        let untouched = || self.tables.iter().all(|table| !index.has(table, model, step));
        let status = || sink::first_text(index.part(CHECKPOINTS, model, step)?, "checkpoint_status");
        self.skips_bad && untouched() && status().is_some_and(|status| status != "ok" && status != "unverified")
    }
}

/// A checkpoint in a person's words, as in the journal.
pub(crate) fn cell_name(model: &str, step: Option<Step>) -> String {
    step.map_or(model.to_owned(), |step| format!("{model} {step}"))
}

/// Names that a run gives to folders. A name from a file must not lead out of the folder it is looked for in.
fn is_folder_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn folder(name: &str, files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new(name);
        fs::create_dir_all(scratch.0.join("state/tmp")).expect("create");
        for (file, text) in files {
            fs::write(scratch.0.join("state").join(file), text).expect("write");
        }
        scratch
    }

    const RECORD: &str = r#"{"name": "b", "seed": 0,
        "models": [{"model": "nano", "steps": [0, 512]}, {"model": "one", "steps": [null]}],
        "probes": [{"name": "loss", "probe": {}}, {"name": "patch", "tables": ["patch", "patch_examples"]}]}"#;

    #[test]
    fn records_are_read_and_other_files_are_not() {
        let files = [("b.json", RECORD), ("timeline.json", "{\"seconds\": 1}"), ("journal.jsonl", "{"), ("note", "?")];
        let scratch = folder("recorded", &files);
        let [record] = &Manifest::all(&scratch.0).expect("reads")[..] else { panic!("there is one") };
        assert_eq!((record.name.as_str(), record.tables.join(" ")), ("b", "loss patch patch_examples".into()));
        let cells: Vec<String> = record.cells().map(|(model, step)| cell_name(model, step)).collect();
        assert_eq!(cells, ["nano step0", "nano step512", "one"]);
        assert_eq!(record.hash, blake3::hash(RECORD.as_bytes()).to_hex().to_string());
        assert_eq!(Manifest::all(&scratch.0.join("results")).expect("nothing there"), []);
    }

    #[test]
    fn damaged_records_are_named() {
        let outside = RECORD.replace("nano", "../nano");
        for (text, word) in [
            ("{\"name\"", "EOF"),
            ("{\"name\": 1, \"models\": 2, \"probes\": 3}", "invalid type"),
            (&outside, "../nano"),
        ] {
            let scratch = folder("recorded-damaged", &[("x.json", text)]);
            let error = Manifest::all(&scratch.0).expect_err("must refuse").to_string();
            assert!(error.contains("x.json") && error.contains(word), "{error}");
        }
    }
}
