//! One stored tensor: decoded, fingerprinted, or both.

use super::decode::{self, Decoded, Kind, NotFinite};
use super::directory::Directory;
use super::hashes::{self, Fingerprint};
use super::plan::Job;
use super::{Group, WeightError};
use crate::config::NeoxConfig;
use crate::params::{Floats, HostTensor, Param};

/// Bytes of a tensor that are mapped at a time where it is read from front to back: whole runs of every stored type.
const WINDOW: usize = 32 << 20;

/// What one stored tensor came to.
type Params = Vec<(Param, HostTensor)>;

/// Decodes a tensor and takes its fingerprint.
pub(super) fn read(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
) -> Result<(Params, Fingerprint), WeightError> {
    let bytes = directory.bytes(job.file, job.stored)?;
    let (digest, decoded) =
        rayon::join(|| hashes::digest(job, &blake3::hash(&bytes)), || decode_bytes(job, &bytes, config, directory));
    let decoded = decoded?;
    let squares = decoded.iter().map(|(_, decoded)| decoded.squares).sum();
    Ok((tensors(decoded), Fingerprint { digest, squares }))
}

/// Decodes a tensor.
pub(super) fn decode(job: &Job, config: &NeoxConfig, directory: &Directory) -> Result<Params, WeightError> {
    let bytes = directory.bytes(job.file, job.stored)?;
    Ok(tensors(decode_bytes(job, &bytes, config, directory)?))
}

fn tensors(decoded: Vec<(Param, Decoded)>) -> Params {
    decoded.into_iter().map(|(param, decoded)| (param, decoded.tensor)).collect()
}

fn decode_bytes(
    job: &Job,
    bytes: &[u8],
    config: &NeoxConfig,
    directory: &Directory,
) -> Result<Vec<(Param, Decoded)>, WeightError> {
    let kind = kind(job, directory)?;
    let decode = |&target: &(Param, _)| {
        let decoded = decode::decode(target, kind, bytes, config);
        Ok((target.0, decoded.map_err(|found| not_finite(job, directory, found))?))
    };
    job.targets.iter().map(decode).collect()
}

/// Some rows of a tensor that is stored row by row, `[rows, width]`: only their own bytes are read.
pub(super) fn rows(job: &Job, ids: &[u32], directory: &Directory) -> Result<Floats, WeightError> {
    let width = job.stored.shape.last().copied().unwrap_or(0);
    let bytes = directory.bytes(job.file, job.stored)?;
    let rows = decode::rows(kind(job, directory)?, &bytes, width, ids);
    rows.map_err(|found| not_finite(job, directory, found))
}

/// Takes a tensor's fingerprint, a window at a time, so that little of the file is mapped. A value that is not finite is an error, as
/// it is where tensors are decoded.
pub(super) fn fingerprint(job: &Job, directory: &Directory) -> Result<Fingerprint, WeightError> {
    let kind = kind(job, directory)?;
    let (mut hasher, mut squares) = (blake3::Hasher::new(), 0.0);
    for start in (0..job.stored.len).step_by(WINDOW) {
        let bytes = directory.window(job.file, job.stored, start, WINDOW.min(job.stored.len - start))?;
        hasher.update(&bytes);
        let finite = decode::check(kind, &bytes);
        finite.map_err(|(index, value)| not_finite(job, directory, (start / kind.size() + index, value)))?;
        if job.group == Group::Embed {
            decode::add_squares(kind, &bytes, &mut squares);
        }
    }
    Ok(Fingerprint { digest: hashes::digest(job, &hasher.finalize()), squares })
}

fn kind(job: &Job, directory: &Directory) -> Result<Kind, WeightError> {
    Kind::of(job.stored.dtype).ok_or_else(|| WeightError::Dtype {
        tensor: job.name.to_owned(),
        found: job.stored.dtype.to_string(),
        path: directory.path(job.file),
    })
}

fn not_finite(job: &Job, directory: &Directory, (index, value): NotFinite) -> WeightError {
    WeightError::NotFinite { tensor: job.name.to_owned(), index, value, path: directory.path(job.file) }
}
