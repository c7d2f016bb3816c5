//! Checkpoints from disk to models.

use burn::tensor::DType;
use pythia_core::config::NeoxConfig;
use pythia_core::device::{self, Backend, Compute, DeviceError};
use pythia_core::model::{GptNeoX, ReadAhead};
use pythia_core::params::HostParams;
use pythia_core::store::{CheckpointFiles, StoreError};
use pythia_core::suite::Step;
use pythia_core::weights::{
    self, Hashes, PartHashes, Profile, SomeWeights, StoredWeights, Wanted, WeightError, WeightFiles, open_some,
};

use crate::checkpoint::fetch::{FetchError, Fetched};
use crate::checkpoint::residency::Residency;
use crate::config::{ModelInfoError, read_config};
use crate::integrity::{Status, Verdict};
use crate::resolved::Model;
use crate::resolved::weight_scope::WeightScope;
use crate::terminal::{Exit, Explained};

/// A checkpoint that is ready to become a model, or to be asked for its weights.
pub(crate) struct Loaded {
    /// Its configuration.
    pub(crate) config: NeoxConfig,
    /// Its weights, where a model is run.
    pub(crate) weights: Option<LoadedWeights>,
    /// Its parameters one by one, where probes read weights alone.
    pub(crate) parts: Option<SomeWeights>,
    /// Hashes of what was read.
    pub(crate) hashes: PartHashes,
    /// What is known of its files.
    pub(crate) fetched: Fetched,
}

/// Where models run, and in which numbers.
#[derive(Clone, Debug)]
pub(crate) struct RunsOn {
    /// The device.
    pub(crate) compute: Compute,
    /// The number type of weights.
    pub(crate) dtype: DType,
}

impl RunsOn {
    /// The cores of this machine, in 32-bit floats.
    #[cfg(test)]
    pub(crate) fn cpu() -> Self {
        Self { compute: Compute::cpu(), dtype: DType::F32 }
    }

    /// Whether weights have to be carried to another memory.
    fn is_remote(&self) -> bool {
        self.compute.backend != Backend::Cpu
    }
}

/// The weights of a checkpoint.
pub(crate) enum LoadedWeights {
    /// Decoded, in host memory.
    Resident(HostParams),
    /// On the device already: it is carried there while the checkpoint before computes.
    OnDevice(Box<GptNeoX>),
    /// In their files, which are open.
    Streamed(StoredWeights, ReadAhead),
}

impl Loaded {
    /// The model.
    ///
    /// # Errors
    /// Of streamed weights the first ones are decoded here.
    ///
    /// # Panics
    /// If it was not loaded for one.
    pub(crate) fn model(self, runs_on: &RunsOn) -> Result<GptNeoX, WeightError> {
        let (device, dtype) = (&runs_on.compute.device, runs_on.dtype);
        match self.weights.expect("weights are loaded where a model is run") {
            LoadedWeights::Resident(params) => Ok(GptNeoX::from_params(self.config, params, device, dtype)),
            LoadedWeights::OnDevice(model) => Ok(*model),
            LoadedWeights::Streamed(stored, ahead) => GptNeoX::streamed(stored, device, dtype, ahead),
        }
    }

    /// The verdict now that its files are here: those that were compared with the hub's hashes are no longer unverified.
    pub(crate) fn verdict(&self, before: &Verdict) -> Verdict {
        match before.status {
            // One that is doubted for a reason stays so.
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
    /// Its files are not there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ModelInfoError),
    /// Its shape is not that of the model's other checkpoints.
    #[error("its config.json describes another model than the other checkpoints of {model}")]
    AnotherShape {
        /// The model's label.
        model: String,
    },
    /// Its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Its weights cannot be carried to where it is to run.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Its files cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The thread that reads ahead ended.
    #[error("the reading thread ended before this checkpoint")]
    ReaderEnded,
}

impl LoadError {
    /// Whether some file is not there (any more).
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            LoadError::Store(_) => true,
            LoadError::Config(ModelInfoError::Io { source, .. })
            | LoadError::Weights(WeightError::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
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
            Self::Store(_) => "bring the checkpoint to where it was looked for, or leave its step out",
            Self::Config(_) | Self::AnotherShape { .. } => "copy the checkpoint's own config.json there again",
            Self::Weights(_) => "copy or download the checkpoint's files again",
            Self::Device(_) => {
                "give a smaller --memory, with which weights are carried over layer by layer, \
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
    /// Of which model.
    pub(crate) model: &'a Model,
    /// Which one.
    pub(crate) step: Option<Step>,
    /// What of it.
    pub(crate) wanted: Wanted,
    /// Where its weights are to be.
    pub(crate) residency: Residency,
    /// Whether it is to become a model, and which parameters are read by themselves.
    pub(crate) scope: &'a WeightScope,
    /// Where the model is going to run.
    pub(crate) runs_on: &'a RunsOn,
}

impl Job<'_> {
    /// The checkpoint in a person's words.
    pub(crate) fn name(&self) -> String {
        self.step.map_or(self.model.label.clone(), |step| format!("{} {step}", self.model.label))
    }
}

/// Loads one checkpoint.
pub(crate) fn load(job: &Job<'_>, fetched: Fetched) -> Result<Loaded, LoadError> {
    let (config, files) = locate(job.model, job.step, fetched.files.as_ref())?;
    let only = &job.scope.params;
    if !job.scope.model {
        let (parts, hashes) = open_some(&config, &files, only, None)?;
        return Ok(Loaded { config, weights: None, parts: Some(parts), hashes, fetched });
    }
    let (weights, hashes) = load_all(job, &config, &files)?;
    let hashes = PartHashes::from(hashes);
    let parts = if only.is_empty() { None } else { Some(open_some(&config, &files, only, Some(&hashes))?.0) };
    Ok(Loaded { config, weights: Some(weights), parts, hashes, fetched })
}

/// All weights, where they are to be.
fn load_all(job: &Job<'_>, config: &NeoxConfig, files: &WeightFiles) -> Result<(LoadedWeights, Hashes), LoadError> {
    if let Some(ahead) = job.residency.streamed() {
        let (stored, hashes) = weights::open(config, files, &job.wanted, None)?;
        return Ok((LoadedWeights::Streamed(stored, ahead), hashes));
    }
    if job.runs_on.is_remote() {
        let asked = job.runs_on.compute.asked();
        let carried = device::answer(|| carry(job, config, files));
        let (model, hashes) = carried.map_err(|reason| DeviceError::Dead { asked, reason })??;
        model.arrived().map_err(|error| DeviceError::Dead { asked, reason: error.to_string() })?;
        return Ok((LoadedWeights::OnDevice(Box::new(model)), hashes));
    }
    let (params, hashes) = weights::read(config, files, &job.wanted)?;
    Ok((LoadedWeights::Resident(params), hashes))
}

/// The model on a device with a memory of its own: the weights go there as they are stored, unless they have to be prepared.
fn carry(job: &Job<'_>, config: &NeoxConfig, files: &WeightFiles) -> Result<(GptNeoX, Hashes), WeightError> {
    let (config, device, dtype) = (config.clone(), &job.runs_on.compute.device, job.runs_on.dtype);
    if job.wanted.profile == Profile::AsPublished {
        let (raw, hashes) = weights::read_raw(&config, files, &job.wanted)?;
        return Ok((GptNeoX::from_raw(config, raw, device, dtype), hashes));
    }
    let (params, hashes) = weights::read(&config, files, &job.wanted)?;
    Ok((GptNeoX::from_params(config, params, device, dtype), hashes))
}

/// The fingerprints of a checkpoint, without loading it.
pub(crate) fn hashes(model: &Model, step: Option<Step>) -> Result<Hashes, LoadError> {
    let (config, files) = locate(model, step, None)?;
    Ok(weights::hashes(&config, &files)?)
}

/// The files of a checkpoint whose shape is that of the model: those that were fetched, else those that its store finds.
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
