//! Activations of the base run and of the sources as matrices: a row per token, `[prompt · pos, width]`, heads side
//! by side.

use burn::tensor::Tensor;
use pythia_core::config::NeoxConfig;
use pythia_core::model::GptNeoX;
use pythia_hooks::{Activation, Axis, HookPoint, Site};

use super::super::{Run, SourceActivations};

/// The activations of a base run, and those that replace them.
pub(super) struct BaseActivations<'a> {
    pub model: &'a GptNeoX,
    pub base: &'a Run,
    pub sources: &'a [SourceActivations],
}

/// Sizes of the axes of a site's activation.
pub(super) fn dims(site: Site, batch: usize, length: usize, config: &NeoxConfig) -> Vec<usize> {
    let size = |axis: &Axis| match axis {
        Axis::Batch => batch,
        Axis::Pos | Axis::Query | Axis::Key => length,
        Axis::Head => config.n_heads,
        Axis::Model => config.d_model,
        Axis::HeadDim => config.d_model / config.n_heads,
        Axis::Mlp => config.d_mlp,
        Axis::One => 1,
    };
    site.axes().iter().map(size).collect()
}

impl BaseActivations<'_> {
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
        let full = expanded(activation, &dims(point.site(), batch, length, self.model.config()));
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
        let whole = dims(point.site(), self.base.batch(), self.base.length(), self.model.config());
        self.sources[source].get(&point).is_some_and(|activation| activation.dims() == whole)
    }
}

/// `[batch, pos, …]` as rows. A row of a pattern is a query's: `[batch, head, query, key]` to `[batch · query, head ·
/// key]`.
fn rows_of(activation: &Activation, site: Site) -> Tensor<2> {
    match activation {
        Activation::Three(tensor) => flat(tensor),
        Activation::Four(tensor) => {
            let queries_second = site.dim_of(Axis::Query) == Some(2);
            let tensor = if queries_second { tensor.clone().swap_dims(1, 2) } else { tensor.clone() };
            let [batch, second, third, fourth] = tensor.dims();
            tensor.reshape([batch * second, third * fourth])
        }
    }
}

fn flat(tensor: &Tensor<3>) -> Tensor<2> {
    let [batch, length, width] = tensor.dims();
    tensor.clone().reshape([batch * length, width])
}

fn expanded(activation: Activation, whole: &[usize]) -> Activation {
    match activation {
        Activation::Three(tensor) => Activation::Three(tensor.expand([whole[0], whole[1], whole[2]])),
        Activation::Four(tensor) => Activation::Four(tensor.expand([whole[0], whole[1], whole[2], whole[3]])),
    }
}
