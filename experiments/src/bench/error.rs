//! Why a workload cannot be timed.

use pythia_hooks::HookError;
use pythia_probes::ProbeError;

use crate::checkpoint::load::LoadError;
use crate::terminal::exits_with;

/// Why a workload cannot be timed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Hook(#[from] HookError),
}

exits_with!(BenchError, BadInput);
