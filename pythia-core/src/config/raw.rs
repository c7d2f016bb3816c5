//! The keys of `config.json` that are read.

use serde::Deserialize;

use super::{ConfigError, MAX_D_MODEL, Rotary, SUPPORTED_ACT, SUPPORTED_BOS, SUPPORTED_MODEL_TYPE, SUPPORTED_ROPE};
use super::{positive, size};

/// Default share of the head dimensions that rotates.
const DEFAULT_ROTARY_PCT: f64 = 0.25;
/// Default base of the rotary frequencies.
const DEFAULT_ROTARY_BASE: f64 = 10_000.0;

/// Every key that is read. All are optional, so that an error can name a missing one.
#[derive(Deserialize)]
pub(super) struct RawConfig {
    model_type: Option<String>,
    hidden_act: Option<String>,
    bos_token_id: Option<i64>,
    pub(super) hidden_size: Option<u64>,
    head_dim: Option<u64>,
    pub(super) num_hidden_layers: Option<u64>,
    pub(super) num_attention_heads: Option<u64>,
    pub(super) intermediate_size: Option<u64>,
    pub(super) vocab_size: Option<u64>,
    pub(super) max_position_embeddings: Option<u64>,
    pub(super) layer_norm_eps: Option<f64>,
    pub(super) use_parallel_residual: Option<bool>,
    pub(super) tie_word_embeddings: Option<bool>,
    pub(super) attention_bias: Option<bool>,
    rotary_pct: Option<f64>,
    rotary_emb_base: Option<f64>,
    partial_rotary_factor: Option<f64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RawRope>,
    rope_scaling: Option<RawRope>,
}

/// The newest form: an object. Older files call its kind `type`.
#[derive(Deserialize)]
struct RawRope {
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    rope_type: Option<String>,
    r#type: Option<String>,
}

impl RawConfig {
    pub(super) fn check_kind(&self) -> Result<(), ConfigError> {
        if self.model_type.as_deref() != Some(SUPPORTED_MODEL_TYPE) {
            let found = self.model_type.clone();
            return Err(ConfigError::Unsupported { key: "model_type", found, supported: SUPPORTED_MODEL_TYPE });
        }
        only("hidden_act", self.hidden_act.as_ref(), SUPPORTED_ACT)?;
        // Prompts begin with the token 0, as in every Pythia model. For a model with another token they would be
        // wrong without an error.
        only("bos_token_id", self.bos_token_id.map(|id| id.to_string()).as_ref(), SUPPORTED_BOS)?;
        for rope in [&self.rope_parameters, &self.rope_scaling].into_iter().flatten() {
            only("rope_type", rope.rope_type.as_ref(), SUPPORTED_ROPE)?;
            only("rope_scaling.type", rope.r#type.as_ref(), SUPPORTED_ROPE)?;
        }
        Ok(())
    }

    pub(super) fn rotary(&self, d_head: usize) -> Result<Rotary, ConfigError> {
        let (scaling, parameters) = (self.rope_scaling.as_ref(), self.rope_parameters.as_ref());
        let pct = agreed(&[
            ("rope_scaling.partial_rotary_factor", scaling.and_then(|r| r.partial_rotary_factor)),
            ("rope_parameters.partial_rotary_factor", parameters.and_then(|r| r.partial_rotary_factor)),
            ("partial_rotary_factor", self.partial_rotary_factor),
            ("rotary_pct", self.rotary_pct),
        ])?;
        let base = agreed(&[
            ("rope_scaling.rope_theta", scaling.and_then(|r| r.rope_theta)),
            ("rope_parameters.rope_theta", parameters.and_then(|r| r.rope_theta)),
            ("rope_theta", self.rope_theta),
            ("rotary_emb_base", self.rotary_emb_base),
        ])?;
        let pct = positive("rotary_pct", pct.unwrap_or(DEFAULT_ROTARY_PCT), 1.0)?;
        // The reference implementation takes `head_dim` for the rotation alone, reads 0 as absent, and truncates.
        let head_dim = match self.head_dim {
            Some(0) | None => d_head,
            found => size("head_dim", found, MAX_D_MODEL)?,
        };
        let ndims = (head_dim as f64 * pct) as usize;
        Ok(Rotary { ndims, base: base.unwrap_or(DEFAULT_ROTARY_BASE) })
    }
}

/// Refuses every value but one. An absent key means the default.
fn only(key: &'static str, found: Option<&String>, supported: &'static str) -> Result<(), ConfigError> {
    match found {
        Some(found) if found != supported => {
            Err(ConfigError::Unsupported { key, found: Some(found.clone()), supported })
        }
        _ => Ok(()),
    }
}

/// The one value that all the keys present agree on.
fn agreed(candidates: &[(&'static str, Option<f64>)]) -> Result<Option<f64>, ConfigError> {
    let mut present = candidates.iter().filter_map(|&(key, value)| Some((key, value?)));
    let Some((first_key, first)) = present.next() else { return Ok(None) };
    match present.find(|&(_, value)| value != first) {
        Some((second_key, second)) => Err(ConfigError::Conflict { first_key, first, second_key, second }),
        None => Ok(Some(first)),
    }
}
