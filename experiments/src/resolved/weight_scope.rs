//! What a cell reads of its checkpoint: all of it, or some tensors alone.

use std::collections::BTreeSet;

use pythia_core::config::NeoxConfig;
use pythia_core::params::Param;
use pythia_core::suite::Step;
use pythia_core::weights::{PartHashes, Profile, stored_bytes};
use pythia_probes::{ProbeError, ProbeSpec};
use serde::Serialize;

use crate::config::Experiment;
use crate::resolved::Model;

/// Where the weights of a checkpoint are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Location {
    /// On disk.
    Here { bytes: u64 },
    /// On the hub, to be fetched.
    Hub {
        bytes: u64,
        /// Whether the size is pinned, not the usual one of the suite.
        pinned: bool,
    },
    /// Nowhere.
    Nowhere,
}

impl Location {
    /// Bytes to read, once they are fetched.
    pub(crate) fn bytes(self) -> Option<u64> {
        match self {
            Location::Here { bytes } | Location::Hub { bytes, .. } => Some(bytes),
            Location::Nowhere => None,
        }
    }

    pub(crate) fn bytes_to_fetch(self) -> u64 {
        if let Location::Hub { bytes, .. } = self { bytes } else { 0 }
    }
}

/// What is read of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightScope {
    /// Whether a model is run, for which all weights are loaded.
    pub(crate) model: bool,
    /// The parameters that probes of weights alone read.
    pub(crate) params: BTreeSet<Param>,
    /// Whether no probe of the whole experiment runs a model. Single tensors are fetched only then:
    /// otherwise the metadata of a table would depend on which other probes were done before.
    pub(crate) alone: bool,
}

impl WeightScope {
    /// All of a checkpoint.
    pub(crate) const MODEL: &'static Self = {
        static MODEL: WeightScope = WeightScope { model: true, params: BTreeSet::new(), alone: false };
        &MODEL
    };

    /// What some probes of an experiment read.
    pub(crate) fn of(experiment: &Experiment, config: &NeoxConfig, probes: &[usize]) -> Self {
        let specs = || probes.iter().map(|probe| &experiment.probes[*probe].spec);
        // A wrong choice is an error of the check before.
        let params = specs().filter_map(|spec| spec.weights_only(config)?.ok()).flatten().collect();
        let runs_model = |spec: &ProbeSpec| spec.weights_only(config).is_none();
        let alone = !experiment.probes.iter().any(|probe| runs_model(&probe.spec));
        Self { model: specs().any(runs_model), params, alone }
    }

    /// The parameters to fetch one by one; `None` where whole files are fetched.
    pub(crate) fn single_tensors(&self) -> Option<&BTreeSet<Param>> {
        (!self.model && self.alone).then_some(&self.params)
    }

    /// The location of these tensors, given that of the whole checkpoint.
    pub(crate) fn location(&self, model: &Model, step: Option<Step>, whole: Location) -> Location {
        let width = |all| stored_width(&model.config, Some(all));
        let bytes = |all: u64| stored_bytes(&model.config, &self.params, width(all)).min(all);
        let by_range = || self.single_tensors().is_some() && has_safetensors(model, step);
        match whole {
            Location::Here { bytes: all } if !self.model => Location::Here { bytes: bytes(all) },
            Location::Hub { bytes: all, pinned } if by_range() => Location::Hub { bytes: bytes(all), pinned },
            whole => whole,
        }
    }
}

/// Bytes of a value in files of `all` bytes: two or four. Two where the size is not known.
pub(crate) fn stored_width(config: &NeoxConfig, all: Option<u64>) -> u64 {
    if all.is_some_and(|all| all >= 3 * config.n_params()) { 4 } else { 2 }
}

/// Whether a pinned step is read from safetensors files, whose headers hold the offsets of tensors.
fn has_safetensors(model: &Model, step: Option<Step>) -> bool {
    let files = model.pins.as_ref().and_then(|pins| pins.needed(step)?.ok());
    files.is_some_and(|files| files.iter().any(|file| file.name.as_str().ends_with(".safetensors")))
}

/// Probes of weights alone read them as published: folding mixes different tensors.
///
/// # Errors
/// [`ProbeError::AsPublished`] where the experiment folds.
pub(crate) fn check_profile(spec: &ProbeSpec, config: &NeoxConfig, weights: Profile) -> Result<(), ProbeError> {
    if weights == Profile::AsPublished || spec.weights_only(config).is_none() {
        return Ok(());
    }
    Err(ProbeError::AsPublished { probe: spec.kind(), weights: weights.name() })
}

/// The hashes of what a probe reads of a checkpoint, independent of what other probes read at the same time.
pub(crate) fn weights_read(spec: &ProbeSpec, config: &NeoxConfig, all: &PartHashes) -> PartHashes {
    match spec.weights_only(config) {
        Some(Ok(only)) => all.of(config, &only),
        _ => all.clone(),
    }
}
