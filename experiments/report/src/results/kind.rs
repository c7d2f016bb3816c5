//! The kinds of probes whose tables are understood.

/// What a table holds, by the probe that made it. The order is that of a report: what heads do, losses, single prompts, what was
/// done to the model, weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Scores of attention heads.
    HeadScores,
    /// Losses on repeated random tokens.
    InductionLoss,
    /// The loss of every token.
    TokenLoss,
    /// Attention patterns of chosen prompts.
    AttentionPatterns,
    /// What every layer would say next.
    LogitLens,
    /// Activations of one prompt put into another.
    ActivationPatching,
    /// What one component sends to another.
    PathPatching,
    /// Activations replaced.
    Ablation,
    /// A direction added.
    Steering,
    /// Edits as an experiment lists them.
    Interventions,
    /// Activations or weights of one checkpoint put into another.
    CrossCheckpoint,
    /// Norms of parameters.
    WeightNorms,
}

impl Kind {
    /// The kind by the name that stands in the metadata; none for one that this version does not know.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "head_scores" => Self::HeadScores,
            "induction_loss" => Self::InductionLoss,
            "token_loss" => Self::TokenLoss,
            "attention_patterns" => Self::AttentionPatterns,
            "logit_lens" => Self::LogitLens,
            "activation_patching" => Self::ActivationPatching,
            "path_patching" => Self::PathPatching,
            "ablation" => Self::Ablation,
            "steering" => Self::Steering,
            "interventions" => Self::Interventions,
            "cross_checkpoint" => Self::CrossCheckpoint,
            "weight_norms" => Self::WeightNorms,
            _ => return None,
        })
    }

    /// What its tables are about, as a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::HeadScores => "What heads attend to",
            Self::InductionLoss => "Loss on repeated random tokens",
            Self::TokenLoss => "Loss of every token",
            Self::AttentionPatterns => "Attention patterns",
            Self::LogitLens => "Logit lens",
            Self::ActivationPatching => "Activation patching",
            Self::PathPatching => "Path patching",
            Self::Ablation => "Ablation",
            Self::Steering => "Steering",
            Self::Interventions => "Interventions",
            Self::CrossCheckpoint => "Patching between checkpoints",
            Self::WeightNorms => "Norms of weights",
        }
    }
}
