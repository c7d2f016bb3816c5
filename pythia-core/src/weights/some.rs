//! Some tensors of a checkpoint: all headers are checked, and only the requested tensors are read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::directory::{Directory, StoredTensor};
use super::plan::{self, Job};
use super::{Wanted, WeightError, job};
use crate::config::NeoxConfig;
use crate::params::{EMBED, HostTensor, Param, UNEMBED};

/// Some parameters of an opened checkpoint, as published, decoded one by one on request. The files stay open, so
/// replacing them on the disk has no effect.
#[derive(Debug)]
pub struct SomeWeights {
    config: NeoxConfig,
    directory: Directory,
    only: BTreeSet<Param>,
}

/// The bytes of the tensors that make up some parameters.
pub(super) fn ranges(
    config: &NeoxConfig,
    directory: &Directory,
    only: &BTreeSet<Param>,
) -> Result<Vec<(usize, Range<u64>)>, WeightError> {
    let jobs = plan::needed(config, directory, &Wanted::ALL, |param| only.contains(&param))?;
    let copy = copy_of_embedding(config, directory, &jobs);
    let tensors = jobs.iter().map(|job| (job.file, job.stored)).chain(copy);
    let range = |(file, stored): (usize, &StoredTensor)| (file, stored.offset..stored.offset + stored.len as u64);
    let mut ranges: Vec<_> = tensors.map(range).collect();
    ranges.sort_by_key(|(file, range)| (*file, range.start));
    Ok(ranges)
}

/// Bytes of the stored tensors that make up some parameters, with values of `width` bytes.
pub fn stored_bytes(config: &NeoxConfig, only: &BTreeSet<Param>, width: u64) -> u64 {
    let stored = only.iter().filter_map(|param| match param {
        Param::Unembed if config.variant.tied_embeddings => Param::Embed.stored(config),
        param => param.stored(config),
    });
    // Query, key and value are in one tensor, which counts once.
    let sizes: BTreeMap<String, u64> =
        stored.map(|stored| (stored.name, stored.shape.iter().product::<usize>() as u64)).collect();
    sizes.values().sum::<u64>() * width
}

impl SomeWeights {
    /// Parameters of files whose headers match the configuration.
    pub(super) fn new(config: NeoxConfig, directory: Directory, only: BTreeSet<Param>) -> Self {
        Self { config, directory, only }
    }

    /// The model's configuration.
    pub fn config(&self) -> &NeoxConfig {
        &self.config
    }

    /// One of the parameters that were opened, in the layout the model computes with.
    ///
    /// # Errors
    /// A file that became shorter, and a value that is not finite.
    ///
    /// # Panics
    /// If the parameter was not opened: its bytes may not be there.
    pub fn param(&self, param: Param) -> Result<HostTensor, WeightError> {
        assert!(self.only.contains(&param), "{param} was not opened");
        let jobs = plan::needed(&self.config, &self.directory, &Wanted::ALL, |other| other == param)?;
        let decoded = jobs.first().map(|job| job::decode(job, &self.config, &self.directory)).transpose()?;
        let tensor = decoded.and_then(|tensors| tensors.into_iter().next());
        Ok(tensor.unwrap_or_else(|| unreachable!("{param} is stored nowhere")).1)
    }
}

/// The copy of the embedding in the files of a tied model, if the embedding is read. The two are compared.
pub(super) fn copy_of_embedding<'a>(
    config: &NeoxConfig,
    directory: &'a Directory,
    jobs: &[Job],
) -> Option<(usize, &'a StoredTensor)> {
    let read = config.variant.tied_embeddings && jobs.iter().any(|job| job.name == EMBED);
    directory.tensors.get(UNEMBED).filter(|_| read).map(|(file, stored)| (*file, stored))
}
