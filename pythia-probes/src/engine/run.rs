//! A run of which activations are kept.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use pythia_core::device::ints;
use pythia_core::model::GptNeoX;
use pythia_hooks::{Activation, ActivationCache, HookPoint};

use crate::error::ProbeError;

/// A forward pass over prompts of one length, and what it saw.
#[derive(Clone, Debug)]
pub struct Run {
    tokens: Vec<Vec<u32>>,
    seen: BTreeMap<HookPoint, Activation>,
    /// The stream after the last block, `[batch, pos, d_model]`.
    end: Tensor<3>,
}

impl Run {
    /// Runs the prompts and keeps the activations at `points`.
    ///
    /// # Errors
    /// [`ProbeError::Hook`] for a point that the model lacks.
    ///
    /// # Panics
    /// If the prompts differ in length.
    pub fn of(
        model: &GptNeoX,
        tokens: Vec<Vec<u32>>,
        points: impl IntoIterator<Item = HookPoint>,
    ) -> Result<Self, ProbeError> {
        let mut cache = ActivationCache::of(points);
        let start = model.embed(model.tokens(&tokens), &mut cache);
        let end = model.advance(start, model.config().n_layers, &mut cache).stream;
        Ok(Run { tokens, seen: cache.finish()?, end })
    }

    /// The prompts.
    pub fn tokens(&self) -> &[Vec<u32>] {
        &self.tokens
    }

    /// Number of prompts.
    pub fn batch(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of each prompt.
    pub fn length(&self) -> usize {
        self.tokens.first().map_or(0, Vec::len)
    }

    /// The activation at a point, if it was kept.
    pub fn get(&self, point: HookPoint) -> Option<&Activation> {
        self.seen.get(&point)
    }

    /// Everything that was kept.
    pub fn seen(&self) -> &BTreeMap<HookPoint, Activation> {
        &self.seen
    }

    /// The stream after the last block, `[batch, pos, d_model]`.
    pub fn end(&self) -> &Tensor<3> {
        &self.end
    }
}

/// Rows of a matrix, by index.
pub(crate) fn select(table: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
    table.clone().select(0, ints(rows.iter().copied(), [rows.len()], &table.device()))
}
