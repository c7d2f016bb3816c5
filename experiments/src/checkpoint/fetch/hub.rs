//! Checkpoints from the hub, through a cache with a budget.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use pythia_core::store::CheckpointFiles;
use pythia_core::suite::Step;
use pythia_core::weights::WeightFiles;
use pythia_hub::{Hub, HubError, LruCache, LruError, Reservation};

use super::guard::GuardCount;
use super::ticker::Ticker;
use super::{FetchError, Fetched};
use crate::checkpoint::load::Job;
use crate::resolved::pins::{Pins, branch};

/// Most checkpoints that wait on disk: a longer queue costs disk and saves no time.
const MOST_AHEAD: u64 = 2;

/// Fetches what the models' pins name.
pub(crate) struct HubFetcher<'a> {
    pub(crate) hub: &'a Hub,
    /// What the cache holds and may hold.
    pub(crate) cache: &'a LruCache,
    /// Bytes of the largest checkpoint of the sweep.
    pub(crate) largest: u64,
    /// Checkpoints in a row for which the hub did not answer.
    failures: AtomicUsize,
    /// Checkpoints that this sweep keeps from being evicted.
    guards: GuardCount,
}

/// After so many checkpoints in a row without an answer the hub is not asked any more: a sweep over a hundred
/// checkpoints ends, to be resumed later, rather than wait for each.
const MOST_FAILURES: usize = 2;

impl HubFetcher<'_> {
    /// Fetches the files of a pinned step that are missing. Room is made before the first byte, so that the disk does
    /// not fill up half-way.
    pub(crate) fn fetch_pinned(&self, pins: &Pins, step: Option<Step>) -> Result<Vec<PathBuf>, FetchError> {
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

    /// A fetcher without failures so far.
    pub(crate) fn new<'a>(hub: &'a Hub, cache: &'a LruCache, largest: u64) -> HubFetcher<'a> {
        HubFetcher { hub, cache, largest, failures: AtomicUsize::new(0), guards: GuardCount::default() }
    }

    /// Makes room. If the budget is full of checkpoints that this sweep still needs, it waits until one is released.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation, LruError> {
        loop {
            match self.cache.reserve(bytes) {
                Err(LruError::Budget { .. } | LruError::Disk { .. }) if self.guards.wait() => {}
                result => return result,
            }
        }
    }

    /// Refuses to ask a hub that did not answer.
    pub(super) fn refuse_unreachable(&self) -> Result<(), FetchError> {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures >= MOST_FAILURES { Err(FetchError::Unreachable) } else { Ok(()) }
    }

    fn count(&self, error: Option<&HubError>) {
        match error {
            Some(error) if error.is_temporary() => drop(self.failures.fetch_add(1, Ordering::Relaxed)),
            _ => self.failures.store(0, Ordering::Relaxed),
        }
    }

    /// Single tensors, where they are enough and the server gives them. They are not verified: no hash is published.
    fn fetch_some(&self, pins: &Pins, job: &Job<'_>) -> Result<Option<Fetched>, FetchError> {
        let parts = self.fetch_parts(pins, job);
        match &parts {
            Err(FetchError::Hub(error)) => self.count(Some(error)),
            Ok(Some(_)) => self.count(None),
            _ => {}
        }
        let Some((paths, parts)) = parts? else { return Ok(None) };
        let guard = self.guards.keep(self.cache.hold(&paths)?);
        let weights = WeightFiles::Safetensors(parts.files.iter().map(|part| part.to_path_buf()).collect());
        let files = checkpoint(&paths).map(|files| CheckpointFiles { weights, ..files });
        Ok(Some(Fetched { verified: false, files, _parts: Some(parts), _guard: Some(guard) }))
    }

    /// How many fetched checkpoints may wait to be loaded: as many as fit the budget beside the one that computes, the
    /// one that is loaded and the one that is fetched.
    pub(crate) fn ahead(&self) -> usize {
        let room = self.cache.budget().max.map_or(u64::MAX, |max| max / self.largest.max(1));
        usize::try_from(room.saturating_sub(3).min(MOST_AHEAD)).unwrap_or_default()
    }

    /// Whether this checkpoint can be fetched.
    pub(crate) fn can_fetch(&self, job: &Job<'_>) -> bool {
        pins(job).is_some()
    }

    /// Fetches the files of a checkpoint that are missing.
    pub(crate) fn fetch(&self, job: &Job<'_>) -> Result<Fetched, FetchError> {
        let Some(pins) = pins(job) else { return Ok(Fetched::default()) };
        if let Some(fetched) = self.fetch_some(pins, job)? {
            return Ok(fetched);
        }
        let paths = self.fetch_pinned(pins, job.step)?;
        let guard = self.guards.keep(self.cache.hold(&paths)?);
        Ok(Fetched { verified: true, files: checkpoint(&paths), _parts: None, _guard: Some(guard) })
    }
}

/// The pins of the model, if they name the step.
fn pins<'a>(job: &Job<'a>) -> Option<&'a Pins> {
    job.model.pins.as_ref().filter(|pins| pins.pin(job.step).is_some())
}

/// The checkpoint in exactly these files: the cache may hold other forms of it.
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
