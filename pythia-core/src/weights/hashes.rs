//! Fingerprints of a checkpoint: of all of its weights, of each group of tensors, and the size of its embedding.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::plan::Job;
use crate::config::NeoxConfig;
use crate::params::{EMBED, Param};

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

/// A part of a model that has a fingerprint. A shard that belongs to another step shows as equal fingerprints of some
/// parts in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The token embedding, `embed_in`.
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

/// The fingerprints of a checkpoint. They do not depend on the container, on which weights were wanted, or on their
/// preparation.
#[derive(Clone, Debug, PartialEq)]
pub struct Hashes {
    /// Fingerprint of all weights: BLAKE3 over the fingerprints of the tensors in order of their names.
    pub content: ContentHash,
    /// The same of each group: BLAKE3 over the fingerprints of its tensors in order of their names.
    pub groups: BTreeMap<Group, ContentHash>,
    /// Fingerprint of each stored tensor by its name, with the group it counts towards.
    pub tensors: BTreeMap<String, (Group, ContentHash)>,
    /// Frobenius norm of the embedding as published. It changes slowly and smoothly over training, so a jump
    /// indicates the weights of another step.
    pub embed_norm: f64,
}

/// The fingerprints of a checkpoint of which only some tensors were read. Tensors that were not read have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartHashes {
    /// Fingerprint of all weights, if all were read.
    pub content: Option<ContentHash>,
    /// Fingerprints of the groups that were read whole; the same as those of the whole checkpoint.
    pub groups: BTreeMap<Group, ContentHash>,
    /// Fingerprint of each stored tensor that was read.
    pub tensors: BTreeMap<String, (Group, ContentHash)>,
    /// Frobenius norm of the embedding, if it was read.
    pub embed_norm: Option<f64>,
}

impl From<Hashes> for PartHashes {
    fn from(hashes: Hashes) -> Self {
        let Hashes { content, groups, tensors, embed_norm } = hashes;
        Self { content: Some(content), groups, tensors, embed_norm: Some(embed_norm) }
    }
}

impl PartHashes {
    /// The fingerprints of some parameters alone, as if nothing else had been read.
    pub fn of(&self, config: &NeoxConfig, only: &BTreeSet<Param>) -> Self {
        let names: BTreeSet<String> = only.iter().filter_map(|param| stored_name(*param, config)).collect();
        let tensors = self.tensors.iter().filter(|(name, _)| names.contains(*name));
        let tensors: BTreeMap<_, _> = tensors.map(|(name, tensor)| (name.clone(), *tensor)).collect();
        let embed_norm = self.embed_norm.filter(|_| tensors.contains_key(EMBED));
        Self::put_together(tensors, embed_norm, config)
    }

    /// Adds the fingerprints of groups and of the whole to those of single tensors.
    fn put_together(
        tensors: BTreeMap<String, (Group, ContentHash)>,
        embed_norm: Option<f64>,
        config: &NeoxConfig,
    ) -> Self {
        let (mut content, mut groups) = (Some(blake3::Hasher::new()), BTreeMap::<Group, Option<blake3::Hasher>>::new());
        // A tied unembedding has no tensor of its own and counts towards nothing.
        let all =
            Param::all(config).into_iter().filter_map(|param| Some((param.stored(config)?.name, Group::of(param))));
        for (name, group) in all.collect::<BTreeMap<_, _>>() {
            let read = tensors.get(&name).map(|(_, digest)| digest);
            extend(&mut content, read);
            extend(groups.entry(group).or_insert_with(|| Some(blake3::Hasher::new())), read);
        }
        let groups = groups.into_iter().filter_map(|(group, hasher)| Some((group, finish(&hasher?))));
        Self { content: content.as_ref().map(finish), groups: groups.collect(), tensors, embed_norm }
    }
}

impl fmt::Display for PartHashes {
    /// A JSON object of the groups by name, and of the tensors by name whose group was not read whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.groups.iter().map(|(group, hash)| format!("\"{group}\":\"{hash}\""));
        let loose = self.tensors.iter().filter(|(_, (group, _))| !self.groups.contains_key(group));
        // Names of tensors need no escapes.
        let loose = loose.map(|(name, (_, hash))| format!("\"{name}\":\"{hash}\""));
        write!(f, "{{{}}}", groups.chain(loose).collect::<Vec<_>>().join(","))
    }
}

/// Adds a tensor. If one was not read, there is no fingerprint of the whole.
fn extend(hasher: &mut Option<blake3::Hasher>, tensor: Option<&ContentHash>) {
    match tensor {
        None => *hasher = None,
        Some(tensor) => hasher.iter_mut().for_each(|hasher| {
            hasher.update(tensor.0.as_bytes());
        }),
    }
}

fn finish(hasher: &blake3::Hasher) -> ContentHash {
    ContentHash(hasher.finalize())
}

/// The stored tensor that a parameter is made of; a tied unembedding is made of the embedding.
fn stored_name(param: Param, config: &NeoxConfig) -> Option<String> {
    let source = if param == Param::Unembed && config.variant.tied_embeddings { Param::Embed } else { param };
    source.stored(config).map(|stored| stored.name)
}

/// Collects the fingerprints of tensors.
#[derive(Default)]
pub(super) struct Collector {
    tensors: BTreeMap<String, (Group, ContentHash)>,
    embed_squares: Option<f64>,
}

impl Collector {
    pub(super) fn add(&mut self, name: &str, group: Group, tensor: &Fingerprint) {
        self.tensors.insert(name.to_owned(), (group, ContentHash(tensor.digest)));
        if group == Group::Embed {
            self.embed_squares = Some(tensor.squares);
        }
    }

    /// The hashes of a checkpoint every tensor of which was added.
    pub(super) fn finish(self) -> Hashes {
        let (mut all, mut groups) = (blake3::Hasher::new(), BTreeMap::<Group, blake3::Hasher>::new());
        for (group, digest) in self.tensors.values() {
            all.update(digest.0.as_bytes());
            groups.entry(*group).or_default().update(digest.0.as_bytes());
        }
        let groups = groups.iter().map(|(group, hasher)| (*group, finish(hasher))).collect();
        let embed_norm = self.embed_squares.unwrap_or(0.0).sqrt();
        Hashes { content: finish(&all), groups, tensors: self.tensors, embed_norm }
    }

    /// The hashes of what was added.
    pub(super) fn finish_part(self, config: &NeoxConfig) -> PartHashes {
        PartHashes::put_together(self.tensors, self.embed_squares.map(f64::sqrt), config)
    }
}

/// The fingerprint of one stored tensor.
pub(super) struct Fingerprint {
    /// Of its name, type, shape, and bytes.
    pub digest: blake3::Hash,
    /// The sum of its squared values, if it is stored as it is used.
    pub squares: f64,
}

/// Fingerprint of one stored tensor: of its name, type, shape, and the fingerprint of its bytes.
pub(super) fn digest(job: &Job, bytes: &blake3::Hash) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in [job.name, &job.stored.dtype.to_string()] {
        // Lengths keep neighbouring parts apart.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&(job.stored.shape.len() as u64).to_le_bytes());
    for &extent in &job.stored.shape {
        hasher.update(&(extent as u64).to_le_bytes());
    }
    hasher.update(bytes.as_bytes());
    hasher.finalize()
}
