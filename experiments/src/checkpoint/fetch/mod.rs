//! What brings checkpoints to where stores look for them.

mod guard;
mod hub;
mod parts;
mod ticker;

use pythia_core::store::CheckpointFiles;
use pythia_core::weights::WeightError;
use pythia_hub::{HubError, LockError, LruError};

use crate::checkpoint::load::Job;

pub use guard::CacheGuard;
pub use hub::HubFetcher;
pub use parts::Parts;

/// A checkpoint whose files are here.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Whether the files were compared with the hashes that the hub publishes.
    pub verified: bool,
    /// The very files, where they are not simply those that a store finds.
    pub files: Option<CheckpointFiles>,
    /// Files that hold no more than was asked for. They go before the hold, whose end others wait for.
    pub parts: Option<Parts>,
    /// Keeps them from being evicted.
    pub hold: Option<CacheGuard>,
}

/// A checkpoint that cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
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

impl FetchError {
    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) => error.remedy(),
            Self::LruCache(error) => error.remedy(),
            Self::Unreachable => "run the same command again when the hub can be reached".into(),
            Self::Lock(_) | Self::Weights(_) => "leave the step out".into(),
        }
    }

    /// Whether the same command may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) => error.is_temporary(),
            Self::Unreachable => true,
            Self::LruCache(_) | Self::Lock(_) | Self::Weights(_) => false,
        }
    }

    /// Whether the cache is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::LruCache(LruError::Budget { .. } | LruError::Disk { .. }))
    }
}

/// Brings checkpoints here.
pub trait Fetcher: Sync {
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
