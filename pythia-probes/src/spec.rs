//! The closed list of probes, and what the outside must know of one before it runs.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::ProbeError;
use crate::head_scores::HeadScores;
use crate::induction_loss::InductionLoss;
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

    /// Refuses a configuration that can have no answer on a model with a context of `n_ctx` tokens and `vocab` ids that are
    /// not padding.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field and its value.
    pub fn check_within(&self, n_ctx: usize, vocab: usize, prepend_bos: bool) -> Result<(), ProbeError> {
        match self {
            ProbeSpec::HeadScores(probe) => probe.check()?,
            ProbeSpec::InductionLoss(probe) => probe.check(prepend_bos)?,
            ProbeSpec::TokenLoss(probe) => probe.check(vocab, prepend_bos)?,
        }
        let (_, len) = self.tokens_per_run(prepend_bos);
        if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(()) }
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
