//! The other checkpoints of a model that its open probes read.

use std::collections::BTreeMap;

use pythia_probes::ProbeSpec;

use crate::resolved::weight_scope::Location;

/// A checkpoint that some open probes of a model read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSource {
    /// Index of the model in the experiment.
    pub(crate) model: usize,
    /// The label of its step.
    pub(crate) label: u32,
    /// Whether one of those probes reads logits.
    pub(crate) unembed: bool,
    /// Where its weights are.
    pub(crate) location: Location,
}

/// The labels that probes ask for, each once, with whether one of the askers reads logits.
pub(crate) fn asked_for<'a>(probes: impl IntoIterator<Item = &'a ProbeSpec>) -> BTreeMap<u32, bool> {
    let mut labels = BTreeMap::new();
    for probe in probes {
        for label in probe.source_checkpoints() {
            *labels.entry(label).or_insert(false) |= probe.reads_logits();
        }
    }
    labels
}
