//! Probes of weights alone: no model is run, and parameters are read one by one, so that a model of any size
//! can be asked.

use std::collections::BTreeSet;

use pythia_core::config::NeoxConfig;
use pythia_core::params::{HostTensor, Param};
use pythia_core::weights::WeightError;

use crate::error::ProbeError;
use crate::probe::{Answer, Probe};
use crate::subject::Context;

/// Gives a parameter as published, in the layout of [`Param::shape`]. It may be read from a file only now.
pub type ParamSource<'a> = dyn Fn(Param) -> Result<HostTensor, WeightError> + 'a;

/// A checkpoint that is asked for its weights.
#[derive(Clone, Copy)]
pub struct WeightSubject<'a> {
    /// What is known of it without its weights.
    pub context: Context<'a>,
    /// Its parameters, at least those that [`ProbeSpec::weights_only`](crate::ProbeSpec::weights_only) names.
    pub param: &'a ParamSource<'a>,
}

/// A probe that reads weights and nothing else.
pub(crate) trait WeightProbe: Probe {
    /// The parameters it reads.
    ///
    /// # Errors
    /// A configuration that names some that the model lacks.
    fn params(&self, config: &NeoxConfig) -> Result<BTreeSet<Param>, ProbeError>;

    /// Its tables. `params`: those that [`params`](Self::params) says.
    ///
    /// # Errors
    /// Those of the weights, as they come.
    fn answer(&self, params: &BTreeSet<Param>, subject: &WeightSubject) -> Result<Answer, WeightError>;
}
