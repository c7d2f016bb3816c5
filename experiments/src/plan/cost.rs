//! What a cell's probes cost: floating-point operations and activations, from the model's shape and the probes'
//! prompts.

use pythia_core::config::NeoxConfig;
use pythia_probes::{Context, Estimate, ProbeSpec};

/// Rows whose logits are made at a time.
const LOGITS_AT_A_TIME: u64 = 256;

/// The cost of one checkpoint under some probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CellCost {
    pub(crate) flops: u64,
    /// Bytes that the process holds at the peak.
    pub(crate) memory: u64,
}

/// Operations and activations of some probes on one checkpoint, without its weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeCost {
    pub(crate) flops: u64,
    /// Bytes of activations while blocks compute.
    pub(crate) blocks: u64,
    /// Bytes of logits and tensors made of them.
    pub(crate) logits: u64,
    /// Bytes of activations that are held while logits are read.
    pub(crate) carried: u64,
}

/// The cost of probes on one checkpoint. Probes with equal prompts share a forward pass, so each size of prompts counts
/// once. `width`: bytes of a number.
///
/// - Operations per token: `2 (4 d² + 2 d m)` a layer for the matrices, `4 s d` a layer for scores and mixing over a
///   prompt of `s` tokens, and `2 d V` for the logits where a probe reads them.
/// - Memory: the activations of one block: three patterns `b h s²`, two MLP activations `b s m`, eight streams `b s d`.
///   They are counted together, since the allocator keeps those of attention for a while when those of the MLP are
///   made. Or, later, the logits where a probe reads them: of at most 256 positions at a time, with a copy without
///   padding and with the probabilities.
/// - What a probe keeps of a pass, or computes after it, comes on top.
/// - Probes that intervene estimate themselves; they run one after the other.
pub(crate) fn of(context: &Context, probes: &[&ProbeSpec], width: u64) -> ProbeCost {
    let config = context.config;
    let mut sizes: Vec<((usize, usize), bool)> = Vec::new();
    let (mut others, mut extra) = (Vec::new(), ProbeCost::default());
    for probe in probes {
        if let Some(estimate) = probe.estimate(context) {
            // An estimate counts 32-bit floats.
            let blocks = estimate.memory * width / 4;
            others.push(ProbeCost { flops: estimate.flops, blocks, logits: 0, carried: blocks });
            continue;
        }
        let Estimate { flops, memory } = probe.extra(context);
        extra.flops = extra.flops.saturating_add(flops);
        extra.blocks = extra.blocks.saturating_add(memory.saturating_mul(width) / 4);
        let size = probe.tokens_per_run(context);
        match sizes.iter_mut().find(|(known, _)| *known == size) {
            Some((_, logits)) => *logits |= probe.reads_logits(),
            None => sizes.push((size, probe.reads_logits())),
        }
    }
    let passes = sizes.iter().map(|&((batch, len), logits)| pass(config, batch as u64, len as u64, logits, width));
    let work = passes.chain(others).fold(ProbeCost::default(), |sum, work| ProbeCost {
        flops: sum.flops + work.flops,
        blocks: sum.blocks.max(work.blocks),
        logits: sum.logits.max(work.logits),
        carried: sum.carried.max(work.carried),
    });
    ProbeCost {
        flops: work.flops.saturating_add(extra.flops),
        blocks: work.blocks.saturating_add(extra.blocks),
        // Held until all answers are complete.
        carried: work.carried.saturating_add(extra.blocks),
        ..work
    }
}

/// One forward pass over `batch` prompts of `len` tokens.
fn pass(config: &NeoxConfig, batch: u64, len: u64, logits: bool, width: u64) -> ProbeCost {
    let [layers, d, m, heads, vocab] =
        [config.n_layers, config.d_model, config.d_mlp, config.n_heads, config.vocab_size].map(|size| size as u64);
    let unembedding = if logits { 2 * d * vocab } else { 0 };
    let per_token = layers * (2 * (4 * d * d + 2 * d * m) + 4 * len * d) + unembedding;
    let (pattern, mlp, stream) = (batch * heads * len * len, batch * len * m, batch * len * d);
    let logits_at_once = if logits { (batch * len).min(LOGITS_AT_A_TIME) * vocab } else { 0 };
    ProbeCost {
        flops: batch * len * per_token,
        blocks: width * (3 * pattern + 2 * mlp + 8 * stream),
        logits: width * 3 * logits_at_once,
        carried: width * stream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pythia_probes::Files;

    fn config() -> NeoxConfig {
        NeoxConfig { d_mlp: 32, vocab_size: 16, n_ctx: 256, ..crate::testing::config() }
    }

    fn of(probes: &[&ProbeSpec]) -> ProbeCost {
        let (files, config) = (Files::NONE, &config());
        let context = Context { config, vocab: 16, prepend_bos: false, bos: 0, tokenizer: None, files, seed: 0 };
        super::of(&context, probes, 4)
    }

    fn probe(kind: &str, fields: &str) -> ProbeSpec {
        let value = toml::de::ValueDeserializer::parse(fields).expect("TOML");
        ProbeSpec::read(kind, value).expect("fields").expect("kind")
    }

    #[test]
    fn operations_follow_the_formula() {
        let scores = probe("head_scores", "{ prompts = { n = 1, half_len = 5 } }");
        let cost = of(&[&scores]);
        assert_eq!(cost.flops, 10 * 2 * (2 * (4 * 64 + 2 * 8 * 32) + 4 * 10 * 8));
        assert_eq!((cost.blocks, cost.logits), (4 * (3 * 200 + 2 * 320 + 8 * 80), 0));
    }

    #[test]
    fn what_a_probe_keeps_comes_on_top_of_the_pass_it_shares() {
        let loss = probe("token_loss", "{ prompts = { n = 1, half_len = 5 } }");
        let lens = probe("logit_lens", "{ prompts = { n = 1, half_len = 5 } }");
        let (both, alone) = (of(&[&loss, &lens]), of(&[&loss]));
        // Ten tokens at three depths, of which the pass counts the last one's unembedding.
        assert_eq!(both.flops - alone.flops, 2 * 10 * 2 * 8 * 16);
        let kept = 30 * 500 + 30 * 4 * 8;
        assert_eq!((both.blocks - alone.blocks, both.carried - alone.carried), (kept, kept));
        assert_eq!(both.logits, alone.logits);
    }

    #[test]
    fn equal_prompts_are_counted_once_and_with_logits() {
        let scores = probe("head_scores", "{ prompts = { n = 1, half_len = 5 } }");
        let loss = probe("induction_loss", "{ prompts = { n = 1, half_len = 5 } }");
        let both = of(&[&scores, &loss]);
        assert_eq!(both.flops, of(&[&loss]).flops);
        assert_eq!(both.flops - of(&[&scores]).flops, 10 * 2 * 8 * 16);
    }
}
