//! Helpers of several test modules.

use std::path::{Path, PathBuf};

use crate::config::{NeoxConfig, Rotary, Variant};
use crate::params::{HostParams, HostTensor, Param};

#[path = "../hub/src/testing.rs"]
mod temp_dir;

pub(crate) use temp_dir::TempDir;

/// The folder of goldens: `PYTHIA_SHARED`, or `shared` beside the repository. Tests that need it are ignored by
/// default.
pub(crate) fn shared() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let dir = std::env::var_os("PYTHIA_SHARED").map_or(beside, PathBuf::from);
    assert!(dir.is_dir(), "there is no folder {}: set PYTHIA_SHARED to the folder of goldens", dir.display());
    dir
}

/// A committed fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A model in which no two extents are equal and none is a round number of tiles.
pub(crate) fn odd_config() -> NeoxConfig {
    NeoxConfig {
        n_layers: 2,
        d_model: 70,
        n_heads: 5,
        d_mlp: 131,
        vocab_size: 97,
        n_ctx: 64,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 4, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

/// Parameters whose values differ from one another and are exact in every stored type: small multiples of 1/16 (bf16
/// has eight bits of precision).
pub(crate) fn exact_params(config: &NeoxConfig) -> HostParams {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) as f32 - 127.5).trunc() / 16.0
    };
    let mut params = HostParams::new();
    for param in Param::all(config) {
        let shape = param.shape(config);
        let values = (0..shape.iter().product()).map(|_| next()).collect();
        params.insert(param, HostTensor { shape, values });
    }
    if config.variant.tied_embeddings {
        let embed = params[&Param::Embed].values.clone();
        let (d, v) = (config.d_model, config.vocab_size);
        let values = (0..d * v).map(|at| embed[at % v * d + at / v]).collect();
        params.insert(Param::Unembed, HostTensor { shape: vec![d, v], values });
    }
    params
}
