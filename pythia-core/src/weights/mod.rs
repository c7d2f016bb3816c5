//! Checkpoint files → [`HostParams`], and back.
//!
//! Both published formats are read the same way: the container's directory is parsed and checked first
//! ([`safetensors`](self::safetensors_file), [`pytorch`](self::pytorch_file)), every tensor's name, type and shape is
//! held against the configuration ([`plan`]), and only then are values decoded, straight from the mapped file
//! ([`decode`]). Nothing in a file is executed, and nothing is allocated beyond what the configuration's shapes need.

use std::fmt;
use std::path::PathBuf;

use crate::config::NeoxConfig;
use crate::params::HostParams;

mod error;
mod pytorch;

pub use error::WeightError;

/// The files that hold the weights of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightFiles {
    /// One `.safetensors` file, or all of its shards.
    Safetensors(Vec<PathBuf>),
    /// One PyTorch `.bin` file (a zip of a pickle and raw members), or all of its shards.
    Pytorch(Vec<PathBuf>),
}

impl WeightFiles {
    /// The files, in the order they are read.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Safetensors(paths) | Self::Pytorch(paths) => paths,
        }
    }
}

/// What of a checkpoint is wanted. What is not wanted is checked by name, type and shape, and not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Decode the unembedding.
    pub unembed: bool,
    /// How the weights are prepared.
    pub profile: Profile,
}

/// How weights are prepared before use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// As published.
    #[default]
    AsPublished,
    /// Processed as TransformerLens 2 does by default: see [`fold`](self::fold).
    Tl2,
}

impl Profile {
    /// The name in configuration files and result tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsPublished => "as_published",
            Self::Tl2 => "tl2",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Fingerprint of a checkpoint's weights: the same for the same tensors in either container, sharded or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentHash(blake3::Hash);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// [`WeightError`] names the file, and the tensor with what was expected and what was found.
pub fn read(
    config: &NeoxConfig,
    files: &WeightFiles,
    wanted: &Wanted,
) -> Result<(HostParams, ContentHash), WeightError> {
    let _ = (config, files, wanted);
    todo!()
}

/// The bytes of a `model.safetensors` with these parameters under their published names, in f32.
pub fn to_safetensors(config: &NeoxConfig, params: &HostParams) -> Vec<u8> {
    let _ = (config, params);
    todo!()
}
