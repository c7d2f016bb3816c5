//! Checkpoint files → [`HostParams`](crate::params::HostParams), and back.
//!
//! [`StoredCheckpoint`] is the handle: it is opened once, and its methods read it whole or in part. Both published
//! formats are read the same way, in these steps, one module each:
//!
//! 1. `directory` lists a container's tensors: safetensors through its own library, PyTorch's `.bin` through the
//!    small reader in `pytorch`.
//! 2. `plan` compares names, types and shapes with the configuration.
//! 3. `decode` turns bytes of the mapped files into parameters. `fold` prepares them if wanted.
//! 4. `hashes` computes fingerprints of the weights.
//!
//! `stored` decodes part by part, `some` single tensors without reading the others, and `raw` leaves decoding to the
//! device. `write` writes a checkpoint. Nothing in a file is executed, and allocations are bounded by the shapes of
//! the configuration and the size of the file.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::path::Path;
//! use pythia_core::params::Param;
//! use pythia_core::weights::{Group, Profile, StoredCheckpoint, Wanted, WeightError, WeightFiles};
//!
//! let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel"));
//! let config = pythia_core::load::read_config(&folder.join("config.json"))?;
//! let files = WeightFiles::Safetensors(vec![folder.join("model.safetensors")]);
//! let whole = StoredCheckpoint::open(&config, &files)?.hashes()?;
//!
//! // One parameter, without reading the others: the embedding, `[vocab, d_model]`.
//! let only = BTreeSet::from([Param::Embed]);
//! let (some, hashes) = StoredCheckpoint::open(&config, &files)?.some(&only, None)?;
//! assert_eq!(some.param(Param::Embed)?.shape, [61, 24]);
//! assert_eq!(hashes.groups[&Group::Embed], whole.groups[&Group::Embed]);
//! assert!(hashes.content.is_none());
//!
//! // Part by part: a block, prepared as TransformerLens does by default.
//! let wanted = Wanted { unembed: true, profile: Profile::Tl2 };
//! let (stored, _) = StoredCheckpoint::open(&config, &files)?.streamed(&wanted, Some(whole))?;
//! assert_eq!(stored.block(1)?.len(), 16);
//!
//! let missing = WeightFiles::Pytorch(vec![folder.join("pytorch_model.bin")]);
//! assert!(matches!(StoredCheckpoint::open(&config, &missing), Err(WeightError::Io { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod decode;
mod directory;
mod error;
mod fold;
mod hashes;
mod job;
mod map;
mod names;
mod plan;
mod pytorch;
mod raw;
mod some;
mod stored;
mod tensor_kind;
mod write;

use std::fmt;
use std::path::PathBuf;

pub use self::checkpoint::StoredCheckpoint;
pub use self::error::WeightError;
pub(crate) use self::error::{ADAPTER, io_remedy};
pub use self::hashes::{ContentHash, Group, Hashes, PartHashes};
pub use self::pytorch::{PickleError, ZipError};
pub use self::raw::RawParams;
pub(crate) use self::raw::RawTensor;
pub use self::some::{SomeWeights, stored_bytes};
pub use self::stored::StoredWeights;
pub use self::write::to_safetensors;

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

/// Which weights of a checkpoint are wanted. Others are checked by name, type and shape, and not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Decode the unembedding.
    pub unembed: bool,
    /// How the weights are prepared.
    pub profile: Profile,
}

impl Wanted {
    /// Everything that a checkpoint holds, as published.
    pub(crate) const ALL: Self = Self { unembed: true, profile: Profile::AsPublished };
}

/// How weights are prepared before use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// As published.
    #[default]
    AsPublished,
    /// Processed as TransformerLens 2 does by default: the norms' weights are folded into the matrices that read
    /// them, and the matrices that write to the residual stream are centred, as is the unembedding.
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

#[cfg(test)]
pub(crate) mod tests;
