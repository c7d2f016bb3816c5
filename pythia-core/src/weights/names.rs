//! Names of stored tensors: those that wrappers of training leave, and those of tensors that are no parameters.

use std::borrow::Cow;

use safetensors::Dtype;

use super::directory::StoredTensor;
use crate::config::NeoxConfig;
use crate::params::{LAYERS, UNEMBED, UNEMBED_ALIAS};

/// Segments that wrappers of a module add to the names inside it: `torch.compile`, data parallel training, DeepSpeed,
/// FSDP, and activation checkpoints.
const WRAPPERS: [&str; 5] =
    ["_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The module that holds everything but the unembedding.
const BASE: &str = "gpt_neox";

/// The modules inside it.
const INSIDE: [&str; 3] = ["embed_in", "layers", "final_layer_norm"];

/// The name that a published file gives the same tensor.
pub(super) fn published(name: &str) -> Cow<'_, str> {
    let segments = || name.split('.').filter(|segment| !WRAPPERS.contains(segment));
    // A training framework's own module calls the model `model`, and some wrappers repeat the base.
    let mut inner = segments().skip_while(|segment| [BASE, "model"].contains(segment)).peekable();
    let base = inner.peek().is_some_and(|first| INSIDE.contains(first) || *first == "rotary_emb");
    let is_unembed = ["embed_out", "lm_head"].iter().any(|head| inner.peek() == Some(head));
    let found: Vec<&str> = match base {
        true => [BASE].into_iter().chain(inner).collect(),
        false if is_unembed => inner.collect(),
        false => segments().collect(),
    };
    let found = found.join(".");
    match found {
        found if found == UNEMBED_ALIAS => Cow::Borrowed(UNEMBED),
        found if found == name => Cow::Borrowed(name),
        found => Cow::Owned(found),
    }
}

/// What a tensor is that the configuration does not call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    /// A buffer that the forward pass does not need: a mask, positions, rotary frequencies, a counter.
    Buffer,
    /// A part of quantised weights.
    Quantised,
    /// A part of a low-rank adapter.
    Adapter,
    /// Of another model.
    Unknown,
}

/// Last segments of the names of tensors that methods of quantisation add.
const OF_QUANTISATION: [&str; 11] = [
    "SCB",
    "absmax",
    "g_idx",
    "nested_absmax",
    "quant_map",
    "qweight",
    "qzeros",
    "scales",
    "weight_format",
    "weight_scale",
    "weight_zero_point",
];

impl Extra {
    pub(super) fn of(name: &str, stored: &StoredTensor, config: &NeoxConfig) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        // bitsandbytes adds names such as `quant_state.bitsandbytes__nf4`.
        if OF_QUANTISATION.contains(&last) || name.contains(".quant_state.") {
            Self::Quantised
        } else if name.split('.').any(|segment| segment.starts_with("lora_")) {
            Self::Adapter
        } else if is_known_buffer(name, config) || (is_count(stored.dtype) && !matches!(last, "weight" | "bias")) {
            Self::Buffer
        } else {
            Self::Unknown
        }
    }
}

/// Whether values of this type count something. Weights that were quantised have names of their own.
fn is_count(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, BOOL | U8 | I8 | I16 | U16 | I32 | U32 | I64 | U64)
}

/// Whether a type is one that quantised weights are stored in.
pub(super) fn is_quantised(dtype: Dtype) -> bool {
    !matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 | Dtype::BOOL) && dtype.bitsize() <= 8
}

/// The buffers of transformers' versions of the model: the causal mask, its filler value, and rotary tables, which may
/// be rounded to 16 bits.
fn is_known_buffer(name: &str, config: &NeoxConfig) -> bool {
    let tables = ["inv_freq", "original_inv_freq", "cos_cached", "sin_cached"];
    let is_table = |buffer: &str| buffer.strip_prefix("rotary_emb.").is_some_and(|table| tables.contains(&table));
    if name.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('.')).is_some_and(is_table) {
        return true;
    }
    let Some((layer, buffer)) = name.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.')) else { return false };
    let in_attention = buffer.strip_prefix("attention.");
    layer.parse::<usize>().is_ok_and(|layer| layer < config.n_layers)
        && in_attention.is_some_and(|buffer| matches!(buffer, "bias" | "masked_bias") || is_table(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::odd_config;

    #[test]
    fn wrappers_leave_the_published_name() {
        let norm = "gpt_neox.layers.1.input_layernorm.weight";
        for name in [
            norm,
            "_orig_mod.gpt_neox.layers.1.input_layernorm.weight",
            "module._orig_mod.gpt_neox.layers.1.input_layernorm.weight",
            "layers.1.input_layernorm.weight",
            "gpt_neox.gpt_neox.layers.1.input_layernorm.weight",
            "model.gpt_neox.layers.1.input_layernorm.weight",
            "_fsdp_wrapped_module.gpt_neox.layers.1._checkpoint_wrapped_module.input_layernorm.weight",
            "model.layers.1.input_layernorm.weight",
        ] {
            assert_eq!(published(name), norm, "{name}");
        }
        for name in ["embed_out.weight", "lm_head.weight", "module.lm_head.weight", "gpt_neox.embed_out.weight"] {
            assert_eq!(published(name), "embed_out.weight", "{name}");
        }
        assert_eq!(published("module.embed_in.weight"), "gpt_neox.embed_in.weight");
        for other in ["transformer.h.0.ln_1.weight", "model.embed_tokens.weight", "", "gpt_neox", "module"] {
            assert_eq!(published(other), if other == "module" { "" } else { other });
        }
    }

    #[test]
    fn tensors_beyond_the_configuration_are_told_apart() {
        let extra = |name: &str, dtype| {
            let stored = StoredTensor { dtype, shape: vec![1], offset: 0, len: 1 };
            Extra::of(name, &stored, &odd_config())
        };
        for buffer in ["attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"] {
            assert_eq!(extra(&format!("gpt_neox.layers.1.{buffer}"), Dtype::F16), Extra::Buffer);
            assert_eq!(extra(&format!("gpt_neox.layers.2.{buffer}"), Dtype::F16), Extra::Unknown, "no such layer");
        }
        assert_eq!(extra("gpt_neox.rotary_emb.inv_freq", Dtype::F32), Extra::Buffer);
        assert_eq!(extra("gpt_neox.layers.0.attention.position_ids", Dtype::I64), Extra::Buffer);
        assert_eq!(extra("gpt_neox.position_ids", Dtype::F32), Extra::Unknown);
        assert_eq!(extra("gpt_neox.layers.2.attention.bias", Dtype::U8), Extra::Unknown);
        assert_eq!(extra("gpt_neox.layers.0.attention.dense.SCB", Dtype::F32), Extra::Quantised);
        assert_eq!(extra("gpt_neox.layers.0.mlp.dense_h_to_4h.qweight", Dtype::I32), Extra::Quantised);
        assert_eq!(extra("base_model.gpt_neox.layers.0.attention.dense.lora_A.weight", Dtype::F32), Extra::Adapter);
        assert!(is_quantised(Dtype::I8) && is_quantised(Dtype::F8_E4M3) && !is_quantised(Dtype::I64));
    }
}
