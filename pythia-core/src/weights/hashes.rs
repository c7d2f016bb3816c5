//! Fingerprints of a checkpoint: of all of its weights, of each group of tensors, and the size of its embedding.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::Job;
use crate::params::Param;

/// Fingerprint of weights: the same for the same tensors in either container, sharded or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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

/// A part of a model whose weights have a fingerprint of their own. Shards hold whole parts but for those at their ends, so a
/// shard that belongs to another step shows as parts that two steps have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The embedding.
    Embed,
    /// The block with this index.
    Block(usize),
    /// The final norm.
    FinalNorm,
    /// The unembedding; a tied model has none.
    Unembed,
}

impl Group {
    /// The group of a parameter.
    pub fn of(param: Param) -> Self {
        match param {
            Param::Embed => Self::Embed,
            Param::Layer(layer, _) => Self::Block(layer),
            Param::FinalNormWeight | Param::FinalNormBias => Self::FinalNorm,
            Param::Unembed | Param::UnembedBias => Self::Unembed,
        }
    }
}

impl fmt::Display for Group {
    /// `embed`, `blocks.3`, `final_norm`, `unembed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.write_str("embed"),
            Self::Block(layer) => write!(f, "blocks.{layer}"),
            Self::FinalNorm => f.write_str("final_norm"),
            Self::Unembed => f.write_str("unembed"),
        }
    }
}

/// What tells one checkpoint from another. It does not depend on the container, on what of the checkpoint was wanted, or on how the
/// weights were prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct Hashes {
    /// Fingerprint of all weights: BLAKE3 over the fingerprints of the tensors in order of their names.
    pub content: ContentHash,
    /// The same of each group: BLAKE3 over the fingerprints of its tensors in order of their names.
    pub groups: BTreeMap<Group, ContentHash>,
    /// Frobenius norm of the embedding as published. It moves slowly and smoothly over training, so a jump says that a checkpoint
    /// is not the one its name promises.
    pub embed_norm: f64,
}

/// Puts the fingerprints of tensors, which must come in order of the tensors' names, together.
#[derive(Default)]
pub(super) struct Collector {
    all: blake3::Hasher,
    groups: BTreeMap<Group, blake3::Hasher>,
    embed_squares: f64,
}

impl Collector {
    pub(super) fn add(&mut self, group: Group, tensor: &Fingerprint) {
        self.all.update(tensor.digest.as_bytes());
        self.groups.entry(group).or_default().update(tensor.digest.as_bytes());
        if group == Group::Embed {
            self.embed_squares = tensor.squares;
        }
    }

    pub(super) fn finish(self) -> Hashes {
        let finish = |hasher: blake3::Hasher| ContentHash(hasher.finalize());
        let groups = self.groups.into_iter().map(|(group, hasher)| (group, finish(hasher))).collect();
        Hashes { content: finish(self.all), groups, embed_norm: self.embed_squares.sqrt() }
    }
}

/// What is known of one stored tensor once it was read.
pub(super) struct Fingerprint {
    /// Of its name, type, shape, and bytes.
    pub digest: blake3::Hash,
    /// The sum of its squared values, where it is stored as it is used.
    pub squares: f64,
}

/// Fingerprint of one stored tensor: of its name, type, shape, and the fingerprint of its bytes.
pub(super) fn digest(job: &Job, bytes: &blake3::Hash) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in [job.name, &job.stored.dtype.to_string()] {
        // Lengths in front keep neighbouring parts apart.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&(job.stored.shape.len() as u64).to_le_bytes());
    for &extent in &job.stored.shape {
        hasher.update(&(extent as u64).to_le_bytes());
    }
    hasher.update(bytes.as_bytes());
    hasher.finalize()
}
