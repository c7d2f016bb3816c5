//! A model in one call: from a folder or a name of the suite to a [`GptNeoX`] on a device.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use thiserror::Error;

use crate::config::{ConfigError, ConfigFile, NeoxConfig};
use crate::model::GptNeoX;
use crate::store::{self, CheckpointFiles, StoreError};
use crate::suite::Step;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::weights::{StoredCheckpoint, Wanted, WeightError, io_remedy};

/// The suite's largest `config.json` has 1 kB; one with many labels has some hundred.
const MAX_CONFIG: u64 = 16 << 20;

/// Why a model could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The model or some of its files are missing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `config.json` cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// `config.json` of the checkpoint.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `config.json` is not that of a GPT-NeoX model.
    #[error("{}: {source}", path.display())]
    Config {
        /// `config.json` of the checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// The weights do not match `config.json`.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The model has no `tokenizer.json`.
    #[error("{model} has no tokenizer.json; give it token ids")]
    NoTokenizer {
        /// Model as it was asked for.
        model: String,
    },
    /// `tokenizer.json` cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl LoadError {
    /// What helps against this cause, where the message does not say so.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Weights(error) => error.remedy(),
            Self::Io { source, .. } => io_remedy(source),
            // Such a file is as it was meant.
            Self::Config { source: ConfigError::Refused { .. } | ConfigError::Unsupported { .. }, .. } => None,
            Self::Config { .. } => Some("copy the checkpoint's own config.json there again"),
            Self::NoTokenizer { .. } | Self::Tokenizer(_) => None,
        }
    }
}

impl GptNeoX {
    /// Loads a model as it was published, in float32, with its unembedding. `model` is a folder with `config.json` and
    /// weights (`model.safetensors` or `pytorch_model.bin`, whole or in shards), or the name of a model of the suite,
    /// such as `pythia-70m`, which is looked for in the public hub's cache on this machine. Nothing is downloaded.
    ///
    /// ```
    /// use pythia_core::{device, model::GptNeoX};
    /// use pythia_hooks::ActivationCache;
    ///
    /// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
    /// let model = GptNeoX::load(folder, &device::cpu())?;
    /// let mut cache = ActivationCache::named("z", &model.model_shape())?;
    /// // `[batch, pos, vocab]`.
    /// let logits = model.forward(model.tokens(&[vec![5, 8, 13, 21]]), &mut cache);
    /// assert_eq!(logits.dims(), [1, 4, 61]);
    /// // `[batch, pos, head, d_head]`.
    /// let z = cache.get_named::<4>("z.-1", &model.model_shape())?;
    /// assert_eq!(z.dims(), [1, 4, 3, 8]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LoadError`]. A folder that holds steps alone, and a model of the suite without a main branch, need a step:
    /// [`load_step`](Self::load_step).
    pub fn load(model: impl AsRef<Path>, device: &Device) -> Result<Self, LoadError> {
        load(model.as_ref(), None, device)
    }

    /// Loads a checkpoint of a model: `DIR/step512/…`, or the branch `step512` of a model of the suite. `step` is a
    /// [`Step`] or its number. The rest is as for [`load`](Self::load).
    ///
    /// ```
    /// use pythia_core::{device, model::GptNeoX};
    ///
    /// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
    /// let error = GptNeoX::load_step(folder, 512, &device::cpu()).unwrap_err();
    /// assert!(error.to_string().contains("has no step512"));
    /// ```
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_step(model: impl AsRef<Path>, step: impl Into<Step>, device: &Device) -> Result<Self, LoadError> {
        load(model.as_ref(), Some(step.into()), device)
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a model, which [`GptNeoX::load`] finds by the same `model`.
    ///
    /// # Errors
    /// [`LoadError`], among them [`LoadError::NoTokenizer`].
    pub fn load(model: impl AsRef<Path>) -> Result<Self, LoadError> {
        let store = store::find(model.as_ref())?;
        // All steps share one tokenizer, so any step will do.
        let any = store.steps()?.first().copied();
        let described =
            store.describe(None).or_else(|error| any.map_or(Err(error), |step| store.describe(Some(step))))?;
        let path = described.tokenizer.ok_or_else(|| LoadError::NoTokenizer { model: store.model().to_owned() })?;
        Ok(Self::from_file(&path)?)
    }
}

fn load(model: &Path, step: Option<Step>, device: &Device) -> Result<GptNeoX, LoadError> {
    let CheckpointFiles { config, weights, .. } = store::find(model)?.locate(step)?;
    let config = read_config(&config)?;
    let (params, _) = StoredCheckpoint::open(&config, &weights)?.params(&Wanted::ALL)?;
    Ok(GptNeoX::from_params(config, params, device, DType::F32))
}

/// Reads a `config.json`. [`read_config_file`] also lists the keys of which nothing is known.
///
/// # Errors
/// [`LoadError::Io`], [`LoadError::Config`].
pub fn read_config(path: &Path) -> Result<NeoxConfig, LoadError> {
    read_config_file(path).map(|file| file.config)
}

/// Reads a `config.json`, with the keys that are neither read nor known to be harmless.
///
/// # Errors
/// As [`read_config`].
pub fn read_config_file(path: &Path) -> Result<ConfigFile, LoadError> {
    let io = |source| LoadError::Io { path: path.to_owned(), source };
    let config = |source| LoadError::Config { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_CONFIG + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(config(ConfigError::TooLarge { max: MAX_CONFIG }));
    }
    ConfigFile::parse(&bytes).map_err(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TempDir, exact_params, odd_config};
    use crate::weights::to_safetensors;

    #[test]
    fn a_folder_of_steps_is_loaded_step_by_step() {
        let dir = TempDir::new();
        let config = odd_config();
        let params = exact_params(&config);
        for step in ["step0", "step512"] {
            dir.write(&format!("{step}/config.json"), config.to_json());
            dir.write(&format!("{step}/model.safetensors"), to_safetensors(&config, &params));
        }
        let model = GptNeoX::load_step(dir.path(), Step::from_label(512), &Device::flex()).unwrap();
        assert_eq!((model.config(), model.to_params()), (&config, params));
        let outside = GptNeoX::load(dir.path(), &Device::flex()).unwrap_err();
        assert!(matches!(outside, LoadError::Store(StoreError::NoSuchStep { step: None, .. })), "{outside}");
        assert!(matches!(Tokenizer::load(dir.path()), Err(LoadError::NoTokenizer { .. })));
        dir.write("step0/config.json", "{}");
        let broken = GptNeoX::load_step(dir.path(), 0, &Device::flex()).unwrap_err();
        assert!(matches!(broken, LoadError::Config { .. }) && broken.to_string().contains("step0"), "{broken}");
    }

    #[test]
    fn what_is_neither_a_folder_nor_a_model_says_what_is_near() {
        let error = GptNeoX::load("pythia-70n", &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("pythia-70m"), "{error}");
        let error = GptNeoX::load("./no/such/folder", &Device::flex()).unwrap_err();
        assert!(matches!(error, LoadError::Store(StoreError::NoFolder { .. })), "{error}");
    }
}
