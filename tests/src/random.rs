//! Random configurations and parameters.

use burn::tensor::DType;
use proptest::prelude::*;
use pythia_core::{
    config::{NeoxConfig, Rotary, Variant},
    model::GptNeoX,
    params::{HostParams, HostTensor, Param},
};

use crate::backend;

/// Small configurations of every variant: widths that are no powers of two, all rotary shares, tied or not.
pub fn configs() -> impl Strategy<Value = NeoxConfig> {
    let sizes = (1usize..4, 1usize..5, 1usize..5, 1usize..20, 3usize..40);
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<prop::sample::Index>());
    (sizes, switches).prop_map(|((layers, heads, half, mlp, vocab), (parallel, tied, bias, rotary))| NeoxConfig {
        n_layers: layers,
        d_model: heads * half * 2,
        n_heads: heads,
        d_mlp: mlp,
        vocab_size: vocab,
        n_ctx: 32,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 2 * (1 + rotary.index(half)), base: 10_000.0 },
        variant: Variant { parallel_residual: parallel, tied_embeddings: tied, attention_bias: bias },
    })
}

/// Parameters that differ everywhere and keep activations near one, from a seed.
pub fn params(config: &NeoxConfig, seed: u64) -> HostParams {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut params: HostParams = Param::all(config)
        .into_iter()
        .map(|param| {
            let shape = param.shape(config);
            let scale = 1.5 / (shape[0] as f32).sqrt();
            let values = (0..shape.iter().product()).map(|_| scale * uniform(&mut state)).collect();
            (param, HostTensor { shape, values })
        })
        .collect();
    if config.variant.tied_embeddings {
        let embed = params[&Param::Embed].clone();
        params.insert(Param::Unembed, transposed(&embed));
    }
    params
}

/// A model with [`params`].
pub fn model(config: &NeoxConfig, seed: u64) -> GptNeoX {
    GptNeoX::from_params(config.clone(), params(config, seed), &backend::device(), DType::F32)
}

/// A number between −1.7 and 1.7, so of variance about one, from a 64-bit xorshift.
fn uniform(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.7
}

fn transposed(tensor: &HostTensor) -> HostTensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
    let values = (0..columns).flat_map(|c| (0..rows).map(move |r| tensor.values[r * columns + c])).collect();
    HostTensor { shape: vec![columns, rows], values }
}

/// Token rows within the vocabulary.
pub fn tokens(config: &NeoxConfig, batch: usize, length: usize, seed: u64) -> Vec<Vec<i64>> {
    let mut state = seed.wrapping_add(77) | 1;
    let mut next =
        || (((uniform(&mut state) / 3.4 + 0.5) * config.vocab_size as f32) as i64).min(config.vocab_size as i64 - 1);
    (0..batch).map(|_| (0..length).map(|_| next()).collect()).collect()
}
