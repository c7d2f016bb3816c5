//! A run of which activations are kept.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use pythia_core::device::host_ints;
use pythia_core::model::GptNeoX;
use pythia_hooks::{Activation, ActivationCache, Axis, Edit, HookPoint, Intervention, Interventions, Region, Site};

use crate::error::ProbeError;

/// A forward pass over prompts of one length, and what it saw.
#[derive(Clone, Debug)]
pub struct Run {
    tokens: Vec<Vec<u32>>,
    seen: BTreeMap<HookPoint, Activation>,
    /// What was added to the embeddings, `[batch, pos, d_model]`.
    noise: Option<Activation>,
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
        Self::with_noise(model, tokens, points, None)
    }

    /// Runs the prompts with `noise` added to their embeddings, and keeps the activations at `points`.
    ///
    /// # Errors
    /// [`ProbeError::Hook`] for a point that the model lacks, or noise of another shape.
    ///
    /// # Panics
    /// If the prompts differ in length.
    pub(crate) fn with_noise(
        model: &GptNeoX,
        tokens: Vec<Vec<u32>>,
        points: impl IntoIterator<Item = HookPoint>,
        noise: Option<Activation>,
    ) -> Result<Self, ProbeError> {
        let edits = Interventions::new(added(noise.as_ref()), &model.model_shape())?;
        let mut hooks = (edits, ActivationCache::of(points));
        let start = model.embed(model.tokens(&tokens), &mut hooks);
        let end = model.advance(start, model.config().n_layers, &mut hooks).stream;
        let (edits, cache) = hooks;
        edits.finish()?;
        Ok(Run { tokens, seen: cache.finish()?, noise, end })
    }

    /// The edits that make this run of one of its tokens alone.
    pub(crate) fn edits(&self) -> Vec<Intervention> {
        added(self.noise.as_ref())
    }

    /// Token ids of the prompts, `[prompt][pos]`.
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

fn added(noise: Option<&Activation>) -> Vec<Intervention> {
    let add = |noise: &Activation| Intervention {
        point: Site::Embed.at(0),
        region: Region::all(),
        edit: Edit::Add(noise.clone()),
    };
    noise.map(add).into_iter().collect()
}

/// An activation `[batch, pos, …]` as a matrix with a row per token, heads side by side. Rows of a pattern are those of
/// queries: `[batch, head, query, key]` becomes `[batch · query, head · key]`.
pub(crate) fn rows_of(activation: &Activation, site: Site) -> Tensor<2> {
    match activation {
        Activation::Three(tensor) => flat(tensor),
        Activation::Four(tensor) => {
            let queries_second = site.dim_of(Axis::Query) == Some(2);
            let tensor = if queries_second { tensor.clone().swap_dims(1, 2) } else { tensor.clone() };
            let [batch, second, third, fourth] = tensor.dims();
            tensor.reshape([batch * second, third * fourth])
        }
    }
}

/// `[batch, pos, width]` as `[batch · pos, width]`.
pub(crate) fn flat(tensor: &Tensor<3>) -> Tensor<2> {
    let [batch, length, width] = tensor.dims();
    tensor.clone().reshape([batch * length, width])
}

/// Per row, whether two matrices differ there; 0 and −0 are equal.
pub(crate) fn rows_differ(a: Tensor<2>, b: Tensor<2>) -> Result<Vec<bool>, ProbeError> {
    let equal = host_ints(a.equal(b).all_dim(1).int()).map_err(ProbeError::device("a comparison"))?;
    Ok(equal.into_iter().map(|equal| equal == 0).collect())
}
