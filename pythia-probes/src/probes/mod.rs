//! The probes, one file or folder each, and the closed table of them.
//!
//! A configuration is read from anything that serde reads, and declares its tables before it runs:
//!
//! ```
//! use pythia_probes::ProbeSpec;
//!
//! let config = serde_json::json!({ "prompts": { "tokens": [[1, 2, 3]] } });
//! let probe = ProbeSpec::read("token_loss", config)?.expect("there is such a probe");
//! let columns: Vec<&str> = probe.tables()[0].columns().map(|column| column.name).collect();
//! assert_eq!(columns, ["prompt_id", "pos", "token_id", "loss", "status"]);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! A new probe is a file with its configuration, its columns and its reader, a `mod` line, and a row of the table.

#[macro_use]
mod spec;

pub mod ablation;
pub mod activation_patching;
pub mod attention_patterns;
pub mod cross_checkpoint;
pub mod head_scores;
pub mod induction_loss;
pub mod interventions;
pub mod logit_lens;
pub mod path_patching;
pub mod steering;
pub mod token_loss;
pub mod weight_norms;

pub use spec::ProbeKind;

probes! {
    HeadScores(head_scores::HeadScores): Reading, "head_scores",
        "what every attention head attends to on repeated random tokens: induction, previous, duplicate and current \
         token, BOS sink";
    InductionLoss(induction_loss::InductionLoss): Reading, "induction_loss",
        "loss on both halves of repeated random tokens, accuracy on the second, in-context score";
    TokenLoss(token_loss::TokenLoss): Reading, "token_loss",
        "loss of every token of every prompt";
    AttentionPatterns(attention_patterns::AttentionPatterns): Reading, "attention_patterns",
        "attention patterns of a few chosen prompts, entry by entry";
    LogitLens(logit_lens::LogitLens): Reading, "logit_lens",
        "what the model would answer after each block: the stream at every depth through the final norm and the \
         unembedding";
    ActivationPatching(activation_patching::ActivationPatching): Causal, "activation_patching",
        "activations of one prompt of a pair written into the run of the other, place by place";
    PathPatching(path_patching::PathPatching): Causal, "path_patching",
        "what one component of the model sends to one input of another, with everything between them frozen";
    CrossCheckpoint(cross_checkpoint::CrossCheckpoint): Causal, "cross_checkpoint",
        "activations and weights of another checkpoint put into this one on the same prompts, place by place";
    Ablation(ablation::Ablation): Causal, "ablation",
        "what is lost where activations are replaced by zeros, means or those of other prompts: heads, layers, sets \
         of heads";
    Steering(steering::Steering): Causal, "steering",
        "a multiple of a vector, of a file or a difference of means, added to a place of the stream";
    Interventions(interventions::InterventionRuns): Causal, "interventions",
        "edits of runs as the experiment file lists them: zero, scale, mean, other prompt, vector";
    WeightNorms(weight_norms::WeightNorms): Weights, "weight_norms",
        "size of parameters and of what each head has of them; reads only these parameters";
}
