//! Activations of the base run and of the sources as matrices: a row per token, `[prompt · pos, width]`, heads side
//! by side.

use burn::tensor::Tensor;
use pythia_core::model::GptNeoX;
use pythia_hooks::{Activation, HookPoint, Site};

use super::super::{Run, SourceActivations, flat, rows_of};

/// The activations of a base run, and those that replace them.
pub(super) struct BaseActivations<'a> {
    pub model: &'a GptNeoX,
    pub base: &'a Run,
    pub sources: &'a [SourceActivations],
}

impl BaseActivations<'_> {
    /// The shape of the activations at a site in the base run.
    pub(super) fn dims(&self, site: Site) -> Vec<usize> {
        self.model.model_shape().dims(site, self.base.batch(), self.base.length())
    }

    /// The base run's rows at a point; `None` if they were not kept and cannot be derived.
    pub(super) fn base(&self, point: HookPoint) -> Option<Tensor<2>> {
        let layer = point.layer().unwrap_or(0);
        match point.site() {
            Site::Embed => self.base(Site::ResidPre.at(0)),
            Site::Q => self.base(Site::RotQ.at(layer)),
            Site::K => self.base(Site::RotK.at(layer)),
            Site::Result => Some(self.model.rows(layer).results(self.base(Site::Z.at(layer))?)),
            Site::ResidMid => Some(self.base(Site::ResidPre.at(layer))? + self.base(Site::AttnOut.at(layer))?),
            Site::ResidPost if layer + 1 == self.model.config().n_layers => Some(flat(self.base.end())),
            Site::ResidPost => self.base(Site::ResidPre.at(layer + 1)),
            _ => self.base.get(point).map(|activation| rows_of(activation, point.site())),
        }
    }

    /// A source's rows at a point. Queries and keys come after rotation, as [`base`](Self::base) gives them.
    ///
    /// # Panics
    /// If the source lacks the point.
    pub(super) fn source(&self, source: usize, point: HookPoint) -> Tensor<2> {
        let activation =
            self.sources[source].get(&point).unwrap_or_else(|| panic!("source {source} has no {point}")).clone();
        let (batch, length) = (self.base.batch(), self.base.length());
        let full = expanded(activation, &self.dims(point.site()));
        let table = rows_of(&full, point.site());
        match point.site() {
            Site::Q | Site::K => {
                let positions: Vec<u32> = (0..batch).flat_map(|_| 0..length as u32).collect();
                self.model.rows(point.layer().unwrap_or(0)).rotate(table, &positions)
            }
            _ => table,
        }
    }

    /// Whether the source's activation has the batch and length of the run, so that it can be compared with it.
    pub(super) fn is_full(&self, source: usize, point: HookPoint) -> bool {
        let whole = self.dims(point.site());
        self.sources[source].get(&point).is_some_and(|activation| activation.dims() == whole)
    }
}

fn expanded(activation: Activation, whole: &[usize]) -> Activation {
    match activation {
        Activation::Three(tensor) => Activation::Three(tensor.expand([whole[0], whole[1], whole[2]])),
        Activation::Four(tensor) => Activation::Four(tensor.expand([whole[0], whole[1], whole[2], whole[3]])),
    }
}
