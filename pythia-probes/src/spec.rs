//! The closed list of probes, and what the outside must know of one before it runs.

use pythia_core::config::NeoxConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::ProbeError;
use crate::head_scores::HeadScores;
use crate::induction_loss::InductionLoss;
use crate::prompts::{Prompts, Vocabulary};
use crate::token_loss::TokenLoss;

/// A probe together with its configuration: the struct of a variant *is* the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeSpec {
    /// What attention heads attend to.
    HeadScores(HeadScores),
    /// Loss on the two halves of repeated random tokens.
    InductionLoss(InductionLoss),
    /// The loss of every token.
    TokenLoss(TokenLoss),
}

/// A probe as a person chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeKind {
    /// Its name in an experiment file, and of its table.
    pub name: &'static str,
    /// What it measures, in a line.
    pub doc: &'static str,
}

impl ProbeSpec {
    /// Every probe there is, in the order in which they are listed.
    pub const KINDS: &[ProbeKind] = &[
        ProbeKind {
            name: "head_scores",
            doc: "what every attention head attends to on repeated random tokens: induction, previous, duplicate and current token, BOS sink",
        },
        ProbeKind {
            name: "induction_loss",
            doc: "loss on both halves of repeated random tokens, accuracy on the second, in-context score",
        },
        ProbeKind { name: "token_loss", doc: "loss of every token of every prompt" },
    ];

    /// The configuration of the probe called `kind`, from anything serde reads; `None` if there is no such probe.
    ///
    /// Reading the kind first and then one plain struct keeps the place of an error, which tagged enums lose.
    ///
    /// # Errors
    /// Those of the deserializer: an unknown field, a value of the wrong type.
    pub fn read<'de, D: Deserializer<'de>>(kind: &str, from: D) -> Result<Option<Self>, D::Error> {
        match kind {
            "head_scores" => HeadScores::deserialize(from).map(|config| Some(Self::HeadScores(config))),
            "induction_loss" => InductionLoss::deserialize(from).map(|config| Some(Self::InductionLoss(config))),
            "token_loss" => TokenLoss::deserialize(from).map(|config| Some(Self::TokenLoss(config))),
            _ => Ok(None),
        }
    }

    /// The name of the probe, as in [`KINDS`](Self::KINDS).
    pub fn kind(&self) -> &'static str {
        match self {
            ProbeSpec::HeadScores(_) => "head_scores",
            ProbeSpec::InductionLoss(_) => "induction_loss",
            ProbeSpec::TokenLoss(_) => "token_loss",
        }
    }

    /// Whether the probe needs logits, so that the model must be run to its end.
    pub fn reads_logits(&self) -> bool {
        match self {
            ProbeSpec::HeadScores(_) => false,
            ProbeSpec::InductionLoss(_) | ProbeSpec::TokenLoss(_) => true,
        }
    }

    /// Refuses a configuration that can have no answer on a model of that shape with `vocab` ids that are not padding.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field and its value.
    pub fn check(&self, config: &NeoxConfig, vocab: usize, prepend_bos: bool) -> Result<(), ProbeError> {
        match self {
            ProbeSpec::HeadScores(probe) => probe.check(prepend_bos)?,
            ProbeSpec::InductionLoss(probe) => probe.check(prepend_bos)?,
            ProbeSpec::TokenLoss(probe) => probe.check(vocab, prepend_bos)?,
        }
        let ((_, len), n_ctx) = (self.tokens_per_run(prepend_bos), config.n_ctx);
        if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(()) }
    }

    /// The tokens the probe runs on; equal seeds and sizes give equal prompts, whichever probe asks.
    ///
    /// # Errors
    /// [`ProbeError::VocabTooSmall`] and [`ProbeError::IdOutOfVocab`].
    pub fn prompts(&self, vocabulary: Vocabulary, prepend_bos: bool, seed: u64) -> Result<Prompts, ProbeError> {
        match self {
            ProbeSpec::HeadScores(probe) => Prompts::repeated(probe.layout(prepend_bos), vocabulary, seed),
            ProbeSpec::InductionLoss(probe) => Prompts::repeated(probe.layout(prepend_bos), vocabulary, seed),
            ProbeSpec::TokenLoss(probe) => match &probe.tokens {
                Some(ids) => Prompts::given(ids, probe.bos(prepend_bos), vocabulary),
                None => Prompts::repeated(probe.layout(prepend_bos), vocabulary, seed),
            },
        }
    }

    /// What one run reads: prompts, and tokens in the longest of them.
    pub fn tokens_per_run(&self, prepend_bos: bool) -> (usize, usize) {
        match self {
            ProbeSpec::HeadScores(probe) => (probe.batch, probe.layout(prepend_bos).len()),
            ProbeSpec::InductionLoss(probe) => (probe.batch, probe.layout(prepend_bos).len()),
            ProbeSpec::TokenLoss(probe) => probe.size(prepend_bos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> [ProbeSpec; 3] {
        [
            ProbeSpec::HeadScores(HeadScores::default()),
            ProbeSpec::InductionLoss(InductionLoss::default()),
            ProbeSpec::TokenLoss(TokenLoss::default()),
        ]
    }

    #[test]
    fn the_list_of_kinds_is_complete_and_in_order() {
        let kinds: Vec<&str> = ProbeSpec::KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(kinds, specs().map(|spec| spec.kind()));
    }

    #[test]
    fn a_configuration_is_read_by_the_name_of_its_probe() {
        use serde::de::value::{Error, MapDeserializer};
        let read = |kind: &str, field: &'static str| -> Result<Option<ProbeSpec>, Error> {
            ProbeSpec::read(kind, MapDeserializer::new([(field, 4_u32)].into_iter()))
        };
        let expected = HeadScores { batch: 4, ..HeadScores::default() };
        assert_eq!(read("head_scores", "batch"), Ok(Some(ProbeSpec::HeadScores(expected))));
        assert_eq!(read("head_score", "batch"), Ok(None));
        let error = read("induction_loss", "repeats").map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("unknown field `repeats`") && error.contains("half_len")));
    }

    #[test]
    fn probes_of_the_same_size_have_the_same_prompts() {
        let vocabulary = Vocabulary { size: 100, bos: 0 };
        let [first, second, third] = specs().map(|spec| spec.prompts(vocabulary, true, 3).expect("there are ids"));
        assert_eq!(first, second);
        assert_eq!(first, third);
        assert_eq!(specs().map(|spec| spec.tokens_per_run(true)), [(8, 101); 3]);
        assert_eq!((first.batch(), first.len()), (8, 101));
    }

    #[test]
    fn what_can_have_no_answer_is_refused_with_its_datum() {
        let check = |spec: HeadScores, n_ctx| ProbeSpec::HeadScores(spec).check(&config(n_ctx), 64, true);
        assert_eq!(check(HeadScores::default(), 101), Ok(()));
        assert_eq!(check(HeadScores::default(), 100), Err(ProbeError::TooLong { len: 101, n_ctx: 100 }));
        let once = HeadScores { repeats: 1, ..HeadScores::default() };
        assert_eq!(check(once, 200), Err(ProbeError::TooSmall { field: "repeats", value: 1, least: 2 }));
        let none = HeadScores { scores: Vec::new(), ..HeadScores::default() };
        assert_eq!(check(none, 200), Err(ProbeError::Empty { field: "scores" }));
    }

    fn config(n_ctx: usize) -> NeoxConfig {
        use pythia_core::config::{Rotary, Variant};
        NeoxConfig {
            n_layers: 1,
            d_model: 8,
            n_heads: 2,
            d_mlp: 16,
            vocab_size: 64,
            n_ctx,
            layer_norm_eps: 1e-5,
            rotary: Rotary { ndims: 2, base: 10_000.0 },
            variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
        }
    }
}
