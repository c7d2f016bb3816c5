//! Checkpoints from disk to models.

use burn::tensor::DType;
use pythia_core::config::NeoxConfig;
use pythia_core::device::{self, Backend, Compute, DeviceError};
use pythia_core::load::{LoadError as ConfigFileError, read_config};
use pythia_core::model::{GptNeoX, ReadAhead};
use pythia_core::params::HostParams;
use pythia_core::store::{CheckpointFiles, Checkpoints, StoreError};
use pythia_core::suite::Step;
use pythia_core::weights::{
    Hashes, PartHashes, Profile, SomeWeights, StoredCheckpoint, StoredWeights, Wanted, WeightError, WeightFiles,
};

use crate::checkpoint::fetch::{FetchError, Fetched};
use crate::checkpoint::residency::Residency;
use crate::files::table::cell_name;
use crate::integrity::{Status, Verdict};
use crate::resolved::Model;
use crate::resolved::weight_scope::WeightScope;
use crate::terminal::{Exit, Explained};

/// A checkpoint whose weights are read or open.
pub(crate) struct Loaded {
    pub(crate) config: NeoxConfig,
    /// Its weights, where a model is run.
    pub(crate) weights: Option<LoadedWeights>,
    /// Its parameters one by one, where probes read weights alone.
    pub(crate) parts: Option<SomeWeights>,
    /// Hashes of what was read.
    pub(crate) hashes: PartHashes,
    /// How its files were fetched.
    pub(crate) fetched: Fetched,
}

/// The device and the number type that models run in.
#[derive(Clone, Debug)]
pub(crate) struct RunsOn {
    pub(crate) compute: Compute,
    pub(crate) dtype: DType,
}

impl RunsOn {
    /// The cores of this machine, in 32-bit floats.
    #[cfg(test)]
    pub(crate) fn cpu() -> Self {
        Self { compute: Compute::cpu(), dtype: DType::F32 }
    }

    /// Whether the device has a memory of its own.
    fn is_remote(&self) -> bool {
        self.compute.backend != Backend::Cpu
    }
}

/// The weights of a checkpoint.
pub(crate) enum LoadedWeights {
    /// Decoded, in host memory.
    Resident(HostParams),
    /// On the device already: the upload goes on while the checkpoint before computes.
    OnDevice(Box<GptNeoX>),
    /// In their files, which are open.
    Streamed(StoredWeights, ReadAhead),
}

impl Loaded {
    /// The checkpoint as a model that can run.
    ///
    /// # Errors
    /// [`WeightError`] of streamed weights, whose first tensors are decoded here.
    ///
    /// # Panics
    /// If it was loaded without weights.
    pub(crate) fn model(self, runs_on: &RunsOn) -> Result<GptNeoX, WeightError> {
        let (device, dtype) = (&runs_on.compute.device, runs_on.dtype);
        match self.weights.expect("weights are loaded where a model is run") {
            LoadedWeights::Resident(params) => Ok(GptNeoX::from_params(self.config, params, device, dtype)),
            LoadedWeights::OnDevice(model) => Ok(*model),
            LoadedWeights::Streamed(stored, ahead) => GptNeoX::streamed(stored, device, dtype, ahead),
        }
    }

    /// The verdict after fetching: files that were compared with the hub's hashes are no longer unverified.
    pub(crate) fn verdict(&self, before: &Verdict) -> Verdict {
        match before.status {
            // A reason to doubt it stays.
            Status::Unverified if self.fetched.verified && before.reason.is_none() => {
                Verdict { status: Status::Ok, ..before.clone() }
            }
            _ => before.clone(),
        }
    }
}

/// A checkpoint that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    #[error("its config.json describes another model than the other checkpoints of {model}")]
    AnotherShape { model: String },
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the reading thread ended before this checkpoint")]
    ReaderEnded,
}

impl LoadError {
    /// Whether some file is not there (any more).
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            LoadError::Store(StoreError::Io { source, .. })
            | LoadError::Config(ConfigFileError::Io { source, .. })
            | LoadError::Weights(WeightError::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
            LoadError::Store(_) => true,
            _ => false,
        }
    }
}

impl Explained for LoadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Fetch(error) => error.exit(),
            Self::Device(_) => Exit::Resources,
            Self::Store(_) | Self::Config(_) | Self::AnotherShape { .. } | Self::Weights(_) | Self::ReaderEnded => {
                Exit::BadInput
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Store(error) => return Explained::remedy(error),
            Self::Config(error) => return Explained::remedy(error),
            Self::AnotherShape { .. } => "copy the checkpoint's own config.json there again",
            Self::Weights(error) => return Explained::remedy(error),
            Self::Device(_) => {
                "give a smaller --memory, with which weights are uploaded layer by layer, \
                 or compute elsewhere with --device"
            }
            Self::Fetch(error) => return error.remedy(),
            Self::ReaderEnded => "run the same command again",
        };
        Some(remedy.to_owned())
    }
}

/// One checkpoint to load.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) model: &'a Model,
    /// `None` for a model without steps.
    pub(crate) step: Option<Step>,
    /// Which weights, and how they are prepared.
    pub(crate) wanted: Wanted,
    /// Where its weights will be.
    pub(crate) residency: Residency,
    /// Whether it becomes a model, and which parameters are read one by one.
    pub(crate) scope: &'a WeightScope,
    /// Where the model is going to run.
    pub(crate) runs_on: &'a RunsOn,
}

impl Job<'_> {
    /// The checkpoint for messages.
    pub(crate) fn name(&self) -> String {
        cell_name(&self.model.label, self.step)
    }
}

pub(crate) fn load(job: &Job<'_>, fetched: Fetched) -> Result<Loaded, LoadError> {
    let (config, files) = locate(job.model, job.step, fetched.files.as_ref())?;
    let stored = StoredCheckpoint::open(&config, &files)?;
    let only = &job.scope.params;
    if !job.scope.model {
        let (parts, hashes) = stored.some(only, None)?;
        return Ok(Loaded { config, weights: None, parts: Some(parts), hashes, fetched });
    }
    let (weights, hashes) = load_all(job, &config, stored)?;
    let hashes = PartHashes::from(hashes);
    let parts = if only.is_empty() {
        None
    } else {
        Some(StoredCheckpoint::open(&config, &files)?.some(only, Some(&hashes))?.0)
    };
    Ok(Loaded { config, weights: Some(weights), parts, hashes, fetched })
}

/// All weights, where they are to be.
fn load_all(
    job: &Job<'_>,
    config: &NeoxConfig,
    stored: StoredCheckpoint,
) -> Result<(LoadedWeights, Hashes), LoadError> {
    if let Some(ahead) = job.residency.streamed() {
        let (stored, hashes) = stored.streamed(&job.wanted, None)?;
        return Ok((LoadedWeights::Streamed(stored, ahead), hashes));
    }
    if job.runs_on.is_remote() {
        let asked = job.runs_on.compute.asked();
        let uploaded = device::answer(|| upload(job, config, &stored));
        let (model, hashes) = uploaded.map_err(|reason| DeviceError::Failed { asked, reason })??;
        model.arrived().map_err(|error| DeviceError::Failed { asked, reason: error.reason })?;
        return Ok((LoadedWeights::OnDevice(Box::new(model)), hashes));
    }
    let (params, hashes) = stored.params(&job.wanted)?;
    Ok((LoadedWeights::Resident(params), hashes))
}

/// The model on a device with a memory of its own: the weights go there as they are stored, unless they have to be
/// prepared.
fn upload(job: &Job<'_>, config: &NeoxConfig, stored: &StoredCheckpoint) -> Result<(GptNeoX, Hashes), WeightError> {
    let (config, device, dtype) = (config.clone(), &job.runs_on.compute.device, job.runs_on.dtype);
    if job.wanted.profile == Profile::AsPublished {
        let (raw, hashes) = stored.raw(&job.wanted)?;
        return Ok((GptNeoX::from_raw(config, raw, device, dtype), hashes));
    }
    let (params, hashes) = stored.params(&job.wanted)?;
    Ok((GptNeoX::from_params(config, params, device, dtype), hashes))
}

/// The configuration of a checkpoint, and its open weights.
pub(crate) fn open(store: &dyn Checkpoints, step: Option<Step>) -> Result<(NeoxConfig, StoredCheckpoint), LoadError> {
    let files = store.locate(step)?;
    let config = read_config(&files.config)?;
    let stored = StoredCheckpoint::open(&config, &files.weights)?;
    Ok((config, stored))
}

/// The fingerprints of a checkpoint, without loading it.
pub(crate) fn hashes(model: &Model, step: Option<Step>) -> Result<Hashes, LoadError> {
    let (config, files) = locate(model, step, None)?;
    Ok(StoredCheckpoint::open(&config, &files)?.hashes()?)
}

/// The files of a checkpoint, fetched or found by its store, after a check that its shape is that of the model.
fn locate(
    model: &Model,
    step: Option<Step>,
    fetched: Option<&CheckpointFiles>,
) -> Result<(NeoxConfig, WeightFiles), LoadError> {
    let files = fetched.map_or_else(|| model.store.locate(step), |files| Ok(files.clone()))?;
    let config = read_config(&files.config)?;
    if config != model.config {
        return Err(LoadError::AnotherShape { model: model.label.clone() });
    }
    Ok((config, files.weights))
}
