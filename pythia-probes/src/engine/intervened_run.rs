//! What one intervention changes.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use pythia_hooks::{Activation, Edit, HookPoint, Intervention, Region};

/// Activations that can be put in place of a run's own: those of another run, means over prompts, a steering vector.
/// Axes of size 1 are repeated.
pub type SourceActivations = BTreeMap<HookPoint, Activation>;

/// What becomes of the activation that a change edits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Replacement {
    /// Zeros in its place.
    Zero,
    /// The activation multiplied by a number.
    Scale(f32),
    /// The activation of a source in its place, by the source's index.
    Source(usize),
    /// The activation plus a multiple of a source's.
    Add {
        /// Index of the source.
        source: usize,
        /// What the source is multiplied by.
        factor: f32,
    },
}

/// An edit of part of one activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The hook whose activation is edited.
    pub point: HookPoint,
    /// Which part of the activation is edited.
    pub region: Region,
    /// What becomes of that part.
    pub replacement: Replacement,
}

/// One intervention on the whole batch: its changes, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervenedRun {
    /// The changes. None at all leaves the base run.
    pub changes: Vec<Change>,
}

impl IntervenedRun {
    /// An intervention of one change.
    pub fn of(point: HookPoint, region: Region, replacement: Replacement) -> Self {
        IntervenedRun { changes: vec![Change { point, region, replacement }] }
    }

    /// The same replacement in several parts of one activation.
    pub(crate) fn at(point: HookPoint, regions: &[Region], replacement: Replacement) -> Self {
        let change = |region: &Region| Change { point, region: region.clone(), replacement };
        IntervenedRun { changes: regions.iter().map(change).collect() }
    }

    /// The changes as hooks for a forward pass.
    ///
    /// # Panics
    /// If a source lacks the point that is taken from it.
    pub(crate) fn hooks(&self, sources: &[SourceActivations]) -> Vec<Intervention> {
        let intervention = |change: &Change| {
            let sourced = |source: usize| {
                sources[source].get(&change.point).unwrap_or_else(|| panic!("source {source} has no {}", change.point))
            };
            let edit = match change.replacement {
                Replacement::Zero => Edit::Zero,
                Replacement::Scale(factor) => Edit::Scale(factor),
                Replacement::Source(source) => Edit::Replace(sourced(source).clone()),
                Replacement::Add { source, factor } => Edit::Add(scaled(sourced(source), factor)),
            };
            Intervention { point: change.point, region: change.region.clone(), edit }
        };
        self.changes.iter().map(intervention).collect()
    }
}

fn scaled(activation: &Activation, factor: f32) -> Activation {
    fn times<const D: usize>(tensor: &Tensor<D>, factor: f32) -> Tensor<D> {
        tensor.clone() * factor
    }
    match activation {
        Activation::Three(tensor) => Activation::Three(times(tensor, factor)),
        Activation::Four(tensor) => Activation::Four(times(tensor, factor)),
    }
}
