//! Errors of a checkpoint's files.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Profile;
use super::pytorch::{PickleError, ZipError};

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
    #[error("tensor {tensor} in {} holds {found}, expected F16, BF16 or F32", path.display())]
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

fn and_others(n: usize) -> String {
    if n == 0 { String::new() } else { format!(", and so are {n} others") }
}
