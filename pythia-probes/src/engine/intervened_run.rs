//! What a cell of a sweep changes.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use pythia_hooks::{Activation, Edit, HookPoint, Intervention, Region};

/// Activations that can be put in place of a run's own: those of another run, means over a data set, a steering vector.
/// Axes of size 1 are repeated.
pub type SourceActivations = BTreeMap<HookPoint, Activation>;

/// What is put at the place of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Zeros.
    Zero,
    /// The activation multiplied by a number.
    Scale(f32),
    /// The activation of a source, by its index.
    Source(usize),
    /// The activation plus a multiple of a source's.
    Add {
        /// Index of the source.
        source: usize,
        /// The multiple.
        factor: f32,
    },
}

/// One change of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where.
    pub point: HookPoint,
    /// Which part.
    pub region: Region,
    /// What is put there.
    pub value: Value,
}

/// One intervened run of the whole batch: the changes, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervenedRun {
    /// The changes. None at all leaves the base run.
    pub changes: Vec<Change>,
}

impl IntervenedRun {
    /// A cell of one change.
    pub fn of(point: HookPoint, region: Region, value: Value) -> Self {
        IntervenedRun { changes: vec![Change { point, region, value }] }
    }

    /// The cell as hooks for a full forward pass.
    ///
    /// # Panics
    /// If a source lacks the point that is taken from it.
    pub fn interventions(&self, sources: &[SourceActivations]) -> Vec<Intervention> {
        let intervention = |change: &Change| {
            let sourced = |source: usize| {
                sources[source].get(&change.point).unwrap_or_else(|| panic!("source {source} has no {}", change.point))
            };
            let edit = match change.value {
                Value::Zero => Edit::Zero,
                Value::Scale(factor) => Edit::Scale(factor),
                Value::Source(source) => Edit::Replace(sourced(source).clone()),
                Value::Add { source, factor } => Edit::Add(scaled(sourced(source), factor)),
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
