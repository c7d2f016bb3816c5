//! Checkpoints in the public hub's on-disk cache, as its Python client lays it out.
//!
//! ```text
//! CACHE/models--EleutherAI--pythia-70m/refs/step512        a commit hash
//!                                      snapshots/COMMIT/   config.json, … (links into blobs/)
//!                                      blobs/              the contents
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::layout::{checkpoint_in, description_in, is_dir, is_file, looks_like_checkpoint, read_small, steps_in};
use super::{CheckpointFiles, Checkpoints, Description, Step};
use crate::suite::{Checkpoint, ModelId, suite};

/// Bytes of a reference that are read. A commit hash has 40 characters, and anything much longer is refused.
const MAX_REFERENCE: u64 = 256;

/// The checkpoints of one of the suite's models in the cache.
#[derive(Clone, Debug)]
pub struct HubCacheStore {
    id: ModelId,
    /// `CACHE/models--ORGANISATION--NAME`.
    dir: PathBuf,
    /// Commits of branches, which take precedence over `refs`.
    pins: BTreeMap<String, String>,
}

impl HubCacheStore {
    /// Opens a model in the cache rooted at `cache`.
    ///
    /// # Errors
    /// [`StoreError::NotCached`] when the cache has never seen the model.
    pub fn open(id: ModelId, cache: &Path) -> Result<Self, StoreError> {
        let dir = dir_of(id, cache);
        if !is_dir(&dir)? {
            return Err(StoreError::NotCached { model: id, dir });
        }
        Ok(Self { id, dir, pins: BTreeMap::new() })
    }

    /// Opens a model in the cache with the commits of some branches given: `pins` maps branches to commit hashes of
    /// 40 hexadecimal digits, which take precedence over `refs`. A cache without a folder of the model has none of
    /// its checkpoints.
    ///
    /// # Errors
    /// [`StoreError::BadPin`] if a pin is not a hash.
    pub fn open_pinned(id: ModelId, cache: &Path, pins: BTreeMap<String, String>) -> Result<Self, StoreError> {
        match pins.iter().find(|(_, commit)| !is_commit(commit)) {
            Some((branch, found)) => Err(StoreError::BadPin { branch: branch.clone(), found: found.clone() }),
            None => Ok(Self { id, dir: dir_of(id, cache), pins }),
        }
    }

    /// The snapshot that a revision points to.
    fn snapshot(&self, revision: &str) -> Result<PathBuf, StoreError> {
        let reference = self.dir.join("refs").join(revision);
        let snapshot = match self.pins.get(revision) {
            Some(pin) => self.snapshot_of(pin),
            None if is_file(&reference)? => self.snapshot_of(&commit(&reference)?),
            None => return Err(self.not_cached(revision, reference)),
        };
        if is_dir(&snapshot)? { Ok(snapshot) } else { Err(self.not_cached(revision, snapshot)) }
    }

    /// The snapshot of a step, or of the model itself, and then that of the main branch if the cache has it.
    fn snapshots(&self, step: Option<Step>) -> Result<Vec<PathBuf>, StoreError> {
        let info = self.id.info();
        let revision = match (step, info.grid()) {
            (Some(step), _) => Checkpoint::new(self.id, step)?.step().to_string(),
            (None, &[first, .., last]) if !info.has_main => {
                return Err(StoreError::StepRequired { model: self.id, first, last });
            }
            (None, _) => "main".to_owned(),
        };
        let snapshot = self.snapshot(&revision)?;
        // All models and steps share one tokenizer, and some branches leave it out.
        match self.snapshot("main") {
            Ok(main) => Ok(vec![snapshot, main]),
            Err(StoreError::RevisionNotCached { .. }) => Ok(vec![snapshot]),
            Err(error) => Err(error),
        }
    }

    fn snapshot_of(&self, commit: &str) -> PathBuf {
        self.dir.join("snapshots").join(commit)
    }

    fn not_cached(&self, revision: &str, path: PathBuf) -> StoreError {
        let steps = self.steps().unwrap_or_default();
        StoreError::RevisionNotCached { model: self.id, revision: revision.to_owned(), path, steps }
    }
}

impl Checkpoints for HubCacheStore {
    fn model(&self) -> &str {
        self.id.name()
    }

    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        let known = |step| Checkpoint::new(self.id, step).is_ok();
        let unpinned = steps_in(&self.dir.join("refs"), |step, reference| {
            let snapshot = commit(reference).map(|commit| self.snapshot_of(&commit));
            let pinned = self.pins.contains_key(&step.to_string());
            !pinned && known(step) && snapshot.is_ok_and(|dir| looks_like_checkpoint(&dir))
        })?;
        let present = self.pins.iter().filter(|(_, commit)| looks_like_checkpoint(&self.snapshot_of(commit)));
        let steps = present.filter(|(branch, _)| branch.starts_with("step"));
        let pinned = steps.filter_map(|(branch, _)| branch.parse().ok()).filter(|&step| known(step));
        let mut steps: Vec<Step> = pinned.chain(unpinned).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn locate(&self, step: Option<Step>) -> Result<CheckpointFiles, StoreError> {
        let snapshots = self.snapshots(step)?;
        checkpoint_in(&snapshots[0], &snapshots.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    fn describe(&self, step: Option<Step>) -> Result<Description, StoreError> {
        let snapshots = self.snapshots(step)?;
        description_in(&snapshots[0], &snapshots.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    fn tokens_per_step(&self) -> Option<u64> {
        Some(suite().tokens_per_step())
    }

    fn suite_id(&self) -> Option<ModelId> {
        Some(self.id)
    }
}

fn dir_of(id: ModelId, cache: &Path) -> PathBuf {
    cache.join(format!("models--{}--{}", suite().organisation(), id.name()))
}

/// The commit in a reference. It becomes part of a path, so only a hash is accepted.
fn commit(reference: &Path) -> Result<String, StoreError> {
    let bytes = read_small(reference, MAX_REFERENCE)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let hash = text.trim_end_matches(['\n', '\r']);
    if is_commit(hash) { Ok(hash.to_owned()) } else { Err(StoreError::BadReference { path: reference.to_owned() }) }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
