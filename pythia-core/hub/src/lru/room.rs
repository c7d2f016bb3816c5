//! The order of eviction when bytes do not fit.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use super::evict::{self, Evictable};
use super::notes::Note;
use super::scan::{self, Scan};
use super::{Entry, LruCache, LruError, Pruned, Usage};
use crate::layout;
use crate::partial::Leftover;

/// The longest wait for another process that is evicting.
const TURN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Something that may be evicted.
struct Candidate {
    what: What,
    used: SystemTime,
}

enum What {
    /// A commit, or a content without one, of the repository at this index of the scan.
    Entry(usize, Entry),
    /// An unfinished file.
    Leftover(Leftover),
}

impl Candidate {
    /// Its path, which identifies it in a later scan.
    fn key(&self) -> PathBuf {
        match &self.what {
            What::Leftover(left) => left.path.clone(),
            What::Entry(_, Entry { repo, commit, files, .. }) => {
                let first = files.first().map(|file| file.hash.as_str());
                let name = commit.as_ref().map(|commit| commit.as_str()).or(first);
                PathBuf::from(repo.folder()).join(name.unwrap_or_default())
            }
        }
    }
}

impl LruCache {
    /// Evicts until the reserved bytes fit. `own` is the note of the caller's `needed` bytes.
    pub(super) fn make_room(&self, own: &Note, needed: u64) -> Result<(), LruError> {
        let _turn = self.turn();
        let mut tried = BTreeSet::new();
        loop {
            let scan = self.scan(Some(own))?;
            let short = self.shortage(&scan)?;
            if short == 0 {
                return Ok(());
            }
            let candidates = self.candidates(&scan, Evictable::Ours)?;
            // A candidate that a process had begun to use is not tried again.
            let candidate = candidates.iter().find(|candidate| !tried.contains(&candidate.key()));
            match candidate.filter(|_| spare(&scan) >= short) {
                Some(candidate) => {
                    tried.insert(candidate.key());
                    self.remove(&scan, candidate, Evictable::Ours)?;
                }
                None => return Err(self.too_full(&scan, needed)?),
            }
        }
    }

    /// Evicts every candidate for which `wanted` holds.
    pub(super) fn sweep(&self, evictable: Evictable, wanted: &dyn Fn(&Entry) -> bool) -> Result<Pruned, LruError> {
        let (mut pruned, mut tried) = (Pruned::default(), BTreeSet::new());
        loop {
            // Files that a commit shared with an evicted one are now its own, so the cache is scanned again after
            // each eviction.
            let scan = self.scan(None)?;
            let candidates = self.candidates(&scan, evictable)?;
            let is_wanted = |candidate: &&Candidate| match &candidate.what {
                What::Entry(_, entry) => wanted(entry),
                What::Leftover(_) => true,
            };
            let mut left = candidates.iter().filter(is_wanted).filter(|candidate| !tried.contains(&candidate.key()));
            let Some(candidate) = left.next() else { return Ok(pruned) };
            let removed = self.remove(&scan, candidate, evictable)?;
            tried.insert(candidate.key());
            pruned = Pruned { files: pruned.files + removed.files, bytes: pruned.bytes + removed.bytes };
        }
    }

    /// What may be evicted, least recently used first.
    fn candidates(&self, scan: &Scan, evictable: Evictable) -> Result<Vec<Candidate>, LruError> {
        let mut candidates = Vec::new();
        for (at, contents) in scan.repos.iter().enumerate() {
            let branches = scan::branches(&self.layout, &contents.repo).map_err(|source| self.io(source))?;
            for entry in contents.entries(scan, &branches) {
                let may = entry.files.iter().any(|file| file.ours) || evictable == Evictable::All;
                if may && !entry.held {
                    let used = entry.last_used.unwrap_or(SystemTime::UNIX_EPOCH);
                    candidates.push(Candidate { what: What::Entry(at, entry), used });
                }
            }
            let idle = contents.leftovers.iter().filter(|left| left.is_idle());
            candidates.extend(idle.map(|left| Candidate { used: left.modified, what: What::Leftover(left.clone()) }));
        }
        candidates.sort_by_key(|candidate| candidate.used);
        Ok(candidates)
    }

    fn remove(&self, scan: &Scan, candidate: &Candidate, evictable: Evictable) -> Result<Pruned, LruError> {
        let removed = match &candidate.what {
            What::Entry(at, entry) => evict::evict(&self.layout, scan, &scan.repos[*at], entry, evictable),
            What::Leftover(left) => layout::remove(&left.path).map(|_| Pruned { files: 1, bytes: left.size }),
        };
        removed.map_err(|source| self.io(source))
    }

    /// Bytes that must be freed for the reserved bytes to fit.
    fn shortage(&self, scan: &Scan) -> Result<u64, LruError> {
        let reserved = scan.reserved.0.saturating_add(scan.reserved.1);
        // Unfinished files already take up a part of the reserved bytes.
        let (live, idle) = (scan.unfinished(false), scan.unfinished(true));
        let total = (scan.bytes(|_, _, blob| blob.ours) + idle).saturating_add(reserved.max(live));
        let over = self.budget.max.map_or(0, |max| total.saturating_sub(max));
        let free = (self.free)(self.layout.root()).map_err(|source| self.io(source))?;
        let needed = self.budget.min_free.saturating_add(reserved.saturating_sub(live));
        Ok(over.max(needed.saturating_sub(free)))
    }

    /// The error where the bytes do not fit.
    fn too_full(&self, scan: &Scan, needed: u64) -> Result<LruError, LruError> {
        let Usage { held, foreign, free, .. } = self.usage_of(scan)?;
        let (reserved, min_free) = (scan.reserved.0, self.budget.min_free);
        let live = scan.unfinished(false);
        let kept = (scan.bytes(|_, _, blob| blob.ours) + scan.unfinished(true)).saturating_sub(spare(scan));
        let total = kept.saturating_add((reserved + needed).max(live));
        Ok(match self.budget.max.filter(|&max| total > max) {
            Some(max) => LruError::Budget { needed, max, held, reserved },
            None => LruError::Disk { needed, free, min_free, reserved, held, foreign },
        })
    }

    /// Waits while another process evicts, so that two do not both evict what would have been enough for one.
    /// Correctness does not depend on it, because notes are written before the check.
    fn turn(&self) -> Option<File> {
        let path = self.layout.reservations().with_extension("lock");
        fs::create_dir_all(path.parent()?).ok()?;
        let lock = File::options().append(true).create(true).open(path).ok()?;
        for _ in 0..TURN.as_millis() / LOOK.as_millis() {
            match lock.try_lock() {
                Ok(()) => return Some(lock),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(fs::TryLockError::Error(_)) => return None,
            }
        }
        None
    }
}

/// Bytes that could be evicted: contents that this store fetched, that no process uses and no commit in use links to,
/// and idle unfinished files.
fn spare(scan: &Scan) -> u64 {
    let held = |contents: &scan::RepoContents, hash: &_| {
        let held = contents.snapshots.iter().filter(|(commit, _)| scan.is_held(&contents.repo, commit));
        scan.is_used(&contents.repo, hash) || held.flat_map(|(_, links)| links).any(|link| link.hash == *hash)
    };
    scan.bytes(|contents, hash, blob| blob.ours && !held(contents, hash)) + scan.unfinished(true)
}
