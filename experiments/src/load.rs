//! Checkpoints from disk to models.

use burn::tensor::DType;
use pythia_core::config::NeoxConfig;
use pythia_core::device::{self, Backend, Compute, DeviceError};
use pythia_core::model::{GptNeoX, ReadAhead};
use pythia_core::params::HostParams;
use pythia_core::store::{CheckpointFiles, StoreError};
use pythia_core::suite::Step;
use pythia_core::weights::{
    Hashes, PartHashes, Profile, SomeWeights, StoredCheckpoint, StoredWeights, Wanted, WeightError, WeightFiles,
};

use crate::integrity::{Status, Verdict};
use crate::memory::Residency;
use crate::reads::Reads;
use crate::shape::{ShapeError, read_config};
use crate::study::Model;
use crate::supply::{Brought, SupplyError};

/// A checkpoint that is ready to become a model, or to be asked for its weights.
pub struct Loaded {
    /// Its configuration.
    pub config: NeoxConfig,
    /// Its weights, where a model is run.
    pub weights: Option<Weights>,
    /// Its parameters one by one, where probes read weights alone.
    pub parts: Option<SomeWeights>,
    /// Hashes of what was read.
    pub hashes: PartHashes,
    /// What is known of its files.
    pub brought: Brought,
}

/// Where models run, and in which numbers.
#[derive(Clone, Debug)]
pub struct RunsOn {
    /// The device.
    pub compute: Compute,
    /// The number type of weights.
    pub dtype: DType,
}

impl RunsOn {
    /// The cores of this machine, in 32-bit floats.
    pub fn cpu() -> Self {
        Self { compute: Compute::cpu(), dtype: DType::F32 }
    }

    /// Whether weights have to be carried to another memory.
    fn is_remote(&self) -> bool {
        self.compute.backend != Backend::Cpu
    }
}

/// The weights of a checkpoint.
pub enum Weights {
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
    pub fn model(self, runs_on: &RunsOn) -> Result<GptNeoX, WeightError> {
        let (device, dtype) = (&runs_on.compute.device, runs_on.dtype);
        match self.weights.expect("weights are loaded where a model is run") {
            Weights::Resident(params) => Ok(GptNeoX::from_params(self.config, params, device, dtype)),
            Weights::OnDevice(model) => Ok(*model),
            Weights::Streamed(stored, ahead) => GptNeoX::streamed(stored, device, dtype, ahead),
        }
    }

    /// The verdict now that its files are here: those that were compared with the hub's hashes are no longer unverified.
    pub fn verdict(&self, before: &Verdict) -> Verdict {
        match before.status {
            // One that is doubted for a reason stays so.
            Status::Unverified if self.brought.verified && before.reason.is_none() => {
                Verdict { status: Status::Ok, ..before.clone() }
            }
            _ => before.clone(),
        }
    }
}

/// A checkpoint that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its files are not there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ShapeError),
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
    /// Its files cannot be brought here.
    #[error(transparent)]
    Supply(#[from] SupplyError),
    /// The thread that reads ahead ended.
    #[error("the reading thread ended before this checkpoint")]
    ReaderEnded,
}

impl LoadError {
    /// Whether some file is not there (any more).
    pub fn is_absence(&self) -> bool {
        match self {
            LoadError::Store(_) => true,
            LoadError::Config(ShapeError::Io { source, .. }) | LoadError::Weights(WeightError::Io { source, .. }) => {
                source.kind() == std::io::ErrorKind::NotFound
            }
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        let remedy = match self {
            LoadError::Store(_) => "bring the checkpoint to where it was looked for, or leave its step out",
            LoadError::Config(_) | LoadError::AnotherShape { .. } => {
                "copy the checkpoint's own config.json there again"
            }
            LoadError::Weights(_) => "copy or download the checkpoint's files again",
            LoadError::Device(_) => {
                "give a smaller --memory, with which weights are carried over layer by layer, or compute elsewhere with --device"
            }
            LoadError::Supply(error) => return error.remedy(),
            LoadError::ReaderEnded => "run the same command again",
        };
        remedy.to_owned()
    }
}

/// One checkpoint to load.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Of which model.
    pub model: &'a Model,
    /// Which one.
    pub step: Option<Step>,
    /// What of it.
    pub wanted: Wanted,
    /// Where its weights are to be.
    pub residency: Residency,
    /// Whether it is to become a model, and which parameters are read by themselves.
    pub reads: &'a Reads,
    /// Where the model is going to run.
    pub runs_on: &'a RunsOn,
}

impl Job<'_> {
    /// The checkpoint in a person's words.
    pub fn name(&self) -> String {
        self.step.map_or(self.model.label.clone(), |step| format!("{} {step}", self.model.label))
    }
}

/// Loads one checkpoint.
pub fn load(job: &Job<'_>, brought: Brought) -> Result<Loaded, LoadError> {
    let (config, files) = locate(job.model, job.step, brought.files.as_ref())?;
    let stored = StoredCheckpoint::open(&config, &files)?;
    let only = &job.reads.params;
    if !job.reads.model {
        let (parts, hashes) = stored.some(only, None)?;
        return Ok(Loaded { config, weights: None, parts: Some(parts), hashes, brought });
    }
    let (weights, hashes) = load_all(job, &config, stored)?;
    let hashes = PartHashes::from(hashes);
    let parts = if only.is_empty() {
        None
    } else {
        Some(StoredCheckpoint::open(&config, &files)?.some(only, Some(&hashes))?.0)
    };
    Ok(Loaded { config, weights: Some(weights), parts, hashes, brought })
}

/// All weights, where they are to be.
fn load_all(job: &Job<'_>, config: &NeoxConfig, stored: StoredCheckpoint) -> Result<(Weights, Hashes), LoadError> {
    if let Some(ahead) = job.residency.streamed() {
        let (stored, hashes) = stored.streamed(&job.wanted, None)?;
        return Ok((Weights::Streamed(stored, ahead), hashes));
    }
    if job.runs_on.is_remote() {
        let asked = job.runs_on.compute.asked();
        let carried = device::answer(|| carry(job, config, &stored));
        let (model, hashes) = carried.map_err(|reason| DeviceError::Dead { asked, reason })??;
        model.arrived().map_err(|error| DeviceError::Dead { asked, reason: error.reason })?;
        return Ok((Weights::OnDevice(Box::new(model)), hashes));
    }
    let (params, hashes) = stored.params(&job.wanted)?;
    Ok((Weights::Resident(params), hashes))
}

/// The model on a device with a memory of its own: the weights go there as they are stored, unless they have to be prepared.
fn carry(job: &Job<'_>, config: &NeoxConfig, stored: &StoredCheckpoint) -> Result<(GptNeoX, Hashes), WeightError> {
    let (config, device, dtype) = (config.clone(), &job.runs_on.compute.device, job.runs_on.dtype);
    if job.wanted.profile == Profile::AsPublished {
        let (raw, hashes) = stored.raw(&job.wanted)?;
        return Ok((GptNeoX::from_raw(config, raw, device, dtype), hashes));
    }
    let (params, hashes) = stored.params(&job.wanted)?;
    Ok((GptNeoX::from_params(config, params, device, dtype), hashes))
}

/// The fingerprints of a checkpoint, without loading it.
pub fn hashes(model: &Model, step: Option<Step>) -> Result<Hashes, LoadError> {
    let (config, files) = locate(model, step, None)?;
    Ok(StoredCheckpoint::open(&config, &files)?.hashes()?)
}

/// The files of a checkpoint whose shape is that of the model: those that were brought, else those that its store finds.
fn locate(
    model: &Model,
    step: Option<Step>,
    brought: Option<&CheckpointFiles>,
) -> Result<(NeoxConfig, WeightFiles), LoadError> {
    let files = brought.map_or_else(|| model.store.locate(step), |files| Ok(files.clone()))?;
    let config = read_config(&files.config)?;
    if config != model.config {
        return Err(LoadError::AnotherShape { model: model.label.clone() });
    }
    Ok((config, files.weights))
}
