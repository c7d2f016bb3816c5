//! Finding the files of checkpoints in a local folder or in the public hub's cache on disk, behind one trait.
//!
//! Everything here works offline. A store that downloads is one more implementation of [`Checkpoints`].
//!
//! ```
//! use std::path::Path;
//! use pythia_core::store::{Checkpoints, FolderStore, HubCacheStore, ModelRef, StoreError};
//!
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
//! let store = FolderStore::open(Path::new(folder))?;
//! // A folder of a single model has no steps.
//! assert!(store.steps()?.is_empty());
//! let files = store.locate(None)?;
//! assert_eq!(files.weights.paths().len(), 1);
//! assert_eq!(store.describe(None)?.config, files.config);
//!
//! // Models of the suite are looked for in a cache.
//! let ModelRef::Suite(id) = "pythia-70m".parse::<ModelRef>()? else { panic!("a model of the suite") };
//! let nothing = HubCacheStore::open(id, Path::new("no/such/cache"));
//! assert!(matches!(nothing, Err(StoreError::NotCached { .. })));
//! # Ok::<(), StoreError>(())
//! ```

mod error;
mod folder;
mod foreign;
mod hub_cache;
mod layout;
mod step_names;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pythia_files::{Environment, hub_cache};

use crate::suite::{ModelId, Step, SuiteError};
use crate::weights::WeightFiles;

pub use error::{IndexProblem, StoreError};
pub use folder::FolderStore;
pub use foreign::ForeignFormat;
pub use hub_cache::HubCacheStore;
pub use step_names::{MisnamedStep, NameProblem};

/// The files of one checkpoint. All of them exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFiles {
    /// `config.json`.
    pub config: PathBuf,
    /// Safetensors or PyTorch files, whole or in shards.
    pub weights: WeightFiles,
    /// `tokenizer.json`, where there is one.
    pub tokenizer: Option<PathBuf>,
}

/// The files that describe a model, without its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `config.json`.
    pub config: PathBuf,
    /// `tokenizer.json`, where there is one.
    pub tokenizer: Option<PathBuf>,
}

/// The checkpoints of one model.
pub trait Checkpoints {
    /// The name of the model in result tables.
    fn model(&self) -> &str;

    /// The steps that are present, ascending; empty for a model that has no steps. Those whose files cannot be read
    /// are among them: [`locate`](Self::locate) says what is wrong.
    ///
    /// # Errors
    /// [`StoreError`] when the place cannot be listed.
    fn steps(&self) -> Result<Vec<Step>, StoreError>;

    /// The files of one step, or of the model itself where it has no steps.
    ///
    /// # Errors
    /// [`StoreError`] says what was looked for, where, and what to do.
    fn locate(&self, step: Option<Step>) -> Result<CheckpointFiles, StoreError>;

    /// The same without the weights, which may be absent.
    ///
    /// # Errors
    /// As [`locate`](Self::locate).
    fn describe(&self, step: Option<Step>) -> Result<Description, StoreError>;

    /// What is not read, although its name resembles that of a step.
    ///
    /// # Errors
    /// [`StoreError`] when the place cannot be listed.
    fn misnamed(&self) -> Result<Vec<MisnamedStep>, StoreError> {
        Ok(Vec::new())
    }

    /// Training tokens per step of a label, if known.
    fn tokens_per_step(&self) -> Option<u64>;

    /// The id of the model in the suite, if the suite has it.
    fn suite_id(&self) -> Option<ModelId>;
}

/// How a user names a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    /// A model of the suite.
    Suite(ModelId),
    /// A local folder.
    Folder(PathBuf),
}

/// A word that names no model, or two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefError {
    /// Neither a model of the suite nor a path.
    #[error("{source}\nwrite ./{found} if a folder is meant")]
    Unknown {
        /// What was written.
        found: String,
        /// The error of the suite, with the nearest names.
        source: SuiteError,
    },
    /// A model of the suite, and a folder.
    #[error(
        "`{found}` is a model of the suite and also a folder: write {} for the model, ./{found} for the folder",
        id.name()
    )]
    Ambiguous {
        /// What was written.
        found: String,
        /// Which model of the suite it is.
        id: ModelId,
    },
}

impl ModelRef {
    /// What a word means where relative paths count from `base`: what [`FromStr`] reads in it, or else a folder of that
    /// name which is there.
    ///
    /// ```
    /// use pythia_core::store::ModelRef;
    ///
    /// let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests").as_ref();
    /// assert_eq!(ModelRef::named("fixtures/parallel", base)?, ModelRef::Folder("fixtures/parallel".into()));
    /// assert!(ModelRef::named("fixtures/absent", base).is_err());
    /// # Ok::<(), pythia_core::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelRefError`]; a folder of that name that cannot be looked at.
    pub fn named(word: &str, base: &Path) -> Result<Self, StoreError> {
        let is_dir = || match layout::is_dir(&base.join(word)) {
            // A word that is no path at all.
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidFilename) =>
            {
                Ok(false)
            }
            found => found,
        };
        match word.parse() {
            Ok(Self::Suite(id)) if word.contains('/') && is_dir()? => {
                Err(ModelRefError::Ambiguous { found: word.to_owned(), id }.into())
            }
            Err(_) if !word.is_empty() && is_dir()? => Ok(Self::Folder(word.into())),
            named => Ok(named?),
        }
    }
}

impl FromStr for ModelRef {
    type Err = ModelRefError;

    /// A path when it begins with `/`, `./`, `../` or `~` (or is `.` or `..`), else a model of the suite.
    fn from_str(text: &str) -> Result<Self, ModelRefError> {
        let is_path = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
        if is_path || matches!(text, "." | ".." | "~") {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        match text.parse() {
            Ok(id) => Ok(Self::Suite(id)),
            Err(source) => Err(ModelRefError::Unknown { found: text.to_owned(), source }),
        }
    }
}

/// Finds a model as [`ModelRef::named`] does, where relative paths count from the working directory. Models of the
/// suite are looked for in the cache of the hub's Python client: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`,
/// `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, or `~/.cache/huggingface/hub`, whichever is set first. A leading
/// `~` in a variable is the home folder, and `$NAME` another variable.
///
/// ```
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
/// let store = pythia_core::store::find(folder)?;
/// assert_eq!(store.model(), "parallel");
/// assert!(store.locate(None)?.config.ends_with("config.json"));
/// # Ok::<(), pythia_core::store::StoreError>(())
/// ```
///
/// # Errors
/// [`StoreError`].
pub fn find(model: impl AsRef<Path>) -> Result<Box<dyn Checkpoints + Send + Sync>, StoreError> {
    let model = model.as_ref();
    // What is no text in UTF-8 can only be a path.
    let named = model
        .to_str()
        .map_or_else(|| Ok(ModelRef::Folder(model.into())), |word| ModelRef::named(word, Path::new("")))?;
    open(&named, &hub_cache(&Environment::of_process()))
}

/// Opens the checkpoints of a model. `cache` is the root of the public hub's cache, the folder that holds
/// `models--ORGANISATION--NAME`; only models of the suite are looked for there.
///
/// # Errors
/// [`StoreError`] when the place does not exist or is not laid out as expected.
pub fn open(model: &ModelRef, cache: &Path) -> Result<Box<dyn Checkpoints + Send + Sync>, StoreError> {
    Ok(match model {
        ModelRef::Suite(id) => Box::new(HubCacheStore::open(*id, cache)?),
        ModelRef::Folder(dir) => Box::new(FolderStore::open(dir)?),
    })
}

#[cfg(test)]
mod tests;
