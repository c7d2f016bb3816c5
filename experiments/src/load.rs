//! Checkpoints from disk to host memory, one ahead of the computation.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use pythia_core::config::NeoxConfig;
use pythia_core::params::HostParams;
use pythia_core::store::StoreError;
use pythia_core::suite::Step;
use pythia_core::weights::{self, Hashes, Wanted, WeightError};

use crate::study::{Model, ShapeError, read_config};

/// A checkpoint in host memory.
pub struct Loaded {
    /// Its configuration.
    pub config: NeoxConfig,
    /// Its parameters.
    pub params: HostParams,
    /// Hashes of its weights.
    pub hashes: Hashes,
}

/// A checkpoint that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its files are not there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ShapeError),
    /// Its shape is not that of the model's other checkpoints.
    #[error("its config.json describes another model than the other checkpoints of {model}")]
    AnotherShape {
        /// The model's label.
        model: String,
    },
    /// Its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The thread that reads ahead ended.
    #[error("the reading thread ended before this checkpoint")]
    ReaderEnded,
}

impl LoadError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            LoadError::Store(_) => "bring the checkpoint to where it was looked for, or leave its step out",
            LoadError::Config(_) | LoadError::AnotherShape { .. } => {
                "copy the checkpoint's own config.json there again"
            }
            LoadError::Weights(_) => "copy or download the checkpoint's files again",
            LoadError::ReaderEnded => "run the same command again",
        }
    }
}

/// One checkpoint to load.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Of which model.
    pub model: &'a Model,
    /// Which one.
    pub step: Option<Step>,
    /// What of it.
    pub wanted: Wanted,
}

/// Loads one checkpoint.
pub fn load(job: &Job<'_>) -> Result<Loaded, LoadError> {
    let files = job.model.store.locate(job.step)?;
    let config = read_config(&files.config)?;
    if config != job.model.config {
        return Err(LoadError::AnotherShape { model: job.model.label.clone() });
    }
    let (params, hashes) = weights::read(&config, &files.weights, &job.wanted)?;
    Ok(Loaded { config, params, hashes })
}

/// Loads the checkpoints in order on a thread of its own. The hand-over has no buffer: while one checkpoint computes
/// exactly one more is in memory, decoded and waiting, which is what bounds the memory of a sweep.
pub fn ahead<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    jobs: Vec<Job<'scope>>,
) -> Receiver<Result<Loaded, LoadError>> {
    let (sender, receiver) = sync_channel(0);
    scope.spawn(move || {
        for job in &jobs {
            // The receiver goes away when the sweep stops early.
            if sender.send(load(job)).is_err() {
                return;
            }
        }
    });
    receiver
}
