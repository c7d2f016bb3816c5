//! Layer normalisation, with its two hook points.

use burn::tensor::Tensor;
use pythia_hooks::{HookPoint, Hooks};

use super::{fire, kernels};

/// Layer norm over the last axis: `(x − mean) / sqrt(var + eps) · weight + bias`, biased variance.
#[derive(Clone, Debug)]
pub(super) struct LayerNorm {
    /// `[d_model]`.
    pub weight: Tensor<1>,
    /// `[d_model]`.
    pub bias: Tensor<1>,
    pub eps: f64,
}

/// A stream, centred and divided by its scale, before weight and bias.
#[derive(Clone)]
pub(super) struct Normalized {
    /// `[batch, pos, d_model]`.
    pub stream: Tensor<3>,
    /// `[batch, pos, 1]`.
    pub scale: Tensor<3>,
}

impl LayerNorm {
    /// The norm with its hooks at `[scale, normalized]`. `x`: `[batch, pos, d_model]`.
    pub(super) fn forward(&self, x: Tensor<3>, points: [HookPoint; 2], hooks: &mut impl Hooks) -> Tensor<3> {
        self.finish(self.normalize(x), points, hooks)
    }

    /// Centres and scales. This depends on the stream alone, so the two norms of a parallel block share it.
    pub(super) fn normalize(&self, x: Tensor<3>) -> Normalized {
        let (stream, scale) = kernels::normalize(x, self.eps);
        Normalized { stream, scale }
    }

    /// Applies weight and bias, and calls the hooks at the scale and at the norm's result.
    pub(super) fn finish(&self, normalized: Normalized, points: [HookPoint; 2], hooks: &mut impl Hooks) -> Tensor<3> {
        let Normalized { mut stream, scale } = normalized;
        if hooks.wants(points[0]) {
            let edited = hooks.at(points[0], scale.clone());
            if hooks.edits(points[0]) {
                // Dividing by another scale. An unchanged one gives the factor 1 exactly.
                stream = stream * (scale / edited);
            }
        }
        fire(hooks, points[1], self.affine(stream))
    }

    /// Weight and bias.
    pub(super) fn affine(&self, stream: Tensor<3>) -> Tensor<3> {
        kernels::affine(stream, &self.weight, &self.bias)
    }
}
