//! A configuration in the form of the public hub.

use serde::Serialize;

use super::{NeoxConfig, SUPPORTED_ACT, SUPPORTED_MODEL_TYPE};

/// The keys of the hub's own `config.json`, in its alphabetical order.
#[derive(Serialize)]
pub(super) struct HubConfig {
    architectures: [&'static str; 1],
    attention_bias: bool,
    bos_token_id: u32,
    eos_token_id: u32,
    hidden_act: &'static str,
    hidden_size: usize,
    initializer_range: f64,
    intermediate_size: usize,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    model_type: &'static str,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    rotary_emb_base: f64,
    rotary_pct: f64,
    tie_word_embeddings: bool,
    torch_dtype: &'static str,
    use_cache: bool,
    use_parallel_residual: bool,
    vocab_size: usize,
}

impl HubConfig {
    pub(super) fn of(config: &NeoxConfig) -> Self {
        Self {
            architectures: ["GPTNeoXForCausalLM"],
            attention_bias: config.variant.attention_bias,
            bos_token_id: 0,
            eos_token_id: 0,
            hidden_act: SUPPORTED_ACT,
            hidden_size: config.d_model,
            initializer_range: 0.02,
            intermediate_size: config.d_mlp,
            layer_norm_eps: config.layer_norm_eps,
            max_position_embeddings: config.n_ctx,
            model_type: SUPPORTED_MODEL_TYPE,
            num_attention_heads: config.n_heads,
            num_hidden_layers: config.n_layers,
            rotary_emb_base: config.rotary.base,
            rotary_pct: rotary_pct(config.rotary.ndims, config.d_head()),
            tie_word_embeddings: config.variant.tied_embeddings,
            torch_dtype: "float32",
            use_cache: true,
            use_parallel_residual: config.variant.parallel_residual,
            vocab_size: config.vocab_size,
        }
    }
}

/// The share that gives exactly `ndims` when `transformers` multiplies and truncates. Plain division may be one unit
/// of precision too small, and truncation would then lose a dimension.
fn rotary_pct(ndims: usize, d_head: usize) -> f64 {
    let share = ndims as f64 / d_head as f64;
    if (share * d_head as f64) as usize == ndims { share } else { share.next_up() }
}
