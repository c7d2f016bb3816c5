//! The feed-forward half of a block.

use burn::tensor::Tensor;
use pythia_hooks::{Hooks, Site};

use super::{fire, kernels, linear::Linear};

/// `W_out · GELU(W_in · x + b_in) + b_out`, with the exact GELU.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    /// `[d_model, d_mlp]`.
    pub up: Linear,
    /// `[d_mlp, d_model]`.
    pub down: Linear,
}

impl Mlp {
    /// `x`: `[batch, pos, d_model]`, after LN2.
    pub(super) fn forward(&self, layer: usize, x: Tensor<3>, hooks: &mut impl Hooks) -> Tensor<3> {
        let [batch, pos, d_model] = x.dims();
        let pre = self.up.forward(x.reshape([batch * pos, d_model]));
        let d_mlp = pre.dims()[1];
        let pre = fire(hooks, Site::MlpPre.at(layer), pre.reshape([batch, pos, d_mlp]));
        let post = fire(hooks, Site::MlpPost.at(layer), kernels::gelu(pre));
        let out = self.down.forward(post.reshape([batch * pos, d_mlp]));
        fire(hooks, Site::MlpOut.at(layer), out.reshape([batch, pos, d_model]))
    }
}
