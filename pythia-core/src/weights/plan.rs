//! Compares the tensors of the files with the configuration, before any value is decoded.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::directory::{Directory, StoredTensor};
use super::{Group, Wanted, WeightError};
use crate::config::NeoxConfig;
use crate::params::{EMBED, Layout, Param, UNEMBED, is_legacy_buffer};

/// One stored tensor and the parameters that are decoded from it. An unwanted tensor gives no parameter and is read
/// for the fingerprint only.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub name: &'a str,
    /// The group of its fingerprint.
    pub group: Group,
    pub file: usize,
    pub stored: &'a StoredTensor,
    pub targets: Vec<(Param, Layout)>,
}

/// The stored tensors of the configuration, in order of their names.
pub(super) fn jobs<'a>(
    config: &NeoxConfig,
    directory: &'a Directory,
    wanted: &Wanted,
) -> Result<Vec<Job<'a>>, WeightError> {
    let mut expected = expected(config, wanted);
    let mut jobs = Vec::with_capacity(expected.len());
    for (name, (file, stored)) in &directory.tensors {
        let tied_copy = config.variant.tied_embeddings && name == UNEMBED;
        if is_legacy_buffer(name, config) || tied_copy {
            continue;
        }
        let path = || directory.path(*file);
        let Some(Expected { shape, group, targets }) = expected.remove(name) else {
            return Err(WeightError::Unexpected { tensor: name.clone(), found: stored.shape.clone(), path: path() });
        };
        if stored.shape != shape {
            let found = stored.shape.clone();
            return Err(WeightError::Shape { tensor: name.clone(), expected: shape, found, path: path() });
        }
        if !matches!(stored.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32) {
            let found = stored.dtype.to_string();
            return Err(WeightError::Dtype { tensor: name.clone(), found, path: path() });
        }
        jobs.push(Job { name, group, file: *file, stored, targets });
    }
    let others = expected.len().saturating_sub(1);
    match expected.into_iter().next() {
        None => Ok(jobs),
        Some((tensor, Expected { shape: expected, .. })) => {
            Err(WeightError::Missing { tensor, expected, others, found: directory.tensors.len() })
        }
    }
}

/// The stored tensors that make up the parameters for which `which` holds, and of the targets of each those parameters
/// alone.
pub(super) fn needed<'a>(
    config: &NeoxConfig,
    directory: &'a Directory,
    wanted: &Wanted,
    which: impl Fn(Param) -> bool,
) -> Result<Vec<Job<'a>>, WeightError> {
    let mut jobs = jobs(config, directory, wanted)?;
    jobs.iter_mut().for_each(|job| job.targets.retain(|&(param, _)| which(param)));
    jobs.retain(|job| !job.targets.is_empty());
    Ok(jobs)
}

/// A tensor that the configuration requires.
struct Expected {
    shape: Vec<usize>,
    group: Group,
    targets: Vec<(Param, Layout)>,
}

fn expected(config: &NeoxConfig, wanted: &Wanted) -> BTreeMap<String, Expected> {
    let mut expected = BTreeMap::new();
    for param in Param::all(config) {
        let Some(stored) = param.stored(config) else { continue };
        let new = || Expected { shape: stored.shape, group: Group::of(param), targets: Vec::new() };
        let of_name = expected.entry(stored.name).or_insert_with(new);
        if param != Param::Unembed || wanted.unembed {
            of_name.targets.push((param, stored.layout));
        }
    }
    if config.variant.tied_embeddings
        && wanted.unembed
        && let Some(embed) = expected.get_mut(EMBED)
    {
        embed.targets.push((Param::Unembed, Layout::Transposed));
    }
    expected
}

/// A tied model may come with a copy of its embedding under the unembedding's name; it must be a copy.
pub(super) fn check_tied(config: &NeoxConfig, directory: &Directory) -> Result<(), WeightError> {
    let (Some(embed), Some(unembed)) = (directory.tensors.get(EMBED), directory.tensors.get(UNEMBED)) else {
        return Ok(());
    };
    if !config.variant.tied_embeddings {
        return Ok(());
    }
    let like = |t: &StoredTensor| (t.dtype, t.shape.clone());
    let same_kind = like(&embed.1) == like(&unembed.1);
    if same_kind && directory.bytes(embed.0, &embed.1)?[..] == directory.bytes(unembed.0, &unembed.1)?[..] {
        return Ok(());
    }
    Err(WeightError::TiedDiffers { tensor: UNEMBED.to_owned(), path: directory.path(unembed.0) })
}
