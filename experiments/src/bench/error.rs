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
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl Explained for BenchError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }
}
