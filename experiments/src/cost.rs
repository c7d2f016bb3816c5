//! What a cell costs: floating-point operations and memory, from the model's shape and the probes' prompts.

use pythia_core::config::NeoxConfig;
use pythia_probes::{Context, ProbeSpec};

/// Bytes of a 32-bit float.
const F32: u64 = 4;

/// The cost of one checkpoint under some probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes held at the peak.
    pub memory: u64,
}

/// The cost of one checkpoint. Probes with equal prompts share a forward pass, so each size of prompts counts once.
///
/// - Operations per token: `2 (4 d² + 2 d m)` a layer for the matrices, `4 s d` a layer for scores and mixing over a
///   prompt of `s` tokens, and `2 d V` for the logits where a probe reads them.
/// - Memory: the float32 weights twice (one checkpoint computes while the next is read), without the unembedding where no
///   probe reads logits, and the largest activations of one forward pass: two patterns `b h s²`, two MLP activations
///   `b s m`, six streams `b s d`, and the logits twice where a probe reads them, of at most 256 positions at a time.
/// - Probes that intervene say themselves what their runs and cells cost; one runs after the other.
pub fn of(context: &Context, probes: &[&ProbeSpec]) -> Cost {
    let config = context.config;
    let mut sizes: Vec<((usize, usize), bool)> = Vec::new();
    let mut others = Vec::new();
    for probe in probes {
        if let Some(estimate) = probe.estimate(context) {
            others.push(Cost { flops: estimate.flops, memory: estimate.memory });
            continue;
        }
        let size = probe.tokens_per_run(context);
        match sizes.iter_mut().find(|(known, _)| *known == size) {
            Some((_, logits)) => *logits |= probe.reads_logits(),
            None => sizes.push((size, probe.reads_logits())),
        }
    }
    let passes = sizes.iter().map(|&((batch, len), logits)| pass(config, batch as u64, len as u64, logits));
    let weights = 2 * F32 * params_held(config, probes.iter().any(|probe| probe.reads_logits()));
    passes.chain(others).fold(Cost { flops: 0, memory: weights }, |sum, pass| Cost {
        flops: sum.flops + pass.flops,
        memory: sum.memory.max(weights + pass.memory),
    })
}

/// Bytes of the donors of a model: the float32 weights of each, `logits` says whether with the unembedding.
pub fn of_donors(config: &NeoxConfig, logits: impl IntoIterator<Item = bool>) -> u64 {
    logits.into_iter().map(|logits| F32 * params_held(config, logits)).sum()
}

/// Parameters in memory: an unembedding that nobody reads is not decoded, and a tied one is a copy of its own.
fn params_held(config: &NeoxConfig, logits: bool) -> u64 {
    let unembedding = (config.d_model * config.vocab_size) as u64;
    match (logits, config.variant.tied_embeddings) {
        (true, true) => config.n_params() + unembedding,
        (false, false) => config.n_params() - unembedding,
        _ => config.n_params(),
    }
}

/// One forward pass over `batch` prompts of `len` tokens; its memory is that of the activations alone.
fn pass(config: &NeoxConfig, batch: u64, len: u64, logits: bool) -> Cost {
    let [layers, d, m, heads, vocab] =
        [config.n_layers, config.d_model, config.d_mlp, config.n_heads, config.vocab_size].map(|size| size as u64);
    let unembedding = if logits { 2 * d * vocab } else { 0 };
    let per_token = layers * (2 * (4 * d * d + 2 * d * m) + 4 * len * d) + unembedding;
    let (pattern, mlp, stream) = (batch * heads * len * len, batch * len * m, batch * len * d);
    let logits_at_once = if logits { (batch * len).min(256) * vocab } else { 0 };
    Cost { flops: batch * len * per_token, memory: F32 * (2 * pattern + 2 * mlp + 6 * stream + 2 * logits_at_once) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pythia_core::config::{Rotary, Variant};
    use pythia_probes::Files;

    fn config() -> NeoxConfig {
        let variant = Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true };
        let rotary = Rotary { ndims: 4, base: 10_000.0 };
        NeoxConfig {
            n_layers: 2,
            d_model: 8,
            n_heads: 2,
            d_mlp: 32,
            vocab_size: 16,
            n_ctx: 256,
            layer_norm_eps: 1e-5,
            rotary,
            variant,
        }
    }

    fn of(probes: &[&ProbeSpec]) -> Cost {
        let (files, config) = (Files::NONE, &config());
        let context = Context { config, vocab: 16, prepend_bos: false, bos: 0, tokenizer: None, files, seed: 0 };
        super::of(&context, probes)
    }

    fn probe(kind: &str, fields: &str) -> ProbeSpec {
        let value = toml::de::ValueDeserializer::parse(fields).expect("TOML");
        ProbeSpec::read(kind, value).expect("fields").expect("kind")
    }

    #[test]
    fn operations_follow_the_formula() {
        let scores = probe("head_scores", "{ batch = 1, half_len = 5 }");
        let cost = of(&[&scores]);
        assert_eq!(cost.flops, 10 * 2 * (2 * (4 * 64 + 2 * 8 * 32) + 4 * 10 * 8));
        assert_eq!(cost.memory, 8 * (config().n_params() - 8 * 16) + 4 * (2 * 200 + 2 * 320 + 6 * 80));
    }

    #[test]
    fn every_donor_is_held_once() {
        let unembedding = 8 * 16;
        assert_eq!(of_donors(&config(), [true, false]), 4 * (2 * config().n_params() - unembedding));
        assert_eq!(of_donors(&config(), []), 0);
    }

    #[test]
    fn equal_prompts_are_counted_once_and_with_logits() {
        let scores = probe("head_scores", "{ batch = 1, half_len = 5 }");
        let loss = probe("induction_loss", "{ batch = 1, half_len = 5 }");
        let both = of(&[&scores, &loss]);
        assert_eq!(both.flops, of(&[&loss]).flops);
        assert_eq!(both.flops - of(&[&scores]).flops, 10 * 2 * 8 * 16);
    }
}
