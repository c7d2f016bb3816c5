//! The content of the cache, its budget, and eviction.
//!
//! The suite is larger than most disks, so the cache has a budget. Bytes are reserved before they are fetched. To
//! make room, checkpoints that this store fetched and that no process uses are evicted, least recently used first.
//! Files of other tools are removed only on explicit request.

mod error;
mod evict;
mod notes;
mod room;
mod scan;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::LruError;
use evict::Evictable;
use notes::{Note, Used};
use scan::Scan;

use super::digest::hash_of;
use super::layout::{self, Layout};
use super::records::{Record, Records, Stamp};
use super::{Commit, FileHash, RemoteName, Repo};

/// The limits of a cache on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The most bytes of files that this store fetched. Files of other tools do not count.
    pub max: Option<u64>,
    /// Bytes that must stay free on the disk.
    pub min_free: u64,
}

/// A cache with a budget. Several threads and processes may open the same cache.
///
/// ```
/// use pythia_hub::{Budget, LruCache, LruError};
///
/// let folder = tempfile::tempdir()?;
/// let cache = LruCache::open(folder.path(), Budget { max: Some(1 << 30), min_free: 0 });
/// let room = cache.reserve(1 << 20)?;
/// assert_eq!(cache.usage()?.reserved, 1 << 20);
/// drop(room);
/// assert_eq!(cache.usage()?.reserved, 0);
/// assert!(cache.entries()?.is_empty());
/// assert!(matches!(cache.reserve(2 << 30), Err(LruError::Budget { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LruCache {
    layout: Layout,
    budget: Budget,
    /// Bytes free on the disk of a folder.
    free: fn(&Path) -> io::Result<u64>,
}

/// One commit in the cache, or the content that no commit links to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Repository of the model.
    pub repo: Repo,
    /// The commit; `None` for content that no snapshot links to.
    pub commit: Option<Commit>,
    /// Branches that point to this commit in the cache.
    pub branches: Vec<String>,
    /// Its files.
    pub files: Vec<Cached>,
    /// When this store used it last; `None` where it never did.
    pub last_used: Option<SystemTime>,
    /// Whether a process uses it now.
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
    /// Whether its hash was checked after it was last written.
    pub verified: bool,
}

impl Entry {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The totals of a cache. A file that several commits share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that this store fetched, unfinished files included.
    pub ours: u64,
    /// Bytes that other tools fetched.
    pub foreign: u64,
    /// Bytes that this store fetched and that a process uses now; part of [`ours`](Self::ours).
    pub held: u64,
    /// Bytes that are reserved for files under way, by all processes.
    pub reserved: u64,
    /// Bytes free on the disk.
    pub free: u64,
}

/// Bytes set aside for a fetch, until dropped. Other processes see them.
#[derive(Debug)]
pub struct Reservation {
    note: Note,
    bytes: u64,
}

/// Files in use, until dropped: they are not evicted. Other processes see them.
#[derive(Debug)]
pub struct FilesInUse {
    _note: Option<Note>,
}

/// What [`LruCache::prune`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Number of files that were removed.
    pub files: usize,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
}

impl LruCache {
    /// The cache rooted at `cache`, which need not exist yet, with a budget.
    pub fn open(cache: &Path, budget: Budget) -> Self {
        Self::on_disk(cache, budget, free_on_disk)
    }

    fn on_disk(cache: &Path, budget: Budget, free: fn(&Path) -> io::Result<u64>) -> Self {
        Self { layout: Layout::new(cache), budget, free }
    }

    /// How many bytes the cache may take, and how many must stay free.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Reserves bytes for a fetch. If they do not fit, checkpoints that this store fetched and no process uses are
    /// evicted, least recently used first, until they do. If evicting all of them would not be enough, nothing is
    /// evicted.
    ///
    /// # Errors
    /// [`LruError::Budget`], [`LruError::Disk`], [`LruError::Io`].
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, LruError> {
        // The note is written before the check, so that of two processes that reserve at once at least one sees the
        // other.
        let note = Note::leave(&self.layout.reservations(), bytes.to_string().as_bytes()).map_err(|e| self.io(e))?;
        self.make_room(&note, bytes)?;
        Ok(Reservation { note, bytes })
    }

    /// Marks files of snapshots as in use. Paths outside the cache are ignored.
    ///
    /// # Errors
    /// [`LruError::Vanished`] when one of them is gone (fetch it again), [`LruError::Io`].
    pub fn hold(&self, paths: &[PathBuf]) -> Result<FilesInUse, LruError> {
        let root = fs::canonicalize(self.layout.root()).map_err(|source| self.io(source))?;
        let used: Vec<Used> = paths.iter().filter_map(|path| used_at(&root, path)).collect();
        for Used { repo, hash, .. } in &used {
            Records(&self.layout).touch(repo, hash).map_err(|source| self.io(source))?;
        }
        let text = serde_json::to_vec(&used).map_err(|error| self.io(error.into()))?;
        let leave = || Note::leave(&self.layout.holds(), &text).map_err(|source| self.io(source));
        let note = if used.is_empty() { None } else { Some(leave()?) };
        for path in paths {
            if !path.try_exists().map_err(|source| self.io(source))? {
                return Err(LruError::Vanished { path: path.clone() });
            }
        }
        Ok(FilesInUse { _note: note })
    }

    /// What the cache holds, by repository and commit.
    ///
    /// # Errors
    /// [`LruError::Io`].
    pub fn entries(&self) -> Result<Vec<Entry>, LruError> {
        let scan = self.scan(None)?;
        let mut entries = Vec::new();
        for contents in &scan.repos {
            let branches = scan::branches(&self.layout, &contents.repo).map_err(|source| self.io(source))?;
            entries.extend(contents.entries(&scan, &branches));
        }
        Ok(entries)
    }

    /// How much the cache holds.
    ///
    /// # Errors
    /// [`LruError::Io`].
    pub fn usage(&self) -> Result<Usage, LruError> {
        let scan = self.scan(None)?;
        self.usage_of(&scan)
    }

    fn usage_of(&self, scan: &Scan) -> Result<Usage, LruError> {
        let ours = scan.bytes(|_, _, blob| blob.ours) + scan.unfinished(true) + scan.unfinished(false);
        let foreign = scan.bytes(|_, _, blob| !blob.ours);
        let held = scan.bytes(|contents, hash, blob| blob.ours && scan.is_used(&contents.repo, hash));
        let free = (self.free)(self.layout.root()).map_err(|source| self.io(source))?;
        Ok(Usage { ours, foreign, held, reserved: scan.reserved.0 + scan.reserved.1, free })
    }

    /// Hashes every file of an entry and notes the outcome; gives those whose content is not what their name says.
    ///
    /// # Errors
    /// [`LruError::Io`].
    pub fn verify(&self, entry: &Entry) -> Result<Vec<Cached>, LruError> {
        let mut bad = Vec::new();
        for cached in &entry.files {
            if !self.is_right(&entry.repo, cached)? {
                bad.push(cached.clone());
            }
        }
        Ok(bad)
    }

    fn is_right(&self, repo: &Repo, cached: &Cached) -> Result<bool, LruError> {
        let path = self.layout.blob(repo, &cached.hash);
        let io = |source| LruError::Io { path: path.clone(), source };
        let metadata = fs::metadata(&path).map_err(io)?;
        let right = hash_of(&path, &cached.hash).map_err(io)? == cached.hash;
        let stamp = if right { Some(Stamp::of(&metadata).map_err(io)?) } else { None };
        let record = Record::new(repo, &cached.hash, cached.ours, stamp);
        Records(&self.layout).write_keeping_use(&record).map_err(io)?;
        Ok(right)
    }

    /// Removes every entry for which `wanted` holds and that nobody uses, least recently used first, and what was left
    /// unfinished by processes that are gone. What other tools fetched stays unless `foreign` is set.
    ///
    /// # Errors
    /// [`LruError::Io`].
    pub fn prune(&self, foreign: bool, wanted: &dyn Fn(&Entry) -> bool) -> Result<Pruned, LruError> {
        self.sweep(if foreign { Evictable::All } else { Evictable::Ours }, wanted)
    }

    fn scan(&self, own: Option<&Note>) -> Result<Scan, LruError> {
        Scan::of(&self.layout, own).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> LruError {
        LruError::Io { path: self.layout.root().to_owned(), source }
    }
}

impl Reservation {
    /// Bytes that are still reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back part of it, as a file under way is finished.
    pub fn shrink(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        // A note that says too much keeps others waiting and does no other harm.
        let _ = self.note.rewrite(self.bytes.to_string().as_bytes());
    }
}

/// The file of a snapshot in the form of a note; `None` for paths that are not in a snapshot of the cache.
fn used_at(root: &Path, path: &Path) -> Option<Used> {
    let hash = scan::name_of(&fs::read_link(path).ok()?)?;
    let dir = fs::canonicalize(path.parent()?).ok()?;
    let mut parts = dir.strip_prefix(root).ok()?.iter().map(|part| part.to_str());
    let repo = layout::repo_of(parts.next()??)?;
    let is_snapshot = parts.next()?? == "snapshots";
    let commit = parts.next()??.parse().ok().filter(|_| is_snapshot)?;
    Some(Used { repo, commit, hash })
}

fn free_on_disk(dir: &Path) -> io::Result<u64> {
    // A cache that does not exist yet will be on the disk of the folder above it.
    let mut there = Path::new(".");
    for above in dir.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        if pythia_files::found(above)?.is_some_and(|found| found.is_dir()) {
            there = above;
            break;
        }
    }
    let disk = rustix::fs::statvfs(there)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
