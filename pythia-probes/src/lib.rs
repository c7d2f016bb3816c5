//! Questions that a model can be asked: a probe takes a subject and a seed, and answers with tables.
//!
//! The parts, in reading order:
//!
//! - [`table`]: what every probe answers with, columns of equal length in which "undefined" is a null with a status;
//! - [`prompts`]: the tokens a probe runs on, drawn from a named generator so that a seed means the same for ever;
//! - [`pairs`]: two prompts that differ in what matters and the answers between which they decide, from a file or generated;
//! - [`subject`]: the model a probe looks at, and what may be asked of it;
//! - [`spec`]: the closed list of probes, and what the outside must know of one before it runs;
//! - [`head_scores`]: what attention heads attend to (induction, previous token, duplicate token, current token, BOS sink);
//! - [`induction_loss`]: how much better the second half of a repeated sequence is predicted;
//! - [`token_loss`]: the loss of every token of every prompt;
//! - [`attention_patterns`]: what heads attend to on a few prompts, entry by entry;
//! - [`logit_lens`]: what the model would answer after each block;
//! - `chosen`: prompts for those two, by text, token ids, or at random; [`loss`]: logits reduced to a loss per token, without a second tensor of their size;
//! - [`metric`]: what a run is asked at its end: logit difference, probability, rank, divergence;
//! - [`engine`]: many interventions on one batch, computed in full or only as far as they change anything;
//! - [`causal`]: what probes that intervene share: the paired of base runs, places, effects and their intervals;
//! - [`activation_patching`]: activations of one prompt of a pair written into the run of the other;
//! - [`path_patching`]: what one component of the model sends to one other, everything between them frozen;
//! - [`cross_checkpoint`]: activations and weights of another checkpoint in this one;
//! - [`ablation`]: activations replaced by ones that carry nothing of the prompt, with random sets of heads beside named ones;
//! - [`steering`]: a multiple of a vector added to a place of the stream;
//! - [`interventions`]: edits of runs as an experiment file lists them;
//! - [`weights`]: what probes of weights alone share; [`weight_norms`]: sizes of parameters and of what heads have of them;
//! - `reading`: probes that read the same tokens share one forward pass;
//! - `smaller`: where a device cannot hold all of a run, the same in parts; `sums`: long rows added up in float32;
//! - [`mod@run`]: asks probes, each family in its own way;
//! - [`bytes`]: sizes of memory in a configuration;
//! - [`error`]: every way in which a probe can be refused or fail.
//!
//! This crate never opens a file, reads a clock, or learns a model's name or training step: a result depends on the
//! weights, the probe's configuration and the seed alone.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bytes;
pub mod engine;
pub mod error;
pub mod families;
#[cfg(test)]
mod goldens;
pub mod loss;
pub mod metric;
pub mod pairs;
mod probe;
pub mod probes;
pub mod prompts;
mod random;
mod retry_on_oom;
pub mod run;
pub mod subject;
mod sums;
pub mod table;
#[cfg(test)]
mod testing;

pub use bytes::Bytes;
pub use error::ProbeError;
pub use families::weights::{ParamSource, WeightSubject};
pub use probe::{Answer, Estimate};
pub use probes::{ProbeKind, ProbeSpec};
pub use run::{run, run_on_weights};
pub use subject::{Context, Files, SourceCheckpoints, Subject};
pub use table::{Column, ColumnKind, ColumnSpec, Table, TableSpec};
