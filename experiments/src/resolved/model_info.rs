//! Model info: shape and vocabulary, from the files of a model or as it was published.

use std::path::PathBuf;

use pythia_core::config::{ConfigFile, NeoxConfig, Rotary, Variant};
use pythia_core::load::read_config_file;
use pythia_core::store::{Checkpoints, StoreError};
use pythia_core::suite::{ModelId, Step, suite};
use pythia_core::tokenizer::Tokenizer;

use crate::config::ModelInfoError;

/// The token ids of a model, without padding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vocabulary {
    /// Number of ids that are not padding.
    pub(crate) size: usize,
    /// Hash of the tokenizer's file, where the model has one.
    pub(crate) tokenizer_hash: Option<String>,
}

/// The shape and the tokenizer of the first chosen checkpoint whose files can be read.
///
/// # Errors
/// [`ModelInfoError`]: the configuration or the tokenizer cannot be read, or no chosen checkpoint has files.
pub(crate) fn shape(
    store: &dyn Checkpoints,
    steps: &[Option<Step>],
) -> Result<(ConfigFile, Option<Tokenizer>), ModelInfoError> {
    let mut first_error = None;
    for step in steps {
        match described(store, *step) {
            Ok((file, tokenizer)) => return Ok((file, tokenizer.map(read_tokenizer).transpose()?)),
            // The checkpoint is a cell that fails.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    if let Some(id) = store.suite_id()
        && !matches!(first_error, Some(ModelInfoError::Config(_)))
    {
        return Ok((ConfigFile { config: published_shape(id), unknown_keys: Vec::new() }, None));
    }
    // A choice of steps is never empty, so some error was met.
    Err(first_error.unwrap_or_else(|| StoreError::NoFolder { dir: PathBuf::from(store.model()) }.into()))
}

fn described(store: &dyn Checkpoints, step: Option<Step>) -> Result<(ConfigFile, Option<PathBuf>), ModelInfoError> {
    let files = store.describe(step)?;
    Ok((read_config_file(&files.config)?, files.tokenizer))
}

fn read_tokenizer(path: PathBuf) -> Result<Tokenizer, ModelInfoError> {
    Ok(Tokenizer::from_file(&path)?)
}

/// The published shape of a model of the suite, for a plan before anything is fetched.
pub(crate) fn published_shape(id: ModelId) -> NeoxConfig {
    let shape = id.info().shape;
    NeoxConfig {
        n_layers: shape.n_layers,
        d_model: shape.d_model,
        n_heads: shape.n_heads,
        d_mlp: shape.d_mlp,
        vocab_size: shape.vocab_size,
        n_ctx: suite().n_ctx(),
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: shape.rotary_ndims, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

/// The ids of its tokenizer; without one those of the suite's tokenizer for a model of the suite, else all.
pub(crate) fn vocabulary(config: &NeoxConfig, tokenizer: Option<&Tokenizer>, suite_id: Option<ModelId>) -> Vocabulary {
    let of_suite = suite_id.map(|_| suite().tokenizer_ids());
    let ids = tokenizer.map(Tokenizer::n_ids).or(of_suite).unwrap_or(config.vocab_size);
    Vocabulary { size: ids.min(config.vocab_size), tokenizer_hash: tokenizer.map(Tokenizer::content_hash) }
}
