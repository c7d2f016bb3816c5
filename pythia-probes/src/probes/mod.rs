//! The probes, one file or folder each, and the closed list of them.

pub mod ablation;
pub mod activation_patching;
pub mod attention_patterns;
pub mod cross_checkpoint;
pub mod head_scores;
pub mod induction_loss;
pub mod interventions;
pub mod logit_lens;
pub mod path_patching;
pub mod spec;
pub mod steering;
pub mod token_loss;
pub mod weight_norms;
