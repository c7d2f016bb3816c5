//! Everything that decides what training produces: two equal recipes give the same bytes on one machine and device.

use pythia_core::config::{NeoxConfig, Rotary, Variant};
use serde::{Deserialize, Serialize};

use super::adamw::AdamWConfig;
use super::task::Task;

/// Steps that the published suite keeps before its regular grid: 0 and the powers of two up to 512.
const EARLY_STEPS: [u32; 11] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Checkpoints on the regular grid, as many as the published suite has.
const REGULAR_STEPS: u32 = 143;

/// A complete description of one training run. It is written beside the checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Decides the initial parameters, the bigram table and every batch.
    pub(crate) seed: u64,
    /// Sizes of the model.
    pub(crate) shape: Shape,
    /// Where the sequences come from.
    pub(crate) task: Task,
    /// Sequences per step.
    pub(crate) batch: usize,
    /// The optimiser and its rate.
    pub(crate) optimiser: AdamWConfig,
    /// Distance of two checkpoints on the regular grid, in steps.
    pub(crate) every: u32,
}

/// Sizes of the model; vocabulary and context come from the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    /// Blocks. Induction needs two: one head writes the previous token, a later one looks for it.
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) d_model: usize,
    /// Attention heads per block.
    pub(crate) heads: usize,
    /// Width of the MLP.
    pub(crate) d_mlp: usize,
    /// Longest sequence that the model is declared to take.
    pub(crate) context: usize,
}

impl Default for Recipe {
    /// The recipe of the suite `nano`: 1,940 steps of 2,048 tokens.
    fn default() -> Self {
        Self {
            seed: 0,
            shape: Shape { layers: 2, d_model: 64, heads: 4, d_mlp: 256, context: 128 },
            task: Task::default(),
            batch: 32,
            optimiser: AdamWConfig::default(),
            every: 10,
        }
    }
}

impl Recipe {
    /// Tokens that one step trains on.
    pub(crate) fn tokens_per_step(&self) -> u64 {
        self.batch as u64 * self.task.length as u64
    }

    /// The 154 steps at which a checkpoint is kept, ascending: 0, 1, 2, 4 … 512, then the next 143 multiples of
    /// `every`. A label is the number of updates made before it, as in the published suite.
    pub(crate) fn steps(&self) -> Vec<u32> {
        let last_early = EARLY_STEPS[EARLY_STEPS.len() - 1];
        let first = last_early / self.every + 1;
        let regular = (first..first + REGULAR_STEPS).map(|k| k * self.every);
        EARLY_STEPS.into_iter().chain(regular).collect()
    }

    /// The model that is trained. Every dimension of a head rotates: with few dimensions a quarter of them, as in the
    /// published models, leaves too little for a head to find the previous position.
    pub(crate) fn config(&self) -> NeoxConfig {
        NeoxConfig {
            n_layers: self.shape.layers,
            d_model: self.shape.d_model,
            n_heads: self.shape.heads,
            d_mlp: self.shape.d_mlp,
            vocab_size: self.task.vocab as usize,
            n_ctx: self.shape.context,
            layer_norm_eps: 1e-5,
            rotary: Rotary { ndims: self.shape.d_model / self.shape.heads, base: 10_000.0 },
            variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_the_shape_of_the_published_one() {
        let steps = Recipe::default().steps();
        assert_eq!(steps.len(), 154);
        assert_eq!(steps[..12], [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 520]);
        assert_eq!(steps.last(), Some(&1940));
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
        // The published grid itself is the same rule with a distance of 1000.
        let published = Recipe { every: 1000, ..Recipe::default() }.steps();
        assert_eq!(published[10..13], [512, 1000, 2000]);
        assert_eq!(published.last(), Some(&143_000));
    }

    #[test]
    fn a_recipe_survives_json() {
        let recipe = Recipe { seed: 7, ..Recipe::default() };
        let text = serde_json::to_string(&recipe).expect("a recipe is plain data");
        assert_eq!(serde_json::from_str::<Recipe>(&text).expect("its own JSON"), recipe);
        assert!(serde_json::from_str::<Recipe>(&text.replace("\"seed\"", "\"sede\"")).is_err());
    }

    #[test]
    fn the_model_is_small_and_complete() {
        let config = Recipe::default().config();
        assert_eq!(config.d_head() * config.n_heads, config.d_model);
        assert_eq!(NeoxConfig::from_json(&config.to_json()).expect("its own JSON"), config);
    }
}
