//! The contract of a probe: what it says of itself before it runs, whichever its family, and what it answers with.

use std::path::Path;

use crate::error::ProbeError;
use crate::pairs::PairSource;
use crate::subject::Context;
use crate::table::Table;

/// What a probe answers: its tables, in the order of [`ProbeSpec::tables`](crate::ProbeSpec::tables).
pub type Answer = Vec<Table>;

/// What every probe says of itself before it runs, whichever its family.
pub(crate) trait Probe {
    /// Whether the configuration leaves out all tables but the main one.
    fn main_table_only(&self) -> bool {
        false
    }

    /// Whether the probe needs logits, so that the model must be run to its end.
    fn reads_logits(&self) -> bool {
        true
    }

    /// Refuses a configuration that can have no answer.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field and its value.
    fn check(&self, context: &Context) -> Result<(), ProbeError>;

    /// What one run reads: prompts, and tokens in the longest of them.
    fn tokens_per_run(&self, context: &Context) -> (usize, usize);

    /// What it costs, where that is not one pass over [`tokens_per_run`](Probe::tokens_per_run).
    fn estimate(&self, _: &Context) -> Option<Estimate> {
        None
    }

    /// What it costs besides that pass.
    fn extra(&self, _: &Context) -> Estimate {
        Estimate::default()
    }

    /// The files it reads.
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Where its pairs of prompts come from, if it reads pairs.
    fn pair_source(&self) -> Option<&PairSource> {
        None
    }

    /// The steps of the other checkpoints it reads.
    fn source_checkpoints(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// What a probe costs beside the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes at the peak.
    pub memory: u64,
}
