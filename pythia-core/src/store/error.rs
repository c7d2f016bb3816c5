//! Errors of finding checkpoints.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{ForeignFormat, MisnamedStep};
use crate::content::WrongContent;
use crate::suite::{ModelId, Step};
use crate::weights::io_remedy;

/// Why a checkpoint cannot be found.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A word that names no model, or two.
    #[error(transparent)]
    Name(#[from] super::ModelRefError),
    /// A folder is missing or is not a folder.
    #[error("there is no folder {}; check the path, or make the checkpoints first", dir.display())]
    NoFolder {
        /// Folder that was looked for.
        dir: PathBuf,
    },
    /// A file or folder exists but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder holds neither a model nor steps of one.
    #[error(
        "{} holds no model: neither config.json nor any folder step0, step512, … with one inside{}",
        dir.display(),
        listed(misnamed)
    )]
    NotAModel {
        /// Folder that was looked in.
        dir: PathBuf,
        /// Entries whose names are nearly those of steps.
        misnamed: Vec<MisnamedStep>,
    },
    /// A link to nothing, as the cache has one where a file was removed.
    #[error(
        "{} is a link to {}, which is not there; download or copy the file again",
        link.display(),
        target.display()
    )]
    DanglingLink {
        /// Where the link is.
        link: PathBuf,
        /// The path it holds.
        target: PathBuf,
    },
    /// A folder or a device has the name of a file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What was looked at.
        path: PathBuf,
    },
    /// The weights are in a form that is not read here.
    #[error("{} is not read: {format}", path.display())]
    Foreign {
        /// A file that shows the form.
        path: PathBuf,
        /// The form that the file shows.
        format: ForeignFormat,
    },
    /// A descriptive file is something else than JSON.
    #[error("{}: {source}", path.display())]
    Content {
        /// A JSON file that describes the checkpoints.
        path: PathBuf,
        /// What it is.
        source: WrongContent,
    },
    /// The folder of a checkpoint has no configuration.
    #[error("{} has no config.json; copy the model's config.json there", dir.display())]
    NoConfig {
        /// Folder of the checkpoint.
        dir: PathBuf,
    },
    /// The folder of a checkpoint has no weights in a form that can be read.
    #[error(
        "{} has no weights: looked for {}; download or copy one of them there", dir.display(), looked_for.join(", ")
    )]
    NoWeights {
        /// Folder of the checkpoint.
        dir: PathBuf,
        /// The names that were looked for, best first.
        looked_for: Vec<&'static str>,
    },
    /// An index lists a shard that is not there.
    #[error("{} lists {shard}, which is not beside it; download or copy it there", index.display())]
    MissingShard {
        /// The index, such as `model.safetensors.index.json`.
        index: PathBuf,
        /// The absent file.
        shard: String,
    },
    /// An index of shards is invalid.
    #[error("{} is not a usable index of shards: {problem}", index.display())]
    BadIndex {
        /// The index, such as `model.safetensors.index.json`.
        index: PathBuf,
        /// What is wrong with it.
        problem: IndexProblem,
    },
    /// A descriptive file is far larger than any valid one.
    #[error("{} has {found} bytes, expected at most {max}", path.display())]
    TooLarge {
        /// A JSON file that describes the checkpoint.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The largest size that is read.
        max: u64,
    },
    /// `suite.json` beside local checkpoints cannot be understood.
    #[error("{} is not a description of checkpoints: {source}", path.display())]
    BadDescription {
        /// `suite.json` beside the checkpoints.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The cache has no folder of the model.
    #[error(
        "{model} is not in the cache: there is no folder {}; download the model, or point to another cache",
        dir.display()
    )]
    NotCached {
        /// Model that was asked for.
        model: ModelId,
        /// The folder that would hold it.
        dir: PathBuf,
    },
    /// The cache has the model without this revision.
    #[error(
        "revision {revision} of {model} is not in the cache: looked for {}; download it{}",
        path.display(),
        present(steps)
    )]
    RevisionNotCached {
        /// Model that was asked for.
        model: ModelId,
        /// Branch or commit that was asked for.
        revision: String,
        /// The file or folder that would hold it.
        path: PathBuf,
        /// The steps that are there.
        steps: Vec<Step>,
    },
    /// A reference in the cache does not hold a commit.
    #[error(
        "{} does not hold a commit hash (40 hexadecimal digits); remove it and download the revision again",
        path.display()
    )]
    BadReference {
        /// File of the cache, in `refs` of the model's folder.
        path: PathBuf,
    },
    /// A branch is pinned to a text that is not a commit.
    #[error("{branch} is pinned to {found:?}, which is no commit hash (40 hexadecimal digits)")]
    BadPin {
        /// Branch of the repository, such as `step512`.
        branch: String,
        /// What it is pinned to.
        found: String,
    },
    /// The model's main branch holds no weights.
    #[error("{model} has no weights on its main branch; name a step (it has {first} to {last})")]
    StepRequired {
        /// Model that was asked for.
        model: ModelId,
        /// Its first step.
        first: Step,
        /// Its last step.
        last: Step,
    },
    /// The model was not published at this step.
    #[error(transparent)]
    Suite(#[from] crate::suite::SuiteError),
    /// A local model has no such step.
    #[error("{} has no {}{}", dir.display(), asked(*step), present(steps))]
    NoSuchStep {
        /// Folder of the model.
        dir: PathBuf,
        /// The requested step; `None` for the model without a step.
        step: Option<Step>,
        /// The steps that are there.
        steps: Vec<Step>,
    },
}

impl StoreError {
    /// What helps against this cause, where the message does not say so.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => io_remedy(source),
            Self::NoFolder { .. } | Self::NoSuchStep { .. } | Self::NotAFile { .. } => {
                Some("bring the checkpoint to where it was looked for, or leave its step out")
            }
            _ => None,
        }
    }
}

/// Why an index of shards is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// Not JSON with a `weight_map`.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not even JSON.
    #[error("{0}")]
    Content(#[from] WrongContent),
    /// It lists no files.
    #[error("its weight_map is empty")]
    Empty,
    /// An entry is not the plain name of a neighbouring file of the right kind.
    #[error("{found:?} is not the plain name of a file ending in {suffix}")]
    NotAPlainName {
        /// File name as the index has it.
        found: String,
        /// The suffix of valid names.
        suffix: &'static str,
    },
}

/// Entries with wrong names, for the end of a message.
fn listed(misnamed: &[MisnamedStep]) -> String {
    misnamed.iter().take(5).map(|entry| format!("\n  {entry}")).collect()
}

/// The available steps, for the end of a message.
fn present(steps: &[Step]) -> String {
    match steps {
        [] => "; no step is there".to_owned(),
        [only] => format!("; only {only} is there"),
        [first, .., last] => format!("; {} steps from {first} to {last} are there", steps.len()),
    }
}

/// The requested step, for a message.
fn asked(step: Option<Step>) -> String {
    step.map_or("model outside its steps; name a step".to_owned(), |step| step.to_string())
}
