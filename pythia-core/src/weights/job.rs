//! One stored tensor: decoded, fingerprinted, or both.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::decode::{self, Decoding};
use super::directory::Directory;
use super::hashes::{self, Fingerprint};
use super::plan::Job;
use super::tensor_kind::{self, NotFinite, TensorKind};
use super::{Group, WeightError};
use crate::config::NeoxConfig;
use crate::params::{F32Buffer, HostTensor, Param};

/// Approximate bytes of a tensor that are mapped at a time. Mapped pages of a file count as memory of the process.
/// In tests the small tensors come in many windows too.
const WINDOW: usize = if cfg!(test) { 4096 } else { 32 << 20 };

/// A window has a multiple of so many rows, unless the layout needs another number.
const ROWS: usize = 32;

/// The parameters of one stored tensor.
type Params = Vec<(Param, HostTensor)>;

/// Decodes a tensor and takes its fingerprint.
pub(super) fn read(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
) -> Result<(Params, Fingerprint), WeightError> {
    let mut hasher = blake3::Hasher::new();
    let targets = decode_with(job, config, directory, Some(&mut hasher))?;
    let squares = targets.iter().map(|target| target.squares).sum();
    let digest = hashes::digest(job, &hasher.finalize());
    Ok((targets.into_iter().map(Decoding::finish).collect(), Fingerprint { digest, squares }))
}

/// Decodes a tensor.
pub(super) fn decode(job: &Job, config: &NeoxConfig, directory: &Directory) -> Result<Params, WeightError> {
    let targets = decode_with(job, config, directory, None)?;
    Ok(targets.into_iter().map(Decoding::finish).collect())
}

/// Decodes a tensor, and hashes its bytes if there is a hasher.
fn decode_with(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
    mut hasher: Option<&mut blake3::Hasher>,
) -> Result<Vec<Decoding>, WeightError> {
    let mut targets: Vec<Decoding> = job.targets.iter().map(|&target| Decoding::new(target, config)).collect();
    windows(job, config, directory, |kind, bytes, first| {
        let take = |target: &mut Decoding| target.take(kind, bytes, first, config);
        let (_, finite) = rayon::join(
            || hasher.iter_mut().for_each(|hasher| _ = hasher.update(bytes)),
            || targets.iter_mut().map(take).fold(true, |a, b| a & b),
        );
        finite
    })?;
    Ok(targets)
}

/// Copies a tensor's bytes and takes its fingerprint.
pub(super) fn copy(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
    to: &mut [u8],
) -> Result<Fingerprint, WeightError> {
    let (mut hasher, mut squares) = (blake3::Hasher::new(), 0.0);
    windows(job, config, directory, |kind, bytes, first| {
        let to = &mut to[first * width(job) * kind.size()..][..bytes.len()];
        let (_, finite) = rayon::join(|| _ = hasher.update(bytes), || tensor_kind::copy(kind, bytes, to));
        if job.group == Group::Embed {
            tensor_kind::add_squares(kind, bytes, width(job), &mut squares);
        }
        finite
    })?;
    Ok(Fingerprint { digest: hashes::digest(job, &hasher.finalize()), squares })
}

/// Takes a tensor's fingerprint without decoding it. In a wanted tensor, a value that is not finite is an error, as
/// in decoding.
pub(super) fn fingerprint(job: &Job, config: &NeoxConfig, directory: &Directory) -> Result<Fingerprint, WeightError> {
    let (mut hasher, mut squares) = (blake3::Hasher::new(), 0.0);
    windows(job, config, directory, |kind, bytes, _| {
        hasher.update(bytes);
        if job.group == Group::Embed {
            tensor_kind::add_squares(kind, bytes, width(job), &mut squares);
        }
        job.targets.is_empty() || tensor_kind::is_finite(kind, bytes)
    })?;
    Ok(Fingerprint { digest: hashes::digest(job, &hasher.finalize()), squares })
}

/// Calls `take` for all parts of a tensor in order, with its type, some whole rows, and the index of the first of
/// them. `take` returns whether all values are finite.
fn windows(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
    mut take: impl FnMut(TensorKind, &[u8], usize) -> bool,
) -> Result<(), WeightError> {
    let kind = kind(job, directory)?;
    let row = width(job) * kind.size();
    let unit = job.targets.iter().map(|&(_, layout)| Decoding::unit(layout, config)).max().unwrap_or(1);
    let unit = row * if unit == 1 { ROWS } else { unit };
    let window = (WINDOW / unit.max(1)).max(1) * unit;
    for start in (0..job.stored.len).step_by(window.max(1)) {
        let bytes = directory.window(job.file, job.stored, start, window.min(job.stored.len - start))?;
        if !take(kind, &bytes, start / row) {
            let (index, value) = tensor_kind::first_special(kind, &bytes);
            return Err(not_finite(job, directory, (start / kind.size() + index, value)));
        }
    }
    Ok(())
}

/// Values of a row; a vector is one row.
fn width(job: &Job) -> usize {
    job.stored.shape.last().copied().unwrap_or(1)
}

/// Some rows of a tensor that is stored row by row, `[rows, width]`: only their own bytes are read.
pub(super) fn rows(job: &Job, ids: &[u32], directory: &Directory) -> Result<F32Buffer, WeightError> {
    let bytes = directory.bytes(job.file, job.stored)?;
    let rows = decode::rows(kind(job, directory)?, &bytes, width(job), ids);
    rows.map_err(|found| not_finite(job, directory, found))
}

/// The type that a tensor is stored in.
pub(super) fn kind(job: &Job, directory: &Directory) -> Result<TensorKind, WeightError> {
    TensorKind::of(job.stored.dtype).ok_or_else(|| WeightError::Dtype {
        tensor: job.name.to_owned(),
        found: job.stored.dtype.to_string(),
        path: directory.path(job.file),
    })
}

fn not_finite(job: &Job, directory: &Directory, (index, value): NotFinite) -> WeightError {
    WeightError::NotFinite { tensor: job.name.to_owned(), index, value, path: directory.path(job.file) }
}

/// Runs the jobs on all cores. The results are in order of the tensors' names, which the fingerprint needs. Of
/// several errors the first in that order is returned.
pub(super) fn in_parallel<'a, T: Send>(
    mut jobs: Vec<Job<'a>>,
    run: impl Fn(&Job) -> T + Send + Sync,
) -> impl Iterator<Item = (&'a str, Group, T)> {
    // The largest first, so that no core begins the embedding last.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.stored.len));
    let done: Vec<T> = jobs.par_iter().with_max_len(1).map(run).collect();
    let by_name = jobs.into_iter().zip(done).map(|(job, done)| (job.name, (job.group, done)));
    by_name.collect::<BTreeMap<_, _>>().into_iter().map(|(name, (group, done))| (name, group, done))
}
