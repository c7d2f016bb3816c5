//! How probes are run. A family is one way to run probes, and names none of them.
//!
//! - `reading`: prompts go through the model once, and probes that read the same prompts share that pass;
//! - [`causal`]: pairs of prompts are run, and run again with interventions; probes on the same pairs share the base
//!   runs;
//! - [`weights`]: parameters are read one by one, without a model.
//!
//! A family of gradients (prompts → one forward and one backward pass) would be a module beside these, a variant of
//! `ProbeFamily`, and an arm in `run.rs`.

pub mod causal;
pub(crate) mod reading;
pub mod weights;

use crate::probe::Probe;

/// A probe behind the trait of its family.
#[derive(Clone, Copy)]
pub(crate) enum ProbeFamily<'a> {
    /// Prompts → one pass over the model, shared with other probes → tables.
    Reading(&'a dyn reading::ReadingProbe),
    /// Pairs of prompts → base runs, shared with other probes → intervened runs → tables.
    Causal(&'a dyn causal::CausalProbe),
    /// Parameters, one by one and without a model → tables.
    Weights(&'a dyn weights::WeightProbe),
}

impl<'a> ProbeFamily<'a> {
    /// What every probe says of itself.
    pub(crate) fn probe(self) -> &'a dyn Probe {
        match self {
            ProbeFamily::Reading(probe) => probe,
            ProbeFamily::Causal(probe) => probe,
            ProbeFamily::Weights(probe) => probe,
        }
    }
}
