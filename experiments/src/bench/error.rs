//! Why a workload cannot be timed.

use pythia_hooks::HookError;
use pythia_probes::ProbeError;

use crate::checkpoint::load::LoadError;
use crate::terminal::{Exit, Explained};

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

impl Explained for BenchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Load(error) => error.exit(),
            Self::Hook(error) => error.exit(),
            Self::Probe(_) => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.remedy(),
            Self::Hook(error) | Self::Probe(ProbeError::Hook(error)) => error.remedy(),
            Self::Probe(_) => None,
        }
    }
}
