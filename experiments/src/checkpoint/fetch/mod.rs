//! What brings checkpoints to where stores look for them.

mod guard;
mod hub;
mod parts;
mod ticker;

use pythia_core::store::CheckpointFiles;
use pythia_core::weights::WeightError;
use pythia_hub::{HubError, LockError, LruError};

use crate::checkpoint::load::Job;

use crate::terminal::{Exit, Explained};
pub(crate) use guard::CacheGuard;
pub(crate) use hub::HubFetcher;
pub(crate) use parts::Parts;

/// A checkpoint whose files are here.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Whether the files were compared with the hashes that the hub publishes.
    pub(crate) verified: bool,
    /// The very files, where they are not simply those that a store finds.
    pub(crate) files: Option<CheckpointFiles>,
    /// Removes files that hold some tensors alone. Declared before the guard, whose end others wait for.
    pub(crate) _parts: Option<Parts>,
    /// Keeps the files from being evicted.
    pub(crate) _guard: Option<CacheGuard>,
}

/// A checkpoint that cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The hub does not give it.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The hub did not answer for several checkpoints in a row; it is not asked any more.
    #[error("the hub did not answer for the checkpoints before this one, and was not asked again")]
    Unreachable,
    /// The cache has no room for it.
    #[error(transparent)]
    LruCache(#[from] LruError),
    /// The branch does not hold what a run needs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The header of a file is not that of the model's weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
}

impl Explained for FetchError {
    /// The hub was out of reach, the cache is full, or the data is not as it should be.
    fn exit(&self) -> Exit {
        match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) if error.is_temporary() => Exit::Temporary,
            Self::Unreachable => Exit::Temporary,
            Self::LruCache(LruError::Budget { .. } | LruError::Disk { .. }) => Exit::Resources,
            Self::Hub(_) | Self::Lock(_) | Self::LruCache(_) | Self::Weights(_) => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) => error.remedy(),
            Self::LruCache(error) => error.remedy(),
            Self::Unreachable => "run the same command again when the hub can be reached".into(),
            Self::Lock(_) | Self::Weights(_) => "leave the step out".into(),
        })
    }
}

/// Brings checkpoints here.
pub(crate) trait Fetcher: Sync {
    /// How many checkpoints may wait before one is loaded.
    fn ahead(&self) -> usize;

    /// Whether this checkpoint comes from somewhere else.
    fn can_fetch(&self, job: &Job<'_>) -> bool;

    /// Brings the files of a checkpoint here, unless they are.
    ///
    /// # Errors
    /// [`FetchError`] says what was tried.
    fn fetch(&self, job: &Job<'_>) -> Result<Fetched, FetchError>;
}
