//! Rotary position embedding (Su et al. 2021), as GPT-NeoX applies it: to the first `ndims` dimensions of
//! each head, in halves `(x[..n/2], x[n/2..])`, not in adjacent pairs.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{kernels, parameters::activations_in};
use crate::config::NeoxConfig;

/// Cosines and sines for every position.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    /// `[n_ctx, ndims / 2]`.
    pub cos: Tensor<2>,
    /// `[n_ctx, ndims / 2]`.
    pub sin: Tensor<2>,
    /// Number of a head's dimensions that rotate.
    pub ndims: usize,
}

impl RotaryTable {
    /// Angles are computed in float32 as the published model's code does, whatever the weights' dtype; a
    /// float64 model gets float64 angles.
    pub fn new(config: &NeoxConfig, device: &Device, dtype: DType) -> Self {
        let half = config.rotary.ndims / 2;
        let angles = angles(config, dtype == DType::F64);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f64> = angles.iter().map(|&angle| f(angle)).collect();
            Tensor::from_data(TensorData::new(values, [config.n_ctx, half]), (device, activations_in(dtype)))
        };
        RotaryTable { cos: table(f64::cos), sin: table(f64::sin), ndims: config.rotary.ndims }
    }

    /// Turns queries or keys, `[batch, pos, head, d_head]`, by their positions, the first of which is 0.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        if self.ndims == 0 { x } else { kernels::rotate(x, self) }
    }
}

/// `angle[pos, j] = pos · base^(−2j/ndims)`, rounded to float32 at the steps where the published code rounds.
fn angles(config: &NeoxConfig, exact: bool) -> Vec<f64> {
    let (ndims, half) = (config.rotary.ndims, config.rotary.ndims / 2);
    let angle = |pos: usize, j: usize| {
        let exponent = (2 * j) as f64 / ndims as f64;
        if exact {
            return pos as f64 / config.rotary.base.powf(exponent);
        }
        let inv_freq = 1.0 / (config.rotary.base as f32).powf(exponent as f32);
        f64::from(pos as f32 * inv_freq)
    };
    (0..config.n_ctx).flat_map(|pos| (0..half).map(move |j| angle(pos, j))).collect()
}
