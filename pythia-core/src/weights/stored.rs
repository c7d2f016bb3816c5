//! A checkpoint whose weights stay in its files. Parts of it are decoded on request.

use rayon::prelude::*;

use super::directory::Directory;
use super::plan::{self, Job};
use super::{Profile, Wanted, WeightError, fold, job};
use crate::config::NeoxConfig;
use crate::params::{HostParams, HostTensor, Layout, Param};

/// An opened checkpoint whose parts are decoded on request. Its files have been checked and stay open, so replacing
/// them on the disk has no effect.
#[derive(Debug)]
pub struct StoredWeights {
    config: NeoxConfig,
    directory: Directory,
    wanted: Wanted,
}

/// The parameters that folding the unembedding needs.
const UNEMBED: [Param; 3] = [Param::FinalNormWeight, Param::FinalNormBias, Param::Unembed];

impl StoredWeights {
    /// Weights of files that match the configuration.
    pub(super) fn new(config: NeoxConfig, directory: Directory, wanted: Wanted) -> Self {
        Self { config, directory, wanted }
    }

    /// The model's configuration.
    pub fn config(&self) -> &NeoxConfig {
        &self.config
    }

    /// Whether the unembedding was wanted.
    pub(crate) fn has_unembed(&self) -> bool {
        self.wanted.unembed
    }

    /// The parameters of one block, prepared as they were wanted.
    ///
    /// # Errors
    /// A file that became shorter, and a value that is not finite.
    pub fn block(&self, layer: usize) -> Result<HostParams, WeightError> {
        let mut params = self.decode(|param| matches!(param, Param::Layer(at, _) if at == layer))?;
        if self.wanted.profile == Profile::Tl2 {
            fold::fold_block(&self.config, &mut params, layer);
        }
        Ok(params)
    }

    /// The final norm's weight and bias.
    ///
    /// # Errors
    /// As for [`block`](Self::block).
    pub(crate) fn final_norm(&self) -> Result<HostParams, WeightError> {
        let mut params = self.decode(|param| UNEMBED[..2].contains(&param))?;
        if self.wanted.profile == Profile::Tl2 {
            fold::fold_unembed(&self.config, &mut params);
        }
        Ok(params)
    }

    /// The unembedding, with a bias if the preparation gives it one; empty if it was not wanted.
    ///
    /// # Errors
    /// As for [`block`](Self::block).
    pub fn unembed(&self) -> Result<HostParams, WeightError> {
        if self.wanted.profile == Profile::AsPublished {
            return self.decode(|param| param == Param::Unembed);
        }
        let mut params = self.decode(|param| UNEMBED.contains(&param))?;
        fold::fold_unembed(&self.config, &mut params);
        params.retain(|param, _| !UNEMBED[..2].contains(param));
        Ok(params)
    }

    /// The embeddings of some tokens, `[token, d]`.
    ///
    /// # Errors
    /// As for [`block`](Self::block).
    ///
    /// # Panics
    /// If an id is beyond the vocabulary.
    pub(crate) fn embed_rows(&self, ids: &[u32]) -> Result<HostTensor, WeightError> {
        let jobs = self.jobs(|param| param == Param::Embed)?;
        let values = job::rows(single(&jobs), ids, &self.directory)?;
        let mut rows = HostTensor { shape: vec![ids.len(), self.config.d_model], values };
        if self.wanted.profile == Profile::Tl2 {
            fold::center_embedding(&mut rows);
        }
        Ok(rows)
    }

    /// The columns of the unembedding that belong to some tokens, `[d, token]`; `None` if it was not wanted, or if
    /// the preparation mixes all columns, so that a few cannot be decoded without the others.
    ///
    /// # Errors
    /// As for [`block`](Self::block).
    ///
    /// # Panics
    /// If an id is beyond the vocabulary.
    pub(crate) fn unembed_columns(&self, ids: &[u32]) -> Result<Option<HostTensor>, WeightError> {
        if !self.wanted.unembed || self.wanted.profile == Profile::Tl2 {
            return Ok(None);
        }
        let jobs = self.jobs(|param| param == Param::Unembed)?;
        // The files keep the unembedding row by row, one row for each token.
        let rows = job::rows(single(&jobs), ids, &self.directory)?;
        let (d, n) = (self.config.d_model, ids.len());
        let values = (0..d * n).map(|at| rows[at % n * d + at / n]).collect();
        Ok(Some(HostTensor { shape: vec![d, n], values }))
    }

    /// Asks the system to read a block's bytes ahead. It takes no memory of this process.
    pub(crate) fn expect_block(&self, layer: usize) {
        // On an error the bytes are read when they are needed.
        let jobs = self.jobs(|param| matches!(param, Param::Layer(at, _) if at == layer)).unwrap_or_default();
        jobs.iter().for_each(|job| self.directory.expect(job.file, job.stored));
    }

    fn decode(&self, which: impl Fn(Param) -> bool) -> Result<HostParams, WeightError> {
        let mut jobs = self.jobs(which)?;
        jobs.sort_by_key(|job| std::cmp::Reverse(job.stored.len));
        let decoded: Vec<_> =
            jobs.par_iter().with_max_len(1).map(|job| job::decode(job, &self.config, &self.directory)).collect();
        let mut params = HostParams::new();
        for decoded in decoded {
            params.extend(decoded?);
        }
        Ok(params)
    }

    /// The stored tensors that make up some parameters, and only those targets of each.
    fn jobs(&self, which: impl Fn(Param) -> bool) -> Result<Vec<Job<'_>>, WeightError> {
        plan::needed(&self.config, &self.directory, &self.wanted, which)
    }
}

/// The one tensor that holds a parameter whose rows are stored whole.
fn single<'a, 'b>(jobs: &'b [Job<'a>]) -> &'b Job<'a> {
    match jobs {
        [job] if matches!(job.targets[..], [(_, Layout::AsIs | Layout::Transposed)]) => job,
        _ => unreachable!("embedding and unembedding lie in one tensor each"),
    }
}
