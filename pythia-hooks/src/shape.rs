//! The sizes of a model.

use crate::{Axis, Site};

/// The sizes of a model that determine its hook points and the shapes of their activations.
///
/// ```
/// use pythia_hooks::{Axis, ModelShape, Site};
///
/// let model = ModelShape { n_layers: 6, n_heads: 8, d_model: 512, d_head: 64, d_mlp: 2048, parallel: true };
/// // Two prompts of ten tokens: `[batch, head, query, key]` and `[batch, pos, head, d_head]`.
/// assert_eq!(model.dims(Site::Pattern, 2, 10), [2, 8, 10, 10]);
/// assert_eq!(model.dims(Site::Z, 2, 10), [2, 10, 8, 64]);
/// assert_eq!(model.axis_size(Axis::Mlp, 2, 10), 2048);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// Number of blocks.
    pub n_layers: usize,
    /// Heads in each block.
    pub n_heads: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one head's queries, keys and values.
    pub d_head: usize,
    /// Neurons of each MLP.
    pub d_mlp: usize,
    /// Whether attention and MLP both read the block's input.
    pub parallel: bool,
}

impl ModelShape {
    /// The length of an axis in a run on `batch` prompts of `length` tokens.
    pub fn axis_size(&self, axis: Axis, batch: usize, length: usize) -> usize {
        match axis {
            Axis::Batch => batch,
            Axis::Pos | Axis::Query | Axis::Key => length,
            Axis::Head => self.n_heads,
            Axis::Model => self.d_model,
            Axis::HeadDim => self.d_head,
            Axis::Mlp => self.d_mlp,
            Axis::One => 1,
        }
    }

    /// The shape of the activations at a site in a run on `batch` prompts of `length` tokens.
    pub fn dims(&self, site: Site, batch: usize, length: usize) -> Vec<usize> {
        site.axes().iter().map(|axis| self.axis_size(*axis, batch, length)).collect()
    }

    /// The layer counted from 0. A negative `layer` counts from the end: −1 is the last layer. `None` if the model
    /// has no such layer.
    pub fn layer(&self, layer: i64) -> Option<usize> {
        let from_start = if layer < 0 { layer.saturating_add_unsigned(self.n_layers as u64) } else { layer };
        usize::try_from(from_start).ok().filter(|layer| *layer < self.n_layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_count_from_both_ends() {
        let model = ModelShape { n_layers: 6, n_heads: 1, d_model: 1, d_head: 1, d_mlp: 1, parallel: true };
        assert_eq!([0, 5, -1, -6].map(|layer| model.layer(layer)), [Some(0), Some(5), Some(5), Some(0)]);
        assert_eq!([6, -7, i64::MIN, i64::MAX].map(|layer| model.layer(layer)), [None; 4]);
    }
}
