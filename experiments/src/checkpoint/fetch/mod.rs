//! Fetching checkpoints into the cache.

mod guard;
mod hub;
mod parts;
mod ticker;

use pythia_core::store::CheckpointFiles;
use pythia_core::weights::WeightError;
use pythia_hub::{HubError, LockError, LruError};

use crate::terminal::{Exit, Explained};
pub(crate) use guard::CacheGuard;
pub(crate) use hub::HubFetcher;
pub(crate) use parts::Parts;

/// A checkpoint whose files are in the cache.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Whether the files were compared with the hashes that the hub publishes.
    pub(crate) verified: bool,
    /// The files, where they differ from those that a store would find.
    pub(crate) files: Option<CheckpointFiles>,
    /// Removes files that hold some tensors alone. Declared before the guard, so that they are gone when the guard
    /// lets other fetches have the room.
    pub(crate) _parts: Option<Parts>,
    /// Keeps the files from being evicted.
    pub(crate) _guard: Option<CacheGuard>,
}

/// A checkpoint that cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("the hub did not answer for the checkpoints before this one, and was not asked again")]
    Unreachable,
    #[error(transparent)]
    Cache(#[from] LruError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Weights(#[from] WeightError),
}

impl Explained for FetchError {
    /// The hub was out of reach, the cache is full, or the data is not as it should be.
    fn exit(&self) -> Exit {
        match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) if error.is_temporary() => Exit::Temporary,
            Self::Unreachable => Exit::Temporary,
            Self::Cache(LruError::Budget { .. } | LruError::Disk { .. }) => Exit::Resources,
            Self::Hub(_) | Self::Lock(_) | Self::Cache(_) | Self::Weights(_) => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Hub(error) | Self::Lock(LockError::Hub(error)) => error.remedy(),
            Self::Cache(error) => error.remedy(),
            Self::Unreachable => "run the same command again when the hub can be reached".into(),
            Self::Lock(_) | Self::Weights(_) => "leave the step out".into(),
        })
    }
}
