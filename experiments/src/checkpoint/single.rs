//! One checkpoint for a command that has no experiment: from a folder, the cache, or the hub.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use pythia_core::store::{self, CheckpointFiles, Checkpoints, HubCacheStore, ModelRef, StoreError};
use pythia_core::suite::{Checkpoint, ModelId, Step, SuiteError};
use pythia_hub::{FilesInUse, Hub};

use crate::checkpoint::fetch::FetchError;
use crate::checkpoint::hub_access::{HubAccess, HubAccessError, PinRequest};
use crate::resolved::pins::Pins;
use crate::terminal::{Exit, Explained};

/// A checkpoint whose files are on this disk.
pub(crate) struct Single {
    pub(crate) store: Box<dyn Checkpoints + Send + Sync>,
    pub(crate) files: CheckpointFiles,
    /// Keeps fetched files from being evicted.
    _hold: Option<FilesInUse>,
}

/// Why a checkpoint is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SingleError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{source}\nit was not fetched, because the command is offline")]
    Offline { source: StoreError },
    #[error(transparent)]
    Hub(#[from] HubAccessError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl Explained for SingleError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) | Self::Offline { source: error } => error.exit(),
            Self::Hub(error) => error.exit(),
            Self::Fetch(error) => error.exit(),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Store(error) => Explained::remedy(error),
            Self::Offline { .. } => Some("leave --offline out and unset HF_HUB_OFFLINE".into()),
            Self::Hub(error) => error.remedy(),
            Self::Fetch(error) => error.remedy(),
        }
    }
}

/// The model that a word of the command line names. What is no text in UTF-8 can only be a path.
pub(crate) fn model_named(word: &OsStr) -> Result<ModelRef, StoreError> {
    word.to_str().map_or_else(|| Ok(ModelRef::Folder(word.into())), |word| ModelRef::named(word, Path::new("")))
}

impl Single {
    /// Opens a checkpoint. One of the suite that the cache lacks is fetched, as `pythia run` does.
    pub(crate) fn open(
        model: &ModelRef,
        step: Option<Step>,
        hub: Hub,
        watch: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, SingleError> {
        let ModelRef::Suite(id) = model else {
            let store = store::open(model, hub.cache())?;
            return Ok(Self { files: store.locate(step)?, store, _hold: None });
        };
        let store = HubCacheStore::open_pinned(*id, hub.cache(), [].into())?;
        match store.locate(step) {
            Ok(files) => Ok(Self { store: Box::new(store), files, _hold: None }),
            Err(source) if !is_absence(&source) => Err(source.into()),
            Err(source) if hub.settings().offline => Err(SingleError::Offline { source }),
            Err(_) => Self::fetched(*id, step, hub, watch),
        }
    }

    fn fetched(id: ModelId, step: Option<Step>, hub: Hub, watch: &(dyn Fn(&str) + Sync)) -> Result<Self, SingleError> {
        let steps: BTreeSet<Step> = step.into_iter().collect();
        steps.iter().try_for_each(|step| Checkpoint::new(id, *step).map(drop)).map_err(into_store)?;
        let request = PinRequest { id, steps };
        let hub = HubAccess::without_experiment(hub, &request, watch)?;
        let pins = Pins::of(&hub.lock, id).ok_or(HubAccessError::NotPinned { model: id })?;
        hub.describe(&request)?;
        let hold = hub.fetch(&pins, step)?;
        let store = HubCacheStore::open_pinned(id, hub.client.cache(), pins.commits())?;
        Ok(Self { files: store.locate(step)?, store: Box::new(store), _hold: Some(hold) })
    }
}

fn into_store(error: SuiteError) -> StoreError {
    error.into()
}

/// Whether the cache lacks the checkpoint or a part of it, so that fetching helps.
fn is_absence(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotCached { .. }
            | StoreError::RevisionNotCached { .. }
            | StoreError::NoConfig { .. }
            | StoreError::NoWeights { .. }
            | StoreError::MissingShard { .. }
    )
}
