//! Checkpoint files → [`HostParams`], and back.
//!
//! Both published formats are read the same way. `directory` lists a container's tensors (safetensors through its own
//! library, PyTorch's `.bin` through the small reader in `pytorch`); `plan` holds names, types and shapes against the
//! configuration; only then does `decode` turn bytes into parameters, straight from the mapped file; `fold` prepares
//! them where asked to; `stored` does so part by part, when a part is asked for, and `some` tensor by tensor without reading the others;
//! `raw` leaves all of that to the device; `write` is the way back. Nothing in a file is executed, and no allocation is larger than the configuration's shapes and the file's
//! own size call for.

mod decode;
mod directory;
mod error;
mod fold;
mod hashes;
mod job;
mod kind;
mod map;
mod plan;
mod pytorch;
mod raw;
mod some;
mod stored;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::config::NeoxConfig;
use crate::params::{F32Buffer, HostParams};

use self::directory::Directory;
use self::hashes::Collector;
use self::plan::Job;

pub use self::error::WeightError;
pub use self::hashes::{ContentHash, Group, Hashes, PartHashes};
pub use self::pytorch::{PickleError, ZipError};
pub(crate) use self::raw::RawTensor;
pub use self::raw::{RawParams, read_raw};
pub use self::some::{SomeWeights, open_some, ranges, stored_bytes};
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
    let jobs = plan::jobs(config, &directory, wanted)?;
    let (mut params, mut hashes) = (HostParams::new(), Collector::default());
    for (name, group, done) in in_parallel(jobs, |job| job::read(job, config, &directory)) {
        let (decoded, fingerprint) = done?;
        hashes.add(name, group, &fingerprint);
        params.extend(decoded);
    }
    if wanted.profile == Profile::Tl2 {
        fold::fold(config, &mut params);
    }
    Ok((params, hashes.finish()))
}

/// Checks a whole checkpoint as [`read`] does and takes its fingerprints, in one pass over the files that keeps nothing of them.
///
/// # Errors
/// Those of [`read`].
pub fn hashes(config: &NeoxConfig, files: &WeightFiles) -> Result<Hashes, WeightError> {
    let everything = Wanted { unembed: true, profile: Profile::AsPublished };
    hashes_of(config, &Directory::open(files)?, &everything)
}

/// Opens a checkpoint to be decoded part by part. The files stay open, so it does not matter if their names come to mean other
/// files. `known`: what [`read`], [`hashes`] or this function has said of the very same files; they are then not read here, neither
/// for fingerprints nor in search of values that are not finite, which surface when they are decoded.
///
/// # Errors
/// Those of [`read`].
pub fn open(
    config: &NeoxConfig,
    files: &WeightFiles,
    wanted: &Wanted,
    known: Option<Hashes>,
) -> Result<(StoredWeights, Hashes), WeightError> {
    let directory = Directory::open(files)?;
    plan::check_tied(config, &directory)?;
    plan::jobs(config, &directory, wanted)?;
    // Nothing of the kind comes now that was dropped before.
    F32Buffer::release();
    let hashes = known.map_or_else(|| hashes_of(config, &directory, wanted), Ok)?;
    Ok((StoredWeights::new(config.clone(), directory, *wanted), hashes))
}

fn hashes_of(config: &NeoxConfig, directory: &Directory, wanted: &Wanted) -> Result<Hashes, WeightError> {
    plan::check_tied(config, directory)?;
    Ok(fingerprints(config, plan::jobs(config, directory, wanted)?, directory)?.finish())
}

/// The fingerprints of some stored tensors.
fn fingerprints(config: &NeoxConfig, jobs: Vec<Job>, directory: &Directory) -> Result<Collector, WeightError> {
    let mut hashes = Collector::default();
    for (name, group, fingerprint) in in_parallel(jobs, |job| job::fingerprint(job, config, directory)) {
        hashes.add(name, group, &fingerprint?);
    }
    Ok(hashes)
}

/// Does the jobs on all cores. What they came to is in order of the tensors' names: the fingerprint needs it, and of several
/// faults always the same one is reported.
fn in_parallel<'a, T: Send>(
    mut jobs: Vec<Job<'a>>,
    run: impl Fn(&Job) -> T + Send + Sync,
) -> impl Iterator<Item = (&'a str, Group, T)> {
    // The large ones first, so that no core is left with the embedding at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.stored.len));
    let done: Vec<T> = jobs.par_iter().with_max_len(1).map(run).collect();
    let by_name = jobs.into_iter().zip(done).map(|(job, done)| (job.name, (job.group, done)));
    by_name.collect::<BTreeMap<_, _>>().into_iter().map(|(name, (group, done))| (name, group, done))
}

#[cfg(test)]
pub(crate) mod tests;
