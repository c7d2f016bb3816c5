//! The metrics of interventions, and how they are read from the last residual stream.
//!
//! With the logits x of the answer position, the right answers A and the wrong ones W of a pair, p = softmax(x) over
//! all V entries, padding included, as TransformerLens and transformers compute it:
//!
//! | metric | value |
//! |---|---|
//! | `logit_diff` | mean of x over A − mean of x over W; undefined without wrong answers |
//! | `prob_diff` | Σ p over A − Σ p over W (Hanna et al. 2023); undefined without wrong answers |
//! | `log_prob` | ln Σ p over A, in nats |
//! | `prob` | Σ p over A |
//! | `rank` | how many real tokens have a larger logit than the best of A: 0 is the top |
//! | `cross_entropy` | −ln Σ p over A |
//! | `kl` | KL(base run ‖ this run), in nats; 0 for the base run itself |
//! | `argmax_match` | 1 if the most likely real token is that of the base run |
//! | `accuracy` | 1 if the most likely real token is one of A |
//! | `loss` | mean over positions of −ln p of the next token of the prompt, in nats |

mod logits;
mod readout;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use readout::Reference;
pub use readout::{Question, Readout};

/// A number computed from the logits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean logit of the right answers minus that of the wrong ones.
    LogitDiff,
    /// Probability of the right answers minus that of the wrong ones.
    ProbDiff,
    /// Logarithm of the probability of the right answers.
    LogProb,
    /// Probability of the right answers.
    Prob,
    /// Real tokens that are more likely than the best right answer.
    Rank,
    /// Negative logarithm of the probability of the right answers.
    CrossEntropy,
    /// KL divergence of this run from the base run.
    Kl,
    /// Whether the most likely token is that of the base run.
    ArgmaxMatch,
    /// Whether the most likely token is a right answer.
    Accuracy,
    /// Mean loss over the prompt's own tokens.
    Loss,
}

impl Metric {
    /// Its name in tables and experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::LogitDiff => "logit_diff",
            Metric::ProbDiff => "prob_diff",
            Metric::LogProb => "log_prob",
            Metric::Prob => "prob",
            Metric::Rank => "rank",
            Metric::CrossEntropy => "cross_entropy",
            Metric::Kl => "kl",
            Metric::ArgmaxMatch => "argmax_match",
            Metric::Accuracy => "accuracy",
            Metric::Loss => "loss",
        }
    }

    /// Whether a few columns of the unembedding are enough.
    pub(crate) const fn needs_few_columns(self) -> bool {
        matches!(self, Metric::LogitDiff)
    }
}
