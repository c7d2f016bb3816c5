//! Checkpoints in a local folder.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::StoreError;
use super::layout::{checkpoint_in, description_in, looks_like_checkpoint, read_small, steps_in};
use super::{CheckpointFiles, Checkpoints, Description, Step};
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
        if !dir.is_dir() {
            return Err(StoreError::NoFolder { dir });
        }
        let described = describe(&dir.join(DESCRIPTION))?;
        let model = described.model.unwrap_or_else(|| folder_name(&dir));
        let store = Self { dir, model, tokens_per_step: described.tokens_per_step };
        if store.steps()?.is_empty() && !store.dir.join("config.json").is_file() {
            return Err(StoreError::NotAModel { dir: store.dir });
        }
        Ok(store)
    }

    /// The folder of a step, or of the model itself.
    fn dir_of(&self, step: Option<Step>) -> Result<PathBuf, StoreError> {
        let dir = step.map_or(self.dir.clone(), |step| self.dir.join(step.to_string()));
        let there = if step.is_some() { dir.is_dir() } else { dir.join("config.json").is_file() };
        if there { Ok(dir) } else { Err(StoreError::NoSuchStep { dir: self.dir.clone(), step, steps: self.steps()? }) }
    }
}

impl Checkpoints for FolderStore {
    fn model(&self) -> &str {
        &self.model
    }

    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        steps_in(&self.dir, |_, dir| looks_like_checkpoint(dir))
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
    if !path.is_file() {
        return Ok(Facts::default());
    }
    let text = read_small(path, MAX_DESCRIPTION)?;
    serde_json::from_slice(&text).map_err(|source| StoreError::BadDescription { path: path.to_owned(), source })
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
