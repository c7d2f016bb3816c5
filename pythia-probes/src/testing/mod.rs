//! What the tests of probes share.

pub(crate) mod causal;

use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::{DType, Device};
use pythia_core::config::{NeoxConfig, Rotary, Variant};
use pythia_core::device::{Backend, Compute, DeviceName};
use pythia_core::model::GptNeoX;
use pythia_core::params::{HostParams, HostTensor, Param};
use pythia_core::tokenizer::Tokenizer;

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

/// A tokenizer of five words and no merges: `a`, `b`, `c`, a space, and the first byte of a longer character.
pub(crate) fn letters() -> Tokenizer {
    let json = r#"{
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": {"<": 0, "a": 1, "b": 2, "c": 3, "Ġ": 4, "Ã": 5}, "merges": []}
    }"#;
    Tokenizer::from_bytes(json.as_bytes()).expect("a tokenizer")
}

/// Where the engines are tested: the device that `PYTHIA_TEST_DEVICE` names, else the CPU. One that is named must be
/// there.
fn compute() -> &'static Compute {
    static COMPUTE: OnceLock<Compute> = OnceLock::new();
    COMPUTE.get_or_init(|| {
        let name = std::env::var("PYTHIA_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
        let open = || name.parse::<DeviceName>()?.open();
        open().unwrap_or_else(|error| panic!("PYTHIA_TEST_DEVICE: {error}"))
    })
}

/// The device of [`compute`].
pub(crate) fn device() -> Device {
    compute().device.clone()
}

/// Whether there is float64, which only the CPU has.
pub(crate) fn has_float64() -> bool {
    compute().computes_in(DType::F64)
}

/// Seeds to try: a few of them on a GPU, where many small launches take long.
pub(crate) fn seeds(all: Range<u64>) -> impl Iterator<Item = u64> {
    all.step_by(if compute().backend == Backend::Cpu { 1 } else { 49 })
}
