//! Compares the tensors of the files with the configuration, before any value is decoded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::directory::{Directory, StoredTensor};
use super::names::{self, Extra};
use super::tensor_kind::TensorKind;
use super::{Group, Wanted, WeightError};
use crate::config::NeoxConfig;
use crate::params::{EMBED, Layout, Param, UNEMBED};

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
        let path = || directory.path(*file);
        match expected.remove(name) {
            Some(Expected { shape, group, targets }) => {
                check(name, stored, shape, &path)?;
                jobs.push(Job { name, group, file: *file, stored, targets });
            }
            None if config.variant.tied_embeddings && name == UNEMBED => {}
            None => check_extra(name, stored, config, &path)?,
        }
    }
    let others = expected.len().saturating_sub(1);
    match expected.into_iter().next() {
        None => Ok(jobs),
        Some((tensor, _)) if tensor == UNEMBED && others == 0 => Err(WeightError::NoUnembedding { tensor }),
        Some((tensor, Expected { shape: expected, .. })) => {
            Err(WeightError::Missing { tensor, expected, others, found: directory.tensors.len() })
        }
    }
}

/// A tensor that the configuration calls for must hold floats in the right shape.
fn check(
    name: &str,
    stored: &StoredTensor,
    expected: Vec<usize>,
    path: &impl Fn() -> PathBuf,
) -> Result<(), WeightError> {
    let (tensor, found) = (|| name.to_owned(), stored.dtype);
    if names::is_quantised(found) {
        return Err(WeightError::Quantised { tensor: tensor(), found: found.to_string(), path: path() });
    }
    if stored.shape != expected {
        // A configuration has no extent of 0.
        return Err(match stored.shape.contains(&0) {
            true => WeightError::Empty { tensor: tensor(), expected, path: path() },
            false => WeightError::Shape { tensor: tensor(), expected, found: stored.shape.clone(), path: path() },
        });
    }
    if TensorKind::of(found).is_none() {
        return Err(WeightError::Dtype { tensor: tensor(), found: found.to_string(), path: path() });
    }
    Ok(())
}

/// A tensor that the configuration does not call for may be a buffer, and nothing else.
fn check_extra(
    name: &str,
    stored: &StoredTensor,
    config: &NeoxConfig,
    path: &impl Fn() -> PathBuf,
) -> Result<(), WeightError> {
    let (tensor, path) = (|| name.to_owned(), || path());
    Err(match Extra::of(name, stored, config) {
        Extra::Buffer => return Ok(()),
        Extra::Quantised => WeightError::Quantised { tensor: tensor(), found: stored.dtype.to_string(), path: path() },
        Extra::Adapter => WeightError::Adapter { tensor: tensor(), path: path() },
        Extra::Unknown => WeightError::Unexpected { tensor: tensor(), found: stored.shape.clone(), path: path() },
    })
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
