//! One file from the hub into the cache.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::digest::hash_of;
use super::http::{Answer, Http};
use super::layout::{self, Layout};
use super::partial::{Partial, leftovers};
use super::receive::{io_at, receive};
use super::records::{Record, Records, Stamp};
use super::retry::AttemptError;
use super::url::Url;
use super::{Commit, FileAt, FileHash, HubError, RemoteFile, Repo, RetryPolicy};

/// The interval at which a waiting process checks whether another one has finished.
const LOOK: Duration = Duration::from_millis(100);

/// One file to fetch.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) http: &'a Http,
    pub(super) layout: &'a Layout,
    pub(super) repo: &'a Repo,
    pub(super) commit: &'a Commit,
    pub(super) file: &'a RemoteFile,
}

impl Job<'_> {
    /// The file in its snapshot, fetched if the cache does not have it.
    pub(super) fn run(self, watch: &(dyn Fn(u64) + Sync)) -> Result<PathBuf, HubError> {
        if let Some(blob) = self.present()? {
            return self.linked(&blob);
        }
        let _turn = if self.http.settings().offline { None } else { self.turn()? };
        let blob = match self.present()? {
            Some(blob) => blob,
            None => self.download(watch)?,
        };
        self.linked(&blob)
    }

    pub(super) fn url(self) -> Result<Url, HubError> {
        let Self { repo, commit, file, .. } = self;
        Ok(self.http.connection()?.endpoint.url(&format!("/{repo}/resolve/{commit}/{}", file.name)))
    }

    fn blob(self) -> PathBuf {
        self.layout.blob(self.repo, &self.file.hash)
    }

    /// The path of the content if the cache has it and its hash is right. Content of another tool is hashed once, and
    /// the result is recorded.
    pub(super) fn present(self) -> Result<Option<PathBuf>, HubError> {
        let blob = self.blob();
        let metadata = match fs::metadata(&blob) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|source| at(&blob, source))?,
        };
        if metadata.len() != self.file.size {
            return Ok(None);
        }
        let (records, hash) = (Records(self.layout), &self.file.hash);
        let record = records.read(self.repo, hash);
        if record.as_ref().is_some_and(|record| record.holds_for(&metadata)) {
            return Ok(Some(blob));
        }
        if hash_of(&blob, hash).map_err(|source| at(&blob, source))? != *hash {
            return Ok(None);
        }
        let ours = record.is_some_and(|record| record.ours);
        let stamp = Stamp::of(&metadata).ok();
        // A cache that cannot be written to can still be read.
        let _ = records.write(&Record::new(self.repo, hash, ours, stamp));
        Ok(Some(blob))
    }

    /// Whether the cache holds the file, as far as can be told without hashing. What cannot be looked at counts as
    /// present, so that it is met again, by its name, where it is read.
    pub(super) fn seems_present(self) -> bool {
        match fs::metadata(self.blob()) {
            Ok(metadata) => metadata.is_file() && metadata.len() == self.file.size,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    fn linked(self, blob: &Path) -> Result<PathBuf, HubError> {
        let Self { file, layout, repo, commit, .. } = self;
        let snapshot = layout.snapshot(repo, commit, &file.name);
        layout::link(blob, &file.hash, &snapshot, &file.name).map_err(|source| at(&snapshot, source))?;
        let _ = Records(layout).touch(repo, &file.hash);
        Ok(snapshot)
    }

    /// Waits while another process fetches the same content, so that several do not fetch it at once. The lock is the
    /// one that the Python client takes. Correctness does not depend on it: where locks do not work, or their holder
    /// makes no progress, the file is fetched anyway and checked by its hash.
    fn turn(self) -> Result<Option<File>, HubError> {
        let path = self.layout.lock(self.repo, &self.file.hash);
        let dir = path.parent().unwrap_or(Path::new(""));
        let open = || File::options().read(true).append(true).create(true).open(&path);
        let Ok(lock) = fs::create_dir_all(dir).and_then(|()| open()) else { return Ok(None) };
        let longest = self.http.settings().retry.stall * 4;
        let (mut waited, mut seen) = (Duration::ZERO, 0);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) if waited > longest || self.seems_present() => return Ok(None),
                Err(TryLockError::WouldBlock) => self.http.sleep(LOOK)?,
            }
            let now = self.bytes_under_way();
            waited = if now == seen { waited + LOOK } else { Duration::ZERO };
            seen = now;
        }
    }

    /// Bytes of this content in all unfinished files.
    fn bytes_under_way(self) -> u64 {
        let all = leftovers(&self.layout.blobs(self.repo)).unwrap_or_default();
        all.iter().filter(|left| left.hash == self.file.hash).map(|left| left.size).sum()
    }

    fn download(self, watch: &(dyn Fn(u64) + Sync)) -> Result<PathBuf, HubError> {
        let url = self.url()?;
        if self.http.settings().offline {
            return Err(HubError::Offline { url: url.shown() });
        }
        let blobs = self.layout.blobs(self.repo);
        let mut partial = Partial::begin(self.layout, self.repo, self.file).map_err(|source| at(&blobs, source))?;
        if let Err(error) = self.complete(&url, &mut partial, watch) {
            // The bytes are kept if only the connection failed or could not be begun. After a wrong size or hash, or on
            // a full disk, they are not.
            if !error.is_temporary() && !matches!(error, HubError::Settings(_)) {
                partial.discard();
            }
            return Err(error);
        }
        let path = partial.path.clone();
        let note = |metadata: &fs::Metadata| {
            let record = Record::new(self.repo, &self.file.hash, true, Some(Stamp::of(metadata)?));
            // Written before the content gets its name: a kill in between leaves a record without content, never
            // content that no process may remove.
            Records(self.layout).write(&record)
        };
        partial.commit(note).map_err(|source| at(&path, source))
    }

    /// Sends requests until the file is complete and has the right hash. After a wrong hash it starts again once: a
    /// file that was taken over may have been damaged when its machine died, and a connection may flip a bit.
    fn complete(self, url: &Url, partial: &mut Partial, watch: &(dyn Fn(u64) + Sync)) -> Result<(), HubError> {
        let mut retry = self.http.retry(url);
        let mut second_chance = true;
        loop {
            self.http.before_attempt()?;
            let before = partial.written;
            if let Err(failure) = self.ask(url, partial, watch) {
                if partial.written >= before + RetryPolicy::PROGRESS {
                    retry.progress();
                }
                self.http.wait(retry.after(failure)?)?;
                continue;
            }
            match partial.hash() {
                hash if hash == self.file.hash => return Ok(()),
                found if !second_chance => return Err(self.wrong_hash(found)),
                _ => partial.restart().map_err(|source| at(&partial.path, source))?,
            }
            second_chance = false;
        }
    }

    /// One request for the missing bytes.
    fn ask(self, url: &Url, partial: &mut Partial, watch: &(dyn Fn(u64) + Sync)) -> Result<(), AttemptError> {
        let size = self.file.size;
        if partial.written == size && size > 0 {
            return Ok(());
        }
        let range = (partial.written > 0).then_some(partial.written..size);
        let mut answer = self.http.get(url, range)?;
        let length = self.place_in(&answer, partial)?;
        let missing = size - partial.written;
        receive(self.http, &mut answer, partial, missing, watch)?;
        if partial.written < size {
            return Err(AttemptError::Broken(format!("it ended after {} of {size} bytes", partial.written)));
        }
        // A body of unknown length may continue beyond the size. A failure here does not matter, because all bytes
        // have arrived.
        let beyond = length.is_none() && self.http.pour(&mut answer, 1, &mut |_| ()).is_ok_and(|more| more > 0);
        if beyond { Err(self.wrong_size(size + 1)) } else { Ok(()) }
    }

    /// Checks which part of the file an answer contains, and restarts the unfinished file unless it ends where that
    /// part begins. Returns the answer's length.
    fn place_in(self, answer: &Answer, partial: &mut Partial) -> Result<Option<u64>, AttemptError> {
        let size = self.file.size;
        let length = answer.length();
        if answer.status == 206 && partial.written > 0 {
            let (start, total) = answer.range().unwrap_or((u64::MAX, None));
            if let Some(total) = total.filter(|&total| total != size) {
                return Err(self.wrong_size(total));
            }
            if start == partial.written {
                return Ok(length);
            }
        }
        if partial.written > 0 {
            partial.restart().map_err(|error| io_at(partial, error))?;
        }
        match (answer.status, length) {
            (200, Some(length)) if length != size => Err(self.wrong_size(length)),
            (200, length) => Ok(length),
            (status, _) => {
                Err(AttemptError::Broken(format!("status {status} for another part of the file than was asked for")))
            }
        }
    }

    fn wrong_size(self, found: u64) -> AttemptError {
        HubError::Size { at: self.listed(), found }.into()
    }

    fn wrong_hash(self, found: FileHash) -> HubError {
        HubError::Hash { at: self.listed(), found }
    }

    fn listed(self) -> Box<FileAt> {
        Box::new(FileAt { repo: self.repo.clone(), commit: self.commit.clone(), file: self.file.clone() })
    }
}

pub(super) fn at(path: &Path, source: io::Error) -> HubError {
    HubError::Io { path: path.to_owned(), source }
}
