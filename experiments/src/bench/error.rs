//! Why a workload cannot be timed.

use pythia_core::load::LoadError;
use pythia_core::store::StoreError;
use pythia_core::weights::WeightError;
use pythia_hooks::HookError;
use pythia_probes::ProbeError;

use crate::terminal::{Exit, Explained};

/// Why a workload cannot be timed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A checkpoint is not where it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configuration cannot be read.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A timed sweep of interventions does not fit the model.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// An activation that was asked for did not occur.
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl Explained for BenchError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }
}
