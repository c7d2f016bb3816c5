//! What the tests of probes share.

use burn::tensor::{DType, Device};
use pythia_core::config::{NeoxConfig, Rotary, Variant};
use pythia_core::model::GptNeoX;
use pythia_core::params::{HostParams, HostTensor, Param};

/// The shape of [`model`]: 2 layers, 2 heads, 64 positions, and 24 embeddings.
pub(crate) fn config() -> NeoxConfig {
    NeoxConfig {
        n_layers: 2,
        d_model: 16,
        n_heads: 2,
        d_mlp: 32,
        vocab_size: 24,
        n_ctx: 64,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 4, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

/// The parameters of [`model`]: waves, so that no two rows are alike.
pub(crate) fn params(unembed: bool) -> HostParams {
    let config = config();
    let mut params = HostParams::new();
    for (which, param) in Param::all(&config).into_iter().enumerate() {
        let shape = param.shape(&config);
        let wave = |index: usize| ((index * 37 + which * 101) as f32 * 0.7).sin();
        let values = (0..shape.iter().product()).map(wave).collect();
        if unembed || param != Param::Unembed {
            params.insert(param, HostTensor { shape, values });
        }
    }
    params
}

/// A small model whose weights follow a fixed pattern.
pub(crate) fn model(unembed: bool) -> GptNeoX {
    GptNeoX::from_params(config(), params(unembed), &Device::flex(), DType::F32)
}
