//! What can go wrong with the cache.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::io_remedy;

/// Why the cache cannot hold some files.
#[derive(Debug, Error)]
pub enum LruError {
    /// More than the budget, even after evicting everything that may be evicted.
    #[error("{needed} bytes do not fit into a cache of {max}: {held} are in use and {reserved} reserved")]
    Budget {
        /// The requested bytes.
        needed: u64,
        /// Bytes that the cache may take.
        max: u64,
        /// Bytes in use.
        held: u64,
        /// Bytes that others reserved.
        reserved: u64,
    },
    /// Too little free space, even after evicting everything that may be evicted.
    #[error(
        "{needed} bytes do not fit on the disk: {free} are free, of which {min_free} must stay so and {reserved} are \
         reserved; \
         {held} are in use, {foreign} belong to other tools"
    )]
    Disk {
        /// The requested bytes.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        min_free: u64,
        /// Bytes that others reserved.
        reserved: u64,
        /// Bytes in use.
        held: u64,
        /// Bytes that other tools fetched.
        foreign: u64,
    },
    /// A file to hold is missing. Fetch it again.
    #[error("{} is not in the cache any more", path.display())]
    Vanished {
        /// File of the cache that is missing.
        path: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl LruError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Budget { needed, max, .. } if needed > max => format!("set --cache-max to {needed} at least"),
            Self::Budget { .. } => "set --cache-max higher, or wait for the other runs on this cache".to_owned(),
            Self::Disk { .. } => {
                "make room on the disk, set --min-free lower, or point HF_HUB_CACHE to another disk".to_owned()
            }
            Self::Vanished { .. } => "fetch it again".to_owned(),
            Self::Io { source, .. } => io_remedy(source),
        }
    }
}
