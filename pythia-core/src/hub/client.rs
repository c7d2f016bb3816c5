//! The client.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Clock, Commit, HubError, RemoteFile, Repo, Settings};

/// A client of the hub. Cheap to make; threads may share one.
pub struct Hub {
    settings: Settings,
}

impl Hub {
    /// A client with these settings. Opens no connection.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The same with another clock.
    pub fn with_clock(settings: Settings, clock: Box<dyn Clock>) -> Self {
        let _ = clock;
        Self { settings }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Root of the cache.
    pub fn cache(&self) -> &Path {
        &self.settings.cache
    }

    /// Makes every call that is under way, and every later one, end with [`HubError::Stopped`]; bytes that arrived are kept for
    /// the next time. For signal handlers' threads.
    pub fn stop(&self) {
        todo!()
    }

    /// The branches of a repository and the commit each is now. Branches whose names could not be file names are left out.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn branches(&self, repo: &Repo) -> Result<BTreeMap<String, Commit>, HubError> {
        todo!("{repo}")
    }

    /// The files of a commit, sorted by name.
    ///
    /// # Errors
    /// [`HubError`]; [`HubError::Answer`] when any file has a name or hash that is not clean.
    pub fn files(&self, repo: &Repo, commit: &Commit) -> Result<Vec<RemoteFile>, HubError> {
        todo!("{repo} {commit}")
    }

    /// The file in the cache, fetched and verified if it is not there, under `snapshots/COMMIT/`. `watch` is told how many bytes have
    /// arrived, each time some do; bytes that were there already are not told. A file that is there needs no connection, also offline.
    ///
    /// # Errors
    /// [`HubError`]. Whatever happens, the cache never holds content that is not what `file` says.
    pub fn fetch(
        &self,
        repo: &Repo,
        commit: &Commit,
        file: &RemoteFile,
        watch: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, HubError> {
        watch(0);
        todo!("{repo} {commit} {file:?}")
    }

    /// Where [`Hub::fetch`] puts a file; whether it is there is another question.
    pub fn snapshot_path(&self, repo: &Repo, commit: &Commit, file: &RemoteFile) -> PathBuf {
        todo!("{repo} {commit} {file:?}")
    }

    /// Whether the cache holds the file with the size and (as far as the journal knows) the hash it should have.
    pub fn has(&self, repo: &Repo, commit: &Commit, file: &RemoteFile) -> bool {
        todo!("{repo} {commit} {file:?}")
    }

    /// Bytes `range` of a file, exactly those, from the cache where it holds the file, else from the hub. Their hash cannot be checked.
    ///
    /// # Errors
    /// [`HubError`]; [`HubError::Range`] for a range that does not lie within the file or is longer than 2 GiB.
    pub fn read_range(
        &self,
        repo: &Repo,
        commit: &Commit,
        file: &RemoteFile,
        range: Range<u64>,
    ) -> Result<Vec<u8>, HubError> {
        todo!("{repo} {commit} {file:?} {range:?}")
    }

    /// Notes in the cache that a branch is this commit, as the Python client does, so that other tools find it by name.
    ///
    /// # Errors
    /// [`HubError::Io`], or [`HubError::Answer`] for a branch whose name cannot be a file name.
    pub fn note_branch(&self, repo: &Repo, branch: &str, commit: &Commit) -> Result<(), HubError> {
        todo!("{repo} {branch} {commit}")
    }
}
