//! For tests: a folder of one's own, and a small suite of checkpoints in it.

use std::fs;
use std::path::{Path, PathBuf};

use pythia_core::config::{NeoxConfig, Rotary, Variant};
use pythia_core::params::{HostParams, HostTensor, Param};
use pythia_core::weights::to_safetensors;

/// An empty folder, removed with the value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// `name` must be the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pythia-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("temp dir");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two layers of two heads, a vocabulary of 12, a context of 32.
pub(crate) fn config() -> NeoxConfig {
    NeoxConfig {
        n_layers: 2,
        d_model: 8,
        n_heads: 2,
        d_mlp: 16,
        vocab_size: 12,
        n_ctx: 32,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 4, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

/// Parameters that look random and follow from `seed`.
pub(crate) fn params(seed: u32) -> HostParams {
    let config = config();
    let value = |param: usize, index: usize| {
        let mixed = (seed as usize * 7919 + param * 104_729 + index * 1_299_709) % 2003;
        mixed as f32 / 2003.0 - 0.5
    };
    let all = Param::all(&config).into_iter().enumerate();
    all.map(|(number, param)| {
        let shape = param.shape(&config);
        let values = (0..shape.iter().product()).map(|index| value(number, index)).collect();
        (param, HostTensor { shape, values })
    })
    .collect()
}

/// A suite called `tiny` with these steps.
pub(crate) fn suite(folder: &Path, steps: &[u32]) {
    for step in steps {
        model(&folder.join(format!("step{step}")), *step);
    }
    fs::write(folder.join("suite.json"), r#"{"model": "tiny", "tokens_per_step": 10}"#).expect("write");
}

/// A single model.
pub(crate) fn model(folder: &Path, seed: u32) {
    fs::create_dir_all(folder).expect("create");
    fs::write(folder.join("config.json"), config().to_json()).expect("write");
    fs::write(folder.join("model.safetensors"), to_safetensors(&config(), &params(seed))).expect("write");
}
