//! The GPT-NeoX transformer, in stages: [`GptNeoX::embed`] → [`GptNeoX::advance`] → [`GptNeoX::unembed`],
//! with [`GptNeoX::resume`], [`GptNeoX::forward`] and [`GptNeoX::observe`] made of them.
//!
//! Each formula has a file: `block` (parallel and sequential residual), `attention`, `rotary`, `norm`, `mlp`,
//! `linear`, and `kernels` for elementwise loops that are slow on the CPU backend. `weights` gives access to the
//! weights in memory or, through `streamed`, in their files.
//!
//! ```
//! use pythia_core::device;
//! use pythia_core::model::{GptNeoX, Residual};
//!
//! let model = GptNeoX::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel"), &device::cpu())?;
//! let tokens = model.tokens(&[vec![5, 8, 13, 21]]);
//! // The logit lens: the stream after the first block, `[batch, pos, d_model]`, to logits `[batch, pos, vocab]`.
//! let after: Residual = model.advance(model.embed(tokens, &mut ()), 1, &mut ());
//! assert_eq!((after.layer, after.stream.dims()), (1, [1, 4, 24]));
//! assert_eq!(model.unembed(after, &mut ()).dims(), [1, 4, 61]);
//! # Ok::<(), pythia_core::load::LoadError>(())
//! ```

mod attention;
mod block;
#[doc(hidden)] // Public for the benchmarks alone.
pub mod kernels;
mod linear;
mod mlp;
mod norm;
mod parameters;
mod raw;
mod rotary;
mod rows;
mod streamed;
mod swap;
mod weights;

use burn::tensor::{DType, Device, Int, Tensor};
use pythia_hooks::{ActivationCache, HookError, Hooks, ModelShape, Site, points_of, select};

use crate::{config::NeoxConfig, device::ints};
use norm::LayerNorm;
use weights::Weights;

pub use parameters::ParamMut;
#[doc(hidden)] // Public for the benchmarks alone.
pub use rotary::RotaryTable;
pub use rows::{Lookup, RowBlock};
pub use streamed::ReadAhead;

/// The residual stream between two blocks.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The block that reads the stream next; `n_layers` when only the final norm is left.
    pub layer: usize,
    /// The stream, `[batch, pos, d_model]`.
    pub stream: Tensor<3>,
}

/// A GPT-NeoX language model, ready to run.
///
/// With weights of a half type, products with them are computed in that type, and everything else (stream, norms,
/// rotary angles, scores, patterns, logits) in float32. So activations are float32 or, in a float64 model, float64.
/// Methods do not check their input: token ids must be below `vocab_size` and sequences at most `n_ctx` long.
#[derive(Clone, Debug)]
pub struct GptNeoX {
    config: NeoxConfig,
    weights: Weights,
    ln_final: LayerNorm,
    rotary: RotaryTable,
}

impl GptNeoX {
    /// The model's configuration.
    pub fn config(&self) -> &NeoxConfig {
        &self.config
    }

    /// The sizes that determine the hook points of the model and the shapes of their activations.
    pub fn model_shape(&self) -> ModelShape {
        self.config.model_shape()
    }

    /// The device of the weights, where inputs must be.
    pub fn device(&self) -> Device {
        self.ln_final.weight.device()
    }

    /// The number type of activations.
    pub fn dtype(&self) -> DType {
        self.ln_final.weight.dtype()
    }

    /// Token ids as a tensor on the model's device, `[batch, pos]`.
    ///
    /// # Panics
    /// If the rows differ in length.
    pub fn tokens(&self, rows: &[Vec<u32>]) -> Tensor<2, Int> {
        let length = rows.first().map_or(0, Vec::len);
        assert!(rows.iter().all(|row| row.len() == length), "the rows of a batch have one length");
        ints(rows.iter().flatten().map(|&id| id as usize), [rows.len(), length], &self.device())
    }

    /// Looks the tokens up. `tokens`: `[batch, pos]`, ids below `vocab_size`.
    pub fn embed(&self, tokens: Tensor<2, Int>, hooks: &mut impl Hooks) -> Residual {
        let [batch, pos] = tokens.dims();
        let rows = self.embeddings(tokens.reshape([batch * pos]));
        let stream = rows.reshape([batch, pos, self.config.d_model]);
        Residual { layer: 0, stream: fire(hooks, Site::Embed.at(0), stream) }
    }

    /// Runs the blocks from the one that reads `from` up to, not including, block `to`.
    ///
    /// # Panics
    /// If `to` is greater than the number of blocks.
    pub fn advance(&self, from: Residual, to: usize, hooks: &mut impl Hooks) -> Residual {
        let mut stream = from.stream;
        for layer in from.layer..to {
            stream = self.block(layer).forward(layer, stream, &self.rotary, hooks);
        }
        Residual { layer: to.max(from.layer), stream }
    }

    /// Final layer norm and logits, `[batch, pos, vocab]`, of a stream at any depth: at the last layer this is
    /// the model's output, earlier it is the logit lens.
    ///
    /// # Panics
    /// If the model was loaded without its unembedding.
    pub fn unembed(&self, from: Residual, hooks: &mut impl Hooks) -> Tensor<3> {
        let unembed = self.unembedding();
        let normalized =
            self.ln_final.forward(from.stream, [Site::FinalScale.at(0), Site::FinalNormalized.at(0)], hooks);
        let [batch, pos, d_model] = normalized.dims();
        let logits = normalized.reshape([batch * pos, d_model]).matmul(unembed.weight.clone());
        let logits = match &unembed.bias {
            Some(bias) => logits + bias.clone().unsqueeze(),
            None => logits,
        };
        logits.reshape([batch, pos, self.config.vocab_size])
    }

    /// The rest of the run, from a stream at any depth to the logits.
    pub fn resume(&self, from: Residual, hooks: &mut impl Hooks) -> Tensor<3> {
        let last = self.advance(from, self.config.n_layers, hooks);
        self.unembed(last, hooks)
    }

    /// Tokens `[batch, pos]` to logits `[batch, pos, vocab]`.
    pub fn forward(&self, tokens: Tensor<2, Int>, hooks: &mut impl Hooks) -> Tensor<3> {
        let start = self.embed(tokens, hooks);
        self.resume(start, hooks)
    }

    /// The logits `[batch, pos, vocab]`, and the activations of the hook points that `names` select: full names, short
    /// ones such as `z.-1`, or globs. To keep a part of each activation, or to edit the run, give
    /// [`forward`](Self::forward) an [`ActivationCache`] of your own.
    ///
    /// ```
    /// use pythia_core::{device, model::GptNeoX};
    ///
    /// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
    /// let model = GptNeoX::load(folder, &device::cpu())?;
    /// let (logits, cache) = model.run_with_cache(&["z", "resid_post.-1"], model.tokens(&[vec![5, 8, 13, 21]]))?;
    /// assert_eq!(logits.dims(), [1, 4, 61]);
    /// // `[batch, pos, head, d_head]`.
    /// assert_eq!(cache.get_named::<4>("z.0", &model.model_shape())?.dims(), [1, 4, 3, 8]);
    /// assert!(model.run_with_cache(&["zz"], model.tokens(&[vec![5]])).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`select`]: a name that matches nothing in this model.
    pub fn run_with_cache(
        &self,
        names: &[&str],
        tokens: Tensor<2, Int>,
    ) -> Result<(Tensor<3>, ActivationCache), HookError> {
        let model_shape = self.model_shape();
        let mut points = Vec::new();
        for name in names {
            points.extend(select(name, &model_shape)?);
        }
        let mut cache = ActivationCache::of(points);
        let logits = self.forward(tokens, &mut cache);
        Ok((logits, cache))
    }

    /// Runs up to the last wanted hook point, without logits. A probe of attention patterns computes neither the last
    /// block's values nor its MLP nor the unembedding.
    pub fn observe(&self, tokens: Tensor<2, Int>, hooks: &mut impl Hooks) {
        let Some(last) = points_of(&self.model_shape()).into_iter().rfind(|&point| hooks.wants(point)) else {
            return;
        };
        let start = self.embed(tokens, hooks);
        match last.layer() {
            Some(layer) => {
                let before = self.advance(start, layer, hooks);
                self.block(layer).observe(layer, before.stream, &self.rotary, last.site(), hooks);
            }
            None if last.site() == Site::Embed => {}
            None => {
                let end = self.advance(start, self.config.n_layers, hooks);
                self.ln_final.forward(end.stream, [Site::FinalScale.at(0), Site::FinalNormalized.at(0)], hooks);
            }
        }
    }
}

/// Passes an activation to the hooks if they want it.
fn fire<const D: usize>(hooks: &mut impl Hooks, point: pythia_hooks::HookPoint, value: Tensor<D>) -> Tensor<D> {
    if hooks.wants(point) { hooks.at(point, value) } else { value }
}
