//! What the cache holds, how much it may hold, and what goes when that is spent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;

use super::{Commit, FileHash, RemoteName, Repo};

/// How much of a disk may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that what this store fetched may have together; what other tools fetched does not count.
    pub max: Option<u64>,
    /// Bytes that must stay free on the disk.
    pub min_free: u64,
}

/// A cache with a budget. Threads and processes may have several on one cache.
#[derive(Debug)]
pub struct Ring {
    cache: PathBuf,
    budget: Budget,
}

/// One commit in the cache, or what no commit links to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The repository.
    pub repo: Repo,
    /// The commit; `None` for content that no snapshot links to.
    pub commit: Option<Commit>,
    /// Branches that the cache knows to be this commit.
    pub branches: Vec<String>,
    /// Its files.
    pub files: Vec<Cached>,
    /// When this store used it last; `None` where it never did.
    pub last_used: Option<SystemTime>,
    /// Whether somebody uses it now.
    pub held: bool,
}

/// One file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Its name in the commit; `None` for content that no snapshot links to.
    pub name: Option<RemoteName>,
    /// The hash it should have.
    pub hash: FileHash,
    /// Its bytes.
    pub size: u64,
    /// Whether this store fetched it.
    pub ours: bool,
    /// Whether it was hashed since it was written last.
    pub verified: bool,
}

impl Entry {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// What the cache holds in all. A file that several commits share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that this store fetched, unfinished files included.
    pub ours: u64,
    /// Bytes that other tools fetched.
    pub foreign: u64,
    /// Of ours, bytes in use now.
    pub held: u64,
    /// Bytes that are reserved for files under way, by all processes.
    pub reserved: u64,
    /// Bytes free on the disk.
    pub free: u64,
}

/// Bytes set aside for a fetch, until dropped. Other processes see them.
#[derive(Debug)]
pub struct Reservation {}

/// Files in use, until dropped: they are not evicted. Other processes see them.
#[derive(Debug)]
pub struct Hold {}

/// What [`Ring::prune`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A cache that cannot hold what it should.
#[derive(Debug, Error)]
pub enum RingError {
    /// More than the budget, with everything gone that may go.
    #[error("{needed} bytes do not fit into a cache of {max}: {held} are in use and {reserved} reserved")]
    Budget {
        /// Bytes that were asked for.
        needed: u64,
        /// The budget.
        max: u64,
        /// Bytes in use.
        held: u64,
        /// Bytes that others reserved.
        reserved: u64,
    },
    /// Too little free space, with everything gone that may go.
    #[error(
        "{needed} bytes do not fit on the disk: {free} are free, of which {min_free} must stay so and {reserved} are reserved; \
         {held} are in use, {foreign} belong to other tools"
    )]
    Disk {
        /// Bytes that were asked for.
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
    /// A file that should be held is not there (any more). Fetch it again.
    #[error("{} is not in the cache any more", path.display())]
    Vanished {
        /// The file.
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

impl RingError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        todo!()
    }
}

impl Ring {
    /// The cache rooted at `cache`, which need not exist yet, with a budget.
    ///
    /// # Errors
    /// [`RingError::Io`].
    pub fn open(cache: &Path, budget: Budget) -> Result<Self, RingError> {
        Ok(Self { cache: cache.to_owned(), budget })
    }

    /// Its budget.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Sets bytes aside for a fetch. Where they do not fit, checkpoints go that this store fetched and nobody uses, least recently
    /// used first, until they do.
    ///
    /// # Errors
    /// [`RingError::Budget`], [`RingError::Disk`], [`RingError::Io`].
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, RingError> {
        todo!("{bytes} {:?}", self.cache)
    }

    /// Notes that files of snapshots are used from now on. Paths outside the cache need no note and are passed over.
    ///
    /// # Errors
    /// [`RingError::Vanished`] when one of them is gone (fetch it again), [`RingError::Io`].
    pub fn hold(&self, paths: &[PathBuf]) -> Result<Hold, RingError> {
        todo!("{paths:?}")
    }

    /// What the cache holds, by repository and commit.
    ///
    /// # Errors
    /// [`RingError::Io`].
    pub fn entries(&self) -> Result<Vec<Entry>, RingError> {
        todo!()
    }

    /// How much the cache holds.
    ///
    /// # Errors
    /// [`RingError::Io`].
    pub fn usage(&self) -> Result<Usage, RingError> {
        todo!()
    }

    /// Hashes every file of an entry and notes the outcome; gives those whose content is not what their name says.
    ///
    /// # Errors
    /// [`RingError::Io`].
    pub fn verify(&self, entry: &Entry) -> Result<Vec<Cached>, RingError> {
        todo!("{entry:?}")
    }

    /// Removes every entry for which `wanted` holds and that nobody uses, least recently used first, with what was left unfinished by processes
    /// that are gone. What other tools fetched stays unless `foreign` is set.
    ///
    /// # Errors
    /// [`RingError::Io`].
    pub fn prune(&self, foreign: bool, wanted: &dyn Fn(&Entry) -> bool) -> Result<Pruned, RingError> {
        let _ = (foreign, wanted);
        todo!()
    }
}

impl Reservation {
    /// Gives back part of it, as a file under way is finished.
    pub fn shrink(&mut self, bytes: u64) {
        todo!("{bytes}")
    }
}
