//! How probes are run: a family is one way of asking a model, shared by the probes of it.
//!
//! - [`reading`]: prompts go through the model once, and the probes that read the same prompts share that pass;
//! - [`causal`]: pairs of prompts are run and run again with changes, and the probes on the same pairs share the base runs;
//! - [`weights`]: parameters are handed over one by one, without a model.

pub mod causal;
pub(crate) mod reading;
pub mod weights;
