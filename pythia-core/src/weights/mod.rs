//! Checkpoint files → [`HostParams`], and back.
//!
//! Both published formats are read the same way. `directory` lists a container's tensors (safetensors through its own
//! library, PyTorch's `.bin` through the small reader in `pytorch`); `plan` holds names, types and shapes against the
//! configuration; only then does `decode` turn bytes into parameters, straight from the mapped file; `fold` prepares
//! them where asked to; `write` is the way back. Nothing in a file is executed, and no allocation is larger than the
//! configuration's shapes and the file's own size call for.

mod decode;
mod directory;
mod error;
mod fold;
mod hashes;
mod map;
mod plan;
mod pytorch;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::config::NeoxConfig;
use crate::params::{HostParams, HostTensor, Param};

use self::decode::Kind;
use self::directory::Directory;
use self::hashes::{Collector, Fingerprint};
use self::plan::Job;

pub use self::error::WeightError;
pub use self::hashes::{ContentHash, Group, Hashes};
pub use self::pytorch::{PickleError, ZipError};
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
    /// Processed as TransformerLens 2 does by default: the norms' weights are folded into
    /// what reads them, what writes to the residual stream is centred, and so is the unembedding.
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

/// Reads a checkpoint.
///
/// # Errors
/// [`WeightError`] names the file, and the tensor with what was expected and what was found.
pub fn read(config: &NeoxConfig, files: &WeightFiles, wanted: &Wanted) -> Result<(HostParams, Hashes), WeightError> {
    let directory = Directory::open(files)?;
    plan::check_tied(config, &directory)?;
    let mut jobs = plan::jobs(config, &directory, wanted)?;
    // The large ones first, so that no core is left with the embedding at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.stored.len));
    let done: Vec<(&Job, Result<Done, WeightError>)> =
        jobs.par_iter().with_max_len(1).map(|job| (job, run(job, config, &directory))).collect();
    // Back in order of names: the fingerprint needs it, and of several faults always the same one is reported.
    let done: BTreeMap<&str, _> = done.into_iter().map(|(job, done)| (job.name, (job.group, done))).collect();
    let (mut params, mut hashes) = (HostParams::new(), Collector::default());
    for (group, done) in done.into_values() {
        let Done { params: decoded, fingerprint } = done?;
        hashes.add(group, &fingerprint);
        params.extend(decoded);
    }
    if wanted.profile == Profile::Tl2 {
        fold::fold(config, &mut params);
    }
    Ok((params, hashes.finish()))
}

/// What one stored tensor came to.
struct Done {
    params: Vec<(Param, HostTensor)>,
    fingerprint: Fingerprint,
}

fn run(job: &Job, config: &NeoxConfig, directory: &Directory) -> Result<Done, WeightError> {
    let bytes = directory.bytes(job.file, job.stored)?;
    let path = || directory.path(job.file);
    let Some(kind) = Kind::of(job.stored.dtype) else {
        return Err(WeightError::Dtype {
            tensor: job.name.to_owned(),
            found: job.stored.dtype.to_string(),
            path: path(),
        });
    };
    let not_finite =
        |(index, value)| WeightError::NotFinite { tensor: job.name.to_owned(), index, value, path: path() };
    let decode =
        |&target: &(Param, _)| Ok((target.0, decode::decode(target, kind, &bytes, config).map_err(not_finite)?));
    let (digest, decoded) = rayon::join(
        || hashes::digest(job, &blake3::hash(&bytes)),
        || job.targets.iter().map(decode).collect::<Result<Vec<_>, WeightError>>(),
    );
    let decoded = decoded?;
    let squares = decoded.iter().map(|(_, decoded)| decoded.squares).sum();
    let params = decoded.into_iter().map(|(param, decoded)| (param, decoded.tensor)).collect();
    Ok(Done { params, fingerprint: Fingerprint { digest, squares } })
}

#[cfg(test)]
mod tests;
