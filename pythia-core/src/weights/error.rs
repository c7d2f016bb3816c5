//! Errors of a checkpoint's files.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Profile;
use super::pytorch::{PickleError, ZipError};
use crate::content::WrongContent;

/// Why the weights of a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum WeightError {
    /// A file cannot be opened or mapped.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The weight file, or a shard of it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No file was given.
    #[error("the checkpoint lists no weight files")]
    NoFiles,
    /// A file is something else than weights.
    #[error("{}: {source}", path.display())]
    Content {
        /// The weight file.
        path: PathBuf,
        /// What it is.
        source: WrongContent,
    },
    /// Not a well-formed safetensors file: truncated, overlapping, or nonsense in the header.
    #[error("{} is not a whole safetensors file: {source}", path.display())]
    Safetensors {
        /// The `.safetensors` file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// Not a well-formed zip archive of the kind PyTorch writes.
    #[error("{} is not a whole PyTorch archive: {source}", path.display())]
    Zip {
        /// The `.bin` file.
        path: PathBuf,
        /// What is wrong with it.
        source: ZipError,
    },
    /// The pickle inside is malformed, or names something that a checkpoint does not need.
    #[error("{} is refused: {source}", path.display())]
    Pickle {
        /// The `.bin` file that contains the pickle.
        path: PathBuf,
        /// What is wrong with it.
        source: PickleError,
    },
    /// A tensor occurs twice, in one file or in two shards.
    #[error("tensor {tensor} is both in {} and in {}", first.display(), second.display())]
    Duplicate {
        /// Its name.
        tensor: String,
        /// The file it was met in first.
        first: PathBuf,
        /// The file it was met in again.
        second: PathBuf,
    },
    /// A tensor that the configuration calls for is not there.
    #[error("tensor {tensor} {expected:?} is missing{}; the files have {found} tensors", and_others(*others))]
    Missing {
        /// Its name.
        tensor: String,
        /// Its expected shape.
        expected: Vec<usize>,
        /// How many others are missing too.
        others: usize,
        /// How many tensors there are.
        found: usize,
    },
    /// The unembedding alone is not there, and the configuration does not tie it to the embedding.
    #[error("the files have every tensor but the unembedding, {tensor}")]
    NoUnembedding {
        /// Its name.
        tensor: String,
    },
    /// A tensor has no values.
    #[error("tensor {tensor} in {} is empty, expected {expected:?}", path.display())]
    Empty {
        /// Its name.
        tensor: String,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
        /// The file it is in.
        path: PathBuf,
    },
    /// Weights that were quantised.
    #[error("tensor {tensor} in {} holds {found}: the weights are quantised, which is not supported", path.display())]
    Quantised {
        /// Its name.
        tensor: String,
        /// The type in the file.
        found: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// A part of a low-rank adapter.
    #[error("tensor {tensor} in {} belongs to a LoRA adapter, not to a whole model", path.display())]
    Adapter {
        /// Its name.
        tensor: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// A tensor that no model of this configuration has.
    #[error("tensor {tensor} {found:?} in {} belongs to no model of this config.json", path.display())]
    Unexpected {
        /// Its name.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The file it is in.
        path: PathBuf,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor {tensor} in {} has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// Its name.
        tensor: String,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
        /// The file it is in.
        path: PathBuf,
    },
    /// A tensor has values of a type that weights do not have.
    #[error("tensor {tensor} in {} holds {found}, expected F16, BF16, F32 or F64", path.display())]
    Dtype {
        /// Its name.
        tensor: String,
        /// The type in the file.
        found: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// A tensor holds an infinity or a NaN.
    #[error("tensor {tensor} in {} holds {value} at flat index {index}, expected finite numbers", path.display())]
    NotFinite {
        /// Its name.
        tensor: String,
        /// Its index, in the order of the file.
        index: usize,
        /// An infinity or a NaN.
        value: f32,
        /// The file it is in.
        path: PathBuf,
    },
    /// The configuration ties the unembedding to the embedding, but the file has one of its own that differs.
    #[error("config.json ties the embeddings, but {tensor} in {} differs from the embedding", path.display())]
    TiedDiffers {
        /// Name of the stored unembedding.
        tensor: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// Prepared weights were requested as stored.
    #[error("weights prepared as {profile} are not those of the files: they have to be decoded")]
    NotAsStored {
        /// The requested preparation.
        profile: Profile,
    },
}

impl WeightError {
    /// What helps against this cause; `None` where nothing is known to.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } => return io_remedy(source),
            Self::Zip { source, .. } => source.remedy(),
            Self::Pickle { source, .. } => return source.remedy(),
            Self::NoFiles | Self::Safetensors { .. } => AGAIN,
            // They say what helps.
            Self::Content { .. } | Self::NotAsStored { .. } => return None,
            Self::Duplicate { .. } => "keep one of the two, and list it alone in the index of shards",
            Self::Missing { .. } | Self::Unexpected { .. } | Self::Shape { .. } => {
                "config.json and the weights belong to different models, or a shard is missing: compare both with \
                 their source"
            }
            Self::NoUnembedding { .. } => {
                "is the model tied? Then set \"tie_word_embeddings\": true in its config.json. If it is not, it was \
                 saved without its head: save the GPTNeoXForCausalLM, not the model inside it"
            }
            Self::Empty { .. } => {
                "DeepSpeed ZeRO-3 saved it without gathering the parameters: run `python zero_to_fp32.py` in the \
                 checkpoint's folder, or save with stage3_gather_16bit_weights_on_model_save"
            }
            Self::Quantised { .. } => "use the model before quantisation, or save it after `model.dequantize()`",
            Self::Adapter { .. } => ADAPTER,
            Self::Dtype { .. } => "save it as float32, float16 or bfloat16",
            Self::NotFinite { .. } => {
                "compare the file's hash with its source: if they differ, copy it again; if not, the training diverged"
            }
            Self::TiedDiffers { .. } => {
                "if the model is not tied, set \"tie_word_embeddings\": false in its config.json; if it is, remove \
                 the tensor"
            }
        })
    }
}

/// For files that are damaged.
const AGAIN: &str = "copy or download the file again";

/// For files of an adapter.
pub(crate) const ADAPTER: &str =
    "merge it into its base model, as `model.merge_and_unload().save_pretrained(DIR)` of peft does";

/// For a failure of the system.
pub(crate) fn io_remedy(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some("give yourself the right to read it: `chmod u+r` for a file, `chmod u+rx` for a folder")
        }
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Some(AGAIN),
        _ => None,
    }
}

fn and_others(n: usize) -> String {
    if n == 0 { String::new() } else { format!(", and so are {n} others") }
}
