//! The hub's client, the cache with its budget and the lock file of an experiment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pythia_core::store::{Checkpoints, HubCacheStore, ModelRef};
use pythia_core::suite::{ModelId, Step};
use pythia_hub::{Budget, FilesInUse, Hub, HubError, Lock, LockError, LruCache, LruError, Pin, RemoteFile, Repo};

use pythia_probes::Bytes;

use crate::checkpoint::fetch::{FetchError, HubFetcher};
use crate::config::Experiment;
use crate::resolved::pins::{self, Pins, branch};
use crate::terminal::env;
use crate::terminal::{Exit, Explained};

/// Extension of the lock file beside an experiment: `exp.toml` has `exp.lock.json`.
const LOCK: &str = "lock.json";
/// Bytes of disk that stay free by default.
const MIN_FREE: Bytes = Bytes::mib(1024);
/// Commits between two lines of progress.
const A_LINE_EVERY: usize = 50;

/// The hub, the cache and the pins of an experiment.
pub(crate) struct HubAccess {
    pub(crate) client: Hub,
    pub(crate) cache: LruCache,
    /// The pins, empty where there is no lock file yet.
    pub(crate) lock: Lock,
    /// The path of the lock file.
    pub(crate) file: PathBuf,
}

/// Which branches a command pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PinScope {
    /// Unpinned ones of a model whose checkpoints are not all in the cache.
    Needed,
    /// Those that are not pinned.
    Unpinned,
    /// All of them, pinned or not.
    All,
}

/// The hub, the cache or the lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubAccessError {
    #[error(transparent)]
    Cache(#[from] LruError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("{0}")]
    Resolve(LockError),
    #[error("{}: {source}", path.display())]
    Lock { path: PathBuf, source: LockError },
    #[error("nothing can be pinned offline")]
    Offline,
    #[error("the lock file does not name {model}")]
    NotPinned { model: ModelId },
    #[error("cannot read {}: {source}", path.display())]
    ReadLock { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    WriteLock { path: PathBuf, source: std::io::Error },
}

impl Explained for HubAccessError {
    fn exit(&self) -> Exit {
        match self {
            Self::Hub(error) | Self::Resolve(LockError::Hub(error)) if error.is_temporary() => Exit::Temporary,
            Self::WriteLock { .. } | Self::Cache(_) => Exit::Resources,
            // A variable of the environment that cannot be used.
            Self::Hub(HubError::Settings(_)) | Self::Resolve(LockError::Hub(HubError::Settings(_))) => Exit::Usage,
            Self::Hub(_)
            | Self::Resolve(_)
            | Self::ReadLock { .. }
            | Self::Lock { .. }
            | Self::Offline
            | Self::NotPinned { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Cache(error) => error.remedy(),
            Self::Hub(error) | Self::Resolve(LockError::Hub(error)) => error.remedy(),
            Self::Resolve(_) => "choose other steps; `pythia list steps MODEL` shows what was published".into(),
            Self::Lock { .. } => "remove the file; `pythia lock FILE` makes it anew".into(),
            Self::Offline => "leave --offline out and unset HF_HUB_OFFLINE".into(),
            Self::NotPinned { .. } => "leave --lock out, or make the file with `pythia lock FILE`".into(),
            Self::ReadLock { .. } => "check the path; `pythia lock FILE` makes the lock file of an experiment".into(),
            Self::WriteLock { .. } => "choose another place with --lock FILE".into(),
        })
    }
}

/// A model of the suite with the branches that an experiment reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PinRequest {
    pub(crate) id: ModelId,
    /// Its chosen steps, and those that probes read besides.
    pub(crate) steps: BTreeSet<Step>,
}

impl PinRequest {
    /// What an experiment reads of the hub. A wrong choice of steps gives an empty request; it is reported elsewhere.
    pub(crate) fn all(experiment: &Experiment) -> Vec<Self> {
        let ids = experiment.models.iter().filter_map(|model| match model.get_ref() {
            ModelRef::Suite(id) => Some(*id),
            ModelRef::Folder(_) => None,
        });
        ids.map(|id| Self::of(experiment, id)).collect()
    }

    fn of(experiment: &Experiment, id: ModelId) -> Self {
        let grid: Vec<u32> = id.info().grid().iter().map(|step| step.label()).collect();
        let steps = &experiment.steps;
        let chosen = steps.get_ref().select(&grid, id.name(), &steps.span()).unwrap_or_default();
        let sources = experiment.probes.iter().flat_map(|probe| probe.spec.source_checkpoints());
        let labels = chosen.into_iter().chain(sources).filter(|label| grid.contains(label));
        Self { id, steps: labels.map(Step::from_label).collect() }
    }

    pub(crate) fn repo(&self) -> Repo {
        self.id.hub_name().parse().unwrap_or_else(|_| unreachable!("the suite's names are names of repositories"))
    }

    /// The branches of the steps, and the main one, which has the tokenizer if a step's branch lacks it.
    pub(crate) fn branches(&self) -> Vec<String> {
        let main = self.id.info().has_main.then(|| branch(None));
        main.into_iter().chain(self.steps.iter().map(|step| branch(Some(*step)))).collect()
    }

    /// Whether every branch of a step is pinned.
    fn is_pinned(&self, lock: &Lock) -> bool {
        let repo = self.repo();
        self.steps.iter().all(|step| lock.pin(&repo, &branch(Some(*step))).is_some())
    }

    /// Whether the cache has every step already, by the names of its branches.
    fn is_cached(&self, cache: &Path) -> bool {
        let store = HubCacheStore::open(self.id, cache);
        store.is_ok_and(|store| self.steps.iter().all(|step| store.locate(Some(*step)).is_ok()))
    }
}

impl HubAccess {
    /// Opens what an experiment in `file` needs; no connection is made.
    pub(crate) fn open(experiment: &Experiment, file: &Path, offline: bool) -> Result<Self, HubAccessError> {
        let cache = experiment.machine.cache.as_ref().map(|cache| cache.get_ref().as_path());
        let client = Self::open_client(cache, offline);
        let store = &experiment.store;
        let min_free = store.min_free.unwrap_or(MIN_FREE).get();
        let cache = LruCache::open(client.cache(), Budget { max: store.cache_max.map(Bytes::get), min_free });
        let named = experiment.store.lock.as_ref().map(|lock| lock.get_ref().clone());
        let path = named.unwrap_or_else(|| file.with_extension(LOCK));
        let lock = match Self::lock_in(&path) {
            Err(HubAccessError::ReadLock { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Lock::default()
            }
            lock => lock?,
        };
        Ok(Self { client, cache, lock, file: path })
    }

    /// The pins of a request alone, which no file keeps. The hub is asked.
    pub(crate) fn without_experiment(
        client: Hub,
        request: &PinRequest,
        watch: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, HubAccessError> {
        let cache = LruCache::open(client.cache(), Budget { max: None, min_free: MIN_FREE.get() });
        let pins = Self::resolve(&client, &request.repo(), request.branches(), watch)?;
        let lock = Lock { repos: [(request.repo(), pins)].into() };
        Ok(Self { client, cache, lock, file: PathBuf::new() })
    }

    /// Pins branches that an experiment reads, and returns whether the lock has changed. Existing pins change with
    /// [`PinScope::All`] only. Offline nothing is pinned.
    pub(crate) fn pin(
        &mut self,
        requests: &[PinRequest],
        which: PinScope,
        watch: &(dyn Fn(&str) + Sync),
    ) -> Result<bool, HubAccessError> {
        if self.client.settings().offline {
            return Ok(false);
        }
        let before = self.lock.clone();
        for request in requests {
            let cached = which == PinScope::Needed && request.is_cached(self.client.cache());
            if cached && !request.is_pinned(&self.lock) {
                let id = request.id;
                watch(&format!(
                    "{id}: the cache has every step, so the hub is not asked; `pythia lock` pins and verifies them"
                ));
            }
            let mut branches = request.branches();
            let repo = request.repo();
            branches.retain(|branch| which == PinScope::All || self.lock.pin(&repo, branch).is_none());
            if !cached && !branches.is_empty() && (which != PinScope::Needed || !request.is_pinned(&self.lock)) {
                let pins = Self::resolve(&self.client, &repo, branches, watch)?;
                self.lock.repos.entry(repo).or_default().extend(pins);
            }
        }
        let changed = self.lock != before;
        if changed {
            self.write()?;
        }
        Ok(changed)
    }

    /// Asks the hub for the commits of branches. A branch that it lacks is pinned to git's null commit, without files.
    pub(crate) fn resolve(
        hub: &Hub,
        repo: &Repo,
        mut branches: Vec<String>,
        watch: &(dyn Fn(&str) + Sync),
    ) -> Result<BTreeMap<String, Pin>, HubAccessError> {
        let say = |done: usize, all: usize| {
            if done.is_multiple_of(A_LINE_EVERY) || done == all {
                watch(&format!("asking the hub for {repo}: {done} of {all} commits are known"));
            }
        };
        let known = hub.branches(repo)?;
        let absent: Vec<String> = branches.extract_if(.., |branch| !known.contains_key(branch)).collect();
        let mut pins = Lock::resolve(hub, repo, &branches, &say).map_err(HubAccessError::Resolve)?;
        // The main branch is asked for its tokenizer alone, which the steps may have themselves.
        let steps = absent.into_iter().filter(|name| *name != branch(None));
        pins.extend(steps.map(|name| (name, Pin { commit: pins::absent(), files: Vec::new() })));
        Ok(pins)
    }

    /// Fetches what a run on a pinned step needs, and keeps it from being evicted.
    pub(crate) fn fetch(&self, pins: &Pins, step: Option<Step>) -> Result<FilesInUse, FetchError> {
        let from = HubFetcher::new(&self.client, &self.cache, 0);
        Ok(from.cache.hold(&from.fetch_pinned(pins, step)?)?)
    }

    /// A client of the hub, with the settings of the environment.
    pub(crate) fn open_client(cache: Option<&Path>, offline: bool) -> Hub {
        let mut settings = env::hub_settings();
        settings.offline |= offline;
        if let Some(cache) = cache {
            settings.cache = cache.to_owned();
        }
        Hub::new(settings)
    }

    /// The lock in a file, which must be there.
    pub(crate) fn lock_in(path: &Path) -> Result<Lock, HubAccessError> {
        let text = fs::read(path).map_err(|source| HubAccessError::ReadLock { path: path.into(), source })?;
        Lock::from_json(&text).map_err(|source| HubAccessError::Lock { path: path.into(), source })
    }

    /// Fetches the small files that describe a model: the configuration of its first step, and its tokenizer.
    pub(crate) fn describe(&self, request: &PinRequest) -> Result<(), HubAccessError> {
        let Some(pins) = Pins::of(&self.lock, request.id) else { return Ok(()) };
        let steps = request.steps.iter().map(|step| Some(*step)).chain([None]);
        let mut wanted = BTreeSet::from(["config.json", "tokenizer.json"]);
        for pin in steps.filter_map(|step| pins.pin(step)) {
            let files: Vec<&RemoteFile> = wanted.iter().filter_map(|name| pin.file(name)).collect();
            for file in files {
                self.client.fetch(&pins.repo, &pin.commit, file, &|_| ())?;
                wanted.remove(file.name.as_str());
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<(), HubAccessError> {
        // Synced before it has its name: a lock file that a loss of power leaves empty would pin nothing.
        pythia_files::write_atomic(&self.file, |file| file.write_all(self.lock.to_json().as_bytes()))
            .map_err(|source| HubAccessError::WriteLock { path: self.file.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn lock_files_that_cannot_be_read_or_understood_are_bad_input() {
        let scratch = Scratch::new("lock-in");
        let path = scratch.0.join("exp.lock.json");
        let absent = HubAccess::lock_in(&path).expect_err("there is none");
        fs::write(&path, "{").expect("write");
        let damaged = HubAccess::lock_in(&path).expect_err("no JSON");
        for (error, word) in [(absent, "check the path"), (damaged, "remove the file")] {
            assert_eq!(error.exit(), Exit::BadInput, "{error}");
            assert!(error.remedy().is_some_and(|remedy| remedy.contains(word)), "{error}");
        }
    }
}
