//! The handle of a checkpoint, with methods that read its weights.

use std::collections::BTreeSet;
use std::ops::Range;

use super::directory::Directory;
use super::hashes::Collector;
use super::plan::{self, Job};
use super::{
    Hashes, PartHashes, Profile, RawParams, SomeWeights, StoredWeights, Wanted, WeightError, WeightFiles, fold, job,
    raw, some,
};
use crate::config::NeoxConfig;
use crate::params::{F32Buffer, HostParams, Param};

/// An opened checkpoint: its headers are read, its weights are not. The files stay open, so replacing them on the
/// disk has no effect on this handle.
///
/// ```
/// use std::path::Path;
/// use pythia_core::config::NeoxConfig;
/// use pythia_core::params::Param;
/// use pythia_core::store::{Checkpoints, FolderStore};
/// use pythia_core::weights::{Profile, StoredCheckpoint, Wanted};
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
/// let files = FolderStore::open(Path::new(folder))?.locate(None)?;
/// let config = NeoxConfig::from_json(&std::fs::read_to_string(&files.config)?)?;
/// let checkpoint = StoredCheckpoint::open(&config, &files.weights)?;
///
/// let (params, hashes) = checkpoint.params(&Wanted { unembed: true, profile: Profile::AsPublished })?;
/// // `[vocab, d_model]`.
/// assert_eq!(params[&Param::Embed].shape, [61, 24]);
/// assert_eq!(hashes, checkpoint.hashes()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredCheckpoint {
    config: NeoxConfig,
    directory: Directory,
}

impl StoredCheckpoint {
    /// Opens the files and reads their headers. The methods that read weights compare them with the configuration.
    ///
    /// # Errors
    /// [`WeightError`] names the file that cannot be read or is not a container of weights.
    pub fn open(config: &NeoxConfig, files: &WeightFiles) -> Result<Self, WeightError> {
        Ok(Self { config: config.clone(), directory: Directory::open(files)? })
    }

    /// Decodes the parameters.
    ///
    /// # Errors
    /// [`WeightError`] names the tensor, with what was expected and what was found: a name, a type, a shape, or a value
    /// that is not finite.
    pub fn params(&self, wanted: &Wanted) -> Result<(HostParams, Hashes), WeightError> {
        let Self { config, directory } = self;
        let (mut params, mut hashes) = (HostParams::new(), Collector::default());
        for (name, group, done) in job::in_parallel(self.jobs(wanted)?, |job| job::read(job, config, directory)) {
            let (decoded, fingerprint) = done?;
            hashes.add(name, group, &fingerprint);
            params.extend(decoded);
        }
        if wanted.profile == Profile::Tl2 {
            fold::fold(config, &mut params);
        }
        Ok((params, hashes.finish()))
    }

    /// Copies the weights as stored, for decoding on the device.
    ///
    /// # Errors
    /// Those of [`params`](Self::params), and [`WeightError::NotAsStored`] if a preparation is wanted, which is part
    /// of decoding on the host.
    pub fn raw(&self, wanted: &Wanted) -> Result<(RawParams, Hashes), WeightError> {
        if wanted.profile != Profile::AsPublished {
            return Err(WeightError::NotAsStored { profile: wanted.profile });
        }
        raw::copy_all(self.jobs(wanted)?, &self.config, &self.directory)
    }

    /// Leaves the weights in their files, to be decoded part by part. `known`: the hashes of this checkpoint, if they
    /// are known. The weights are then not read here, so values that are not finite are found when they are decoded.
    ///
    /// # Errors
    /// Those of [`params`](Self::params).
    pub fn streamed(self, wanted: &Wanted, known: Option<Hashes>) -> Result<(StoredWeights, Hashes), WeightError> {
        self.jobs(wanted)?;
        // Streaming needs no buffers of the kept sizes, which would only take up memory.
        F32Buffer::release();
        let hashes = known.map_or_else(|| self.hashes_of(wanted), Ok)?;
        Ok((StoredWeights::new(self.config, self.directory, *wanted), hashes))
    }

    /// Some parameters, as published, to be decoded one by one. Names, types and shapes of all tensors are checked,
    /// but only those that make up `only` are read and hashed. So files that have no other content than these (see
    /// [`ranges`](Self::ranges)) suffice. `known`: the hashes of this checkpoint, at least of these tensors, which
    /// are then not read here.
    ///
    /// # Errors
    /// Those of [`params`](Self::params); values that are not finite only in the tensors that are read.
    pub fn some(
        self,
        only: &BTreeSet<Param>,
        known: Option<&PartHashes>,
    ) -> Result<(SomeWeights, PartHashes), WeightError> {
        let jobs = plan::needed(&self.config, &self.directory, &Wanted::ALL, |param| only.contains(&param))?;
        if some::copy_of_embedding(&self.config, &self.directory, &jobs).is_some() {
            plan::check_tied(&self.config, &self.directory)?;
        }
        let hashes = match known {
            Some(known) => known.of(&self.config, only),
            None => fingerprints(&self.config, jobs, &self.directory)?.finish_part(&self.config),
        };
        Ok((SomeWeights::new(self.config, self.directory, only.clone()), hashes))
    }

    /// The bytes of the tensors that make up some parameters: `(index of the file, range)`, ascending. Only the
    /// headers of safetensors files are read, so a file may consist of its header and a hole up to its full length.
    ///
    /// # Errors
    /// Those of [`params`](Self::params) that a header can show.
    pub fn ranges(&self, only: &BTreeSet<Param>) -> Result<Vec<(usize, Range<u64>)>, WeightError> {
        some::ranges(&self.config, &self.directory, only)
    }

    /// Checks the whole checkpoint as [`params`](Self::params) does and computes its fingerprints in one pass,
    /// without keeping the weights.
    ///
    /// # Errors
    /// Those of [`params`](Self::params).
    pub fn hashes(&self) -> Result<Hashes, WeightError> {
        self.hashes_of(&Wanted::ALL)
    }

    fn hashes_of(&self, wanted: &Wanted) -> Result<Hashes, WeightError> {
        Ok(fingerprints(&self.config, self.jobs(wanted)?, &self.directory)?.finish())
    }

    /// The job of each tensor, after comparing the headers with the configuration.
    fn jobs(&self, wanted: &Wanted) -> Result<Vec<Job<'_>>, WeightError> {
        plan::check_tied(&self.config, &self.directory)?;
        plan::jobs(&self.config, &self.directory, wanted)
    }
}

/// The fingerprints of some stored tensors.
pub(super) fn fingerprints(
    config: &NeoxConfig,
    jobs: Vec<Job>,
    directory: &Directory,
) -> Result<Collector, WeightError> {
    let mut hashes = Collector::default();
    for (name, group, fingerprint) in job::in_parallel(jobs, |job| job::fingerprint(job, config, directory)) {
        hashes.add(name, group, &fingerprint?);
    }
    Ok(hashes)
}
