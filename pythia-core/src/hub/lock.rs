//! The lock file: which commit each branch was, and what it held.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Commit, FileHash, Hub, HubError, RemoteFile, Repo};

/// A branch as it was when it was pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The commit.
    pub commit: Commit,
    /// Its files, sorted by name.
    pub files: Vec<RemoteFile>,
}

/// Branches of repositories, pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Repository → branch → pin.
    pub repos: BTreeMap<Repo, BTreeMap<String, Pin>>,
}

/// A lock file, or a pin, that cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// Longer than any lock file can be.
    #[error("the lock file has {found} bytes, more than the {max} that are read")]
    TooLarge {
        /// Its bytes.
        found: u64,
        /// Bytes that are read.
        max: u64,
    },
    /// Not a lock file.
    #[error("not a lock file: {0}")]
    Json(#[from] serde_json::Error),
    /// Made by a later version of the program.
    #[error("the lock file has version {found}, and this program reads version {known}")]
    Version {
        /// Its version.
        found: u64,
        /// The version that is read.
        known: u64,
    },
    /// A branch whose name could lead somewhere.
    #[error("{found:?} is not the name of a branch")]
    Branch {
        /// The name, cut to a readable length.
        found: String,
    },
    /// A pin lists a file twice.
    #[error("{branch} of {repo} lists {name} twice")]
    Twice {
        /// The repository.
        repo: Repo,
        /// The branch.
        branch: String,
        /// The file.
        name: String,
    },
    /// The repository has no such branch.
    #[error("{repo} has no branch {branch}")]
    NoBranch {
        /// The repository.
        repo: Repo,
        /// The branch.
        branch: String,
    },
    /// The commit has no configuration.
    #[error("commit {commit} has no config.json")]
    NoConfig {
        /// The commit.
        commit: Commit,
    },
    /// The commit has no weights in a form that can be read.
    #[error("commit {commit} has no weights: neither safetensors nor PyTorch's, whole or in shards with their index")]
    NoWeights {
        /// The commit.
        commit: Commit,
    },
    /// The hub could not be asked.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// [`LockError`] says what is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Self, LockError> {
        todo!("{}", text.len())
    }

    /// The lock file's text: sorted, one way to write each lock, a line end at its end.
    pub fn to_json(&self) -> String {
        todo!()
    }

    /// The pin of a branch.
    pub fn pin(&self, repo: &Repo, branch: &str) -> Option<&Pin> {
        self.repos.get(repo)?.get(branch)
    }

    /// Asks the hub what these branches are now: one question for the commits, one for each commit's files, four at a time.
    /// `watch` is told how many commits of how many are known.
    ///
    /// # Errors
    /// [`LockError::NoBranch`] or [`LockError::Hub`].
    pub fn resolve(
        hub: &Hub,
        repo: &Repo,
        branches: &[String],
        watch: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<BTreeMap<String, Pin>, LockError> {
        watch(0, 0);
        todo!("{repo} {branches:?} {:?}", hub.cache())
    }
}

impl Pin {
    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }

    /// The files that a run needs: `config.json`, `tokenizer.json` where there is one, and the weights: `model.safetensors`, else its
    /// shards with their index, else `pytorch_model.bin`, else its shards with their index. A form with a file whose hash is in `avoid`
    /// (weights that are known to belong to another step) is passed over if another form of the same commit has none such.
    ///
    /// # Errors
    /// [`LockError::NoConfig`], [`LockError::NoWeights`].
    pub fn needed(&self, avoid: &BTreeSet<FileHash>) -> Result<Vec<&RemoteFile>, LockError> {
        todo!("{avoid:?}")
    }
}
