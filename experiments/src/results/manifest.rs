//! Manifests that runs left in an output folder: which tables of which checkpoints there should be.

pub(crate) mod write;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pythia_core::suite::Step;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{InputError, read_text};
use crate::files::sink;
use crate::files::table::is_folder_name;
use crate::integrity::{CHECKPOINTS, OnBad, Status};
use crate::results::index::ResultsIndex;
use crate::terminal::{Exit, Explained};

/// What one experiment was to compute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    /// Hash of the file, as in the journal.
    pub(crate) hash: String,
    pub(crate) models: Vec<ManifestModel>,
    /// The folders of the tables, in the order of the probes.
    pub(crate) tables: Vec<String>,
    /// Whether bad checkpoints are left out.
    pub(crate) skips_bad: bool,
    /// What was passed over or could not be read in the files of its models.
    pub(crate) notes: Vec<String>,
}

/// One model of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ManifestModel {
    pub(crate) label: String,
    /// Its checkpoints; a single `None` for a model without steps.
    pub(crate) steps: Vec<Option<Step>>,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("cannot list {}: {source}", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Read(#[from] InputError),
    #[error("{} is not the manifest of a run: {source}", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{} is not the manifest of a run: {name:?} cannot be the name of a folder", path.display())]
    Name { path: PathBuf, name: String },
}

impl Explained for ManifestError {
    fn exit(&self) -> Exit {
        match self {
            // `InputError` is a mistake of usage where an experiment names the file. A manifest lies among the results.
            Self::Read(_) | Self::List { .. } | Self::Form { .. } | Self::Name { .. } => Exit::BadInput,
        }
    }
}

/// The fields that are read.
#[derive(Deserialize)]
struct Raw {
    name: String,
    models: Vec<RawModel>,
    probes: Vec<RawProbe>,
    /// The first versions lack it.
    #[serde(default)]
    on_bad: OnBad,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct RawModel {
    model: String,
    steps: Vec<Option<u32>>,
}

#[derive(Deserialize)]
struct RawProbe {
    name: String,
    /// The first versions lack it; their probes had one table each.
    tables: Option<Vec<String>>,
}

impl Manifest {
    /// Every manifest in an output folder, by file name; none where nothing ran there.
    ///
    /// # Errors
    /// [`ManifestError`].
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

    /// One manifest; `None` for another file of the run's, such as its timeline.
    fn read(path: &Path) -> Result<Option<Self>, ManifestError> {
        Self::parse(path, &read_text(path)?)
    }

    /// The manifest in the text of a file; `None` for one of another kind.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Option<Self>, ManifestError> {
        let form = |source| ManifestError::Form { path: path.into(), source };
        let value: Value = serde_json::from_str(text).map_err(form)?;
        if value.get("models").is_none() || value.get("probes").is_none() {
            return Ok(None);
        }
        let raw = Raw::deserialize(value).map_err(form)?;
        let model = |RawModel { model, steps }| ManifestModel {
            label: model,
            steps: steps.into_iter().map(|step| step.map(Step::from_label)).collect(),
        };
        let manifest = Self {
            name: raw.name,
            hash: blake3::hash(text.as_bytes()).to_hex().to_string(),
            models: raw.models.into_iter().map(model).collect(),
            skips_bad: raw.on_bad == OnBad::Skip,
            notes: raw.notes,
            tables: raw.probes.into_iter().flat_map(|probe| probe.tables.unwrap_or(vec![probe.name])).collect(),
        };
        let mut names = manifest.models.iter().map(|model| &model.label).chain(&manifest.tables);
        match names.find(|name| !is_folder_name(name)) {
            Some(name) => Err(ManifestError::Name { path: path.into(), name: name.clone() }),
            None => Ok(Some(manifest)),
        }
    }

    /// Every checkpoint of every model, in the order of the plan.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&str, Option<Step>)> {
        self.models.iter().flat_map(|model| model.steps.iter().map(|step| (model.label.as_str(), *step)))
    }

    /// Whether two runs would write to one file: a table of one checkpoint, or the manifest itself.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let tables = || self.tables.iter().any(|table| other.tables.contains(table));
        let cells = || {
            let theirs: BTreeSet<_> = other.cells().collect();
            self.cells().any(|cell| theirs.contains(&cell))
        };
        self.name == other.name || (tables() && cells())
    }

    /// Whether a checkpoint was left out as bad: the run was told to, there are no tables of it, and its row in the
    /// table of checkpoints says why.
    pub(crate) fn left_out(&self, index: &ResultsIndex, model: &str, step: Option<Step>) -> bool {
        let untouched = || self.tables.iter().all(|table| !index.has(table, model, step));
        let status = || sink::first_text(index.part(CHECKPOINTS, model, step)?, "checkpoint_status");
        self.skips_bad && untouched() && status().is_some_and(|status| Status::is_bad_value(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::table::cell_name;
    use crate::testing::Scratch;

    fn folder(name: &str, files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new(name);
        fs::create_dir_all(scratch.0.join("state/tmp")).expect("create");
        for (file, text) in files {
            fs::write(scratch.0.join("state").join(file), text).expect("write");
        }
        scratch
    }

    const MANIFEST: &str = r#"{"name": "b", "seed": 0,
        "models": [{"model": "nano", "steps": [0, 512]}, {"model": "one", "steps": [null]}],
        "probes": [{"name": "loss", "probe": {}}, {"name": "patch", "tables": ["patch", "patch_examples"]}]}"#;

    #[test]
    fn manifests_are_read_and_other_files_are_not() {
        let files =
            [("b.json", MANIFEST), ("timeline.json", "{\"seconds\": 1}"), ("journal.jsonl", "{"), ("note", "?")];
        let scratch = folder("manifest", &files);
        let [manifest] = &Manifest::all(&scratch.0).expect("reads")[..] else { panic!("there is one") };
        assert_eq!((manifest.name.as_str(), manifest.tables.join(" ")), ("b", "loss patch patch_examples".into()));
        let cells: Vec<String> = manifest.cells().map(|(model, step)| cell_name(model, step)).collect();
        assert_eq!(cells, ["nano step0", "nano step512", "one"]);
        assert_eq!(manifest.hash, blake3::hash(MANIFEST.as_bytes()).to_hex().to_string());
        assert_eq!(Manifest::all(&scratch.0.join("results")).expect("nothing there"), []);
    }

    #[test]
    fn damaged_manifests_are_named() {
        let outside = MANIFEST.replace("nano", "../nano");
        for (text, word) in [
            ("{\"name\"", "EOF"),
            ("{\"name\": 1, \"models\": 2, \"probes\": 3}", "invalid type"),
            (&outside, "../nano"),
        ] {
            let scratch = folder("manifest-damaged", &[("x.json", text)]);
            let error = Manifest::all(&scratch.0).expect_err("must refuse").to_string();
            assert!(error.contains("x.json") && error.contains(word), "{error}");
        }
    }
}
