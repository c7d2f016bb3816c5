//! Checkpoints from the hub, through a cache with a budget.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use pythia_core::store::CheckpointFiles;
use pythia_core::suite::Step;
use pythia_core::weights::WeightFiles;
use pythia_hub::{Hub, HubError, LruCache, LruError, Reservation};

use super::kept::Keeper;
use super::ticker::Ticker;
use super::{Brought, Supply, SupplyError};
use crate::checkpoint::load::Job;
use crate::resolved::pins::{Pins, branch};

/// Checkpoints that are on disk before they are read, at most; beyond a few the queue only costs disk.
const MOST_AHEAD: u64 = 2;

/// Brings what the models' pins name.
pub struct FromHub<'a> {
    /// The hub's client.
    pub hub: &'a Hub,
    /// What the cache holds and may hold.
    pub ring: &'a LruCache,
    /// Bytes of the largest checkpoint of the sweep.
    pub largest: u64,
    /// Checkpoints in a row for which the hub did not answer.
    failures: AtomicUsize,
    /// Checkpoints that this sweep keeps from being evicted.
    keeper: Keeper,
}

/// So many checkpoints in a row without an answer, each asked for several times, and the hub is not asked any more: a sweep over a
/// hundred checkpoints should end, and be resumed, rather than wait for each.
const MOST_FAILURES: usize = 2;

impl FromHub<'_> {
    /// Fetches what a run on a pinned step needs, as far as it is not here. Room is made before the first byte, so that the disk cannot
    /// fill up half-way.
    pub fn fetch(&self, pins: &Pins, step: Option<Step>) -> Result<Vec<PathBuf>, SupplyError> {
        let (Some(files), Some(pin)) = (pins.needed(step), pins.pin(step)) else { return Ok(Vec::new()) };
        let (files, repo, commit) = (files?, &pins.repo, &pin.commit);
        let absent: u64 = files.iter().filter(|file| !self.hub.has(repo, commit, file)).map(|file| file.size).sum();
        if absent > 0 {
            self.refuse_unreachable()?;
        }
        let reserved = if absent > 0 { Some(self.reserve(absent)?) } else { None };
        let ticker = Ticker::new(format!("{} {}", repo.short(), branch(step)), absent);
        let fetch = |file| self.hub.fetch(repo, commit, file, &|bytes| ticker.add(bytes));
        let paths = files.into_iter().map(fetch).collect::<Result<Vec<PathBuf>, HubError>>();
        self.count(paths.as_ref().err());
        let paths = paths?;
        self.hub.note_branch(repo, &branch(step), commit)?;
        drop(reserved);
        Ok(paths)
    }

    /// A supply that has not failed yet.
    pub fn new<'a>(hub: &'a Hub, ring: &'a LruCache, largest: u64) -> FromHub<'a> {
        FromHub { hub, ring, largest, failures: AtomicUsize::new(0), keeper: Keeper::default() }
    }

    /// Makes room. Where the budget is full of checkpoints that this sweep itself still needs, it waits for one of them to be done with.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation, LruError> {
        loop {
            match self.ring.reserve(bytes) {
                Err(LruError::Budget { .. } | LruError::Disk { .. }) if self.keeper.wait() => {}
                result => return result,
            }
        }
    }

    /// Refuses to ask a hub that did not answer.
    pub(super) fn refuse_unreachable(&self) -> Result<(), SupplyError> {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures >= MOST_FAILURES { Err(SupplyError::Unreachable) } else { Ok(()) }
    }

    fn count(&self, error: Option<&HubError>) {
        match error {
            Some(error) if error.is_temporary() => drop(self.failures.fetch_add(1, Ordering::Relaxed)),
            _ => self.failures.store(0, Ordering::Relaxed),
        }
    }

    /// Single tensors, where they are enough and can be had; their hashes are published nowhere.
    fn bring_some(&self, pins: &Pins, job: &Job<'_>) -> Result<Option<Brought>, SupplyError> {
        let parts = self.bring_parts(pins, job);
        match &parts {
            Err(SupplyError::Hub(error)) => self.count(Some(error)),
            Ok(Some(_)) => self.count(None),
            _ => {}
        }
        let Some((paths, parts)) = parts? else { return Ok(None) };
        let hold = self.keeper.keep(self.ring.hold(&paths)?);
        let weights = WeightFiles::Safetensors(parts.files.iter().map(|part| part.0.clone()).collect());
        let files = checkpoint(&paths).map(|files| CheckpointFiles { weights, ..files });
        Ok(Some(Brought { verified: false, files, parts: Some(parts), hold: Some(hold) }))
    }
}

impl Supply for FromHub<'_> {
    /// As many as the budget has room for beside the one that computes, the one that is loaded and the one under way.
    fn ahead(&self) -> usize {
        let room = self.ring.budget().max.map_or(u64::MAX, |max| max / self.largest.max(1));
        usize::try_from(room.saturating_sub(3).min(MOST_AHEAD)).unwrap_or_default()
    }

    fn can_bring(&self, job: &Job<'_>) -> bool {
        job.model.pins.as_ref().is_some_and(|pins| pins.pin(job.step).is_some())
    }

    fn bring(&self, job: &Job<'_>) -> Result<Brought, SupplyError> {
        let Some(pins) = job.model.pins.as_ref().filter(|pins| pins.pin(job.step).is_some()) else {
            return Ok(Brought::default());
        };
        if let Some(brought) = self.bring_some(pins, job)? {
            return Ok(brought);
        }
        let paths = self.fetch(pins, job.step)?;
        let hold = self.keeper.keep(self.ring.hold(&paths)?);
        Ok(Brought { verified: true, files: checkpoint(&paths), parts: None, hold: Some(hold) })
    }
}

/// The checkpoint that these files make: a cache may hold other forms of it beside them.
fn checkpoint(paths: &[PathBuf]) -> Option<CheckpointFiles> {
    let named = |name: &str| paths.iter().find(|path| path.file_name().is_some_and(|found| found == name)).cloned();
    let ending = |end: &str| -> Vec<PathBuf> {
        let ends = |path: &&PathBuf| path.extension().is_some_and(|found| found == Path::new(end).as_os_str());
        paths.iter().filter(ends).cloned().collect()
    };
    let weights = match (ending("safetensors"), ending("bin")) {
        (safe, _) if !safe.is_empty() => WeightFiles::Safetensors(safe),
        (_, bin) => WeightFiles::Pytorch(bin),
    };
    Some(CheckpointFiles { config: named("config.json")?, weights, tokenizer: named("tokenizer.json") })
}
