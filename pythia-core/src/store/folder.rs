//! Checkpoints in a local folder.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::StoreError;
use super::layout::{checkpoint_in, description_in, is_dir, is_file, read_small, steps_in};
use super::step_names::misnamed_in;
use super::{CheckpointFiles, Checkpoints, Description, MisnamedStep, Step};
use crate::json;
use crate::suite::ModelId;

/// The optional description beside the steps.
const DESCRIPTION: &str = "suite.json";
const MAX_DESCRIPTION: u64 = 1 << 20;

/// A folder in the hub's own shape: `DIR/step512/config.json`, … for a series of checkpoints, or `DIR/config.json`, …
/// for a single model. A file `DIR/suite.json` may describe the model: `{"model": "nano", "tokens_per_step": 2048}`.
#[derive(Clone, Debug)]
pub struct FolderStore {
    dir: PathBuf,
    model: String,
    tokens_per_step: Option<u64>,
}

/// The keys of `suite.json` that are read here. Others are ignored.
#[derive(Default, Deserialize)]
struct Facts {
    model: Option<String>,
    tokens_per_step: Option<u64>,
}

impl FolderStore {
    /// Opens a folder. A leading `~` means the home folder.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such folder, or when it holds neither a model nor steps of one.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let dir = at_home(dir);
        if !is_dir(&dir)? {
            return Err(StoreError::NoFolder { dir });
        }
        let described = describe(&dir.join(DESCRIPTION))?;
        let model = described.model.unwrap_or_else(|| folder_name(&dir));
        let store = Self { dir, model, tokens_per_step: described.tokens_per_step };
        if !store.steps()?.is_empty() {
            return Ok(store);
        }
        // A single model, or an error that says what there is instead.
        match description_in(&store.dir, &[]) {
            Err(StoreError::NoConfig { .. }) => {
                let misnamed = store.misnamed()?;
                Err(StoreError::NotAModel { dir: store.dir, misnamed })
            }
            described => described.map(|_| store),
        }
    }

    /// The folder of a step, or of the model itself.
    fn dir_of(&self, step: Option<Step>) -> Result<PathBuf, StoreError> {
        let dir = step.map_or(self.dir.clone(), |step| self.dir.join(step.to_string()));
        let there = if step.is_some() { is_dir(&dir)? } else { is_file(&dir.join("config.json"))? };
        if there { Ok(dir) } else { Err(StoreError::NoSuchStep { dir: self.dir.clone(), step, steps: self.steps()? }) }
    }
}

impl Checkpoints for FolderStore {
    fn model(&self) -> &str {
        &self.model
    }

    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        // A link to nothing, and what may not be looked at, are steps that cannot be read. A file is no step.
        steps_in(&self.dir, |_, dir| is_dir(dir).unwrap_or(true))
    }

    fn misnamed(&self) -> Result<Vec<MisnamedStep>, StoreError> {
        misnamed_in(&self.dir, &self.steps()?)
    }

    fn locate(&self, step: Option<Step>) -> Result<CheckpointFiles, StoreError> {
        checkpoint_in(&self.dir_of(step)?, &[&self.dir])
    }

    fn describe(&self, step: Option<Step>) -> Result<Description, StoreError> {
        description_in(&self.dir_of(step)?, &[&self.dir])
    }

    fn tokens_per_step(&self) -> Option<u64> {
        self.tokens_per_step
    }

    fn suite_id(&self) -> Option<ModelId> {
        None
    }
}

fn describe(path: &Path) -> Result<Facts, StoreError> {
    if !is_file(path)? {
        return Ok(Facts::default());
    }
    let text = read_small(path, MAX_DESCRIPTION)?;
    let text = json::text(&text).map_err(|source| StoreError::Content { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| StoreError::BadDescription { path: path.to_owned(), source })
}

/// The name of the folder, also for paths that end in `.` or `..`.
fn folder_name(dir: &Path) -> String {
    let resolved = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    resolved.file_name().map_or_else(|| resolved.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The path with the home folder in the place of a leading `~`.
fn at_home(dir: &Path) -> PathBuf {
    match (dir.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => dir.to_owned(),
    }
}
