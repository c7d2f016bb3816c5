//! One block: attention and MLP around the residual stream.

use burn::tensor::Tensor;
use pythia_hooks::{Hooks, Site};

use super::{
    attention::Attention,
    fire,
    mlp::Mlp,
    norm::{LayerNorm, Normalized},
    rotary::RotaryTable,
};

/// A transformer block.
///
/// Parallel (Pythia): `x ← x + attn(LN1 x) + mlp(LN2 x)`, both norms read the block's input.
/// Sequential: `x ← x + attn(LN1 x)`, then `x ← x + mlp(LN2 x)`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub ln1: LayerNorm,
    pub ln2: LayerNorm,
    pub attention: Attention,
    pub mlp: Mlp,
    pub parallel: bool,
}

impl Block {
    /// `stream`: `[batch, pos, d_model]`, in and out.
    pub(super) fn forward(
        &self,
        layer: usize,
        stream: Tensor<3>,
        rotary: &RotaryTable,
        hooks: &mut impl Hooks,
    ) -> Tensor<3> {
        let stream = fire(hooks, Site::ResidPre.at(layer), stream);
        let normalized = self.ln1.normalize(stream.clone());
        let attn_out = self.attend(layer, &stream, normalized.clone(), rotary, hooks);
        let resid_post = if self.parallel {
            let mlp_out = self.feed_forward(layer, stream.clone(), Some(normalized), hooks);
            stream + attn_out + mlp_out
        } else {
            let resid_mid = fire(hooks, Site::ResidMid.at(layer), stream + attn_out);
            let mlp_out = self.feed_forward(layer, resid_mid.clone(), None, hooks);
            resid_mid + mlp_out
        };
        fire(hooks, Site::ResidPost.at(layer), resid_post)
    }

    /// Runs the block up to `until`, the last wanted site.
    pub(super) fn observe(
        &self,
        layer: usize,
        stream: Tensor<3>,
        rotary: &RotaryTable,
        until: Site,
        hooks: &mut impl Hooks,
    ) {
        if until.firing_order() > Site::Pattern.firing_order() {
            self.forward(layer, stream, rotary, hooks);
            return;
        }
        let stream = fire(hooks, Site::ResidPre.at(layer), stream);
        let inputs = self.attention.split_inputs(layer, &stream, hooks);
        let normed = self.ln1.forward(stream, [Site::Ln1Scale.at(layer), Site::Ln1Normalized.at(layer)], hooks);
        self.attention.pattern(layer, normed, &inputs, &self.ln1, rotary, hooks);
    }

    /// Attention's output, `[batch, pos, d_model]`.
    fn attend(
        &self,
        layer: usize,
        stream: &Tensor<3>,
        normalized: Normalized,
        rotary: &RotaryTable,
        hooks: &mut impl Hooks,
    ) -> Tensor<3> {
        let inputs = self.attention.split_inputs(layer, stream, hooks);
        let normed = self.ln1.finish(normalized, [Site::Ln1Scale.at(layer), Site::Ln1Normalized.at(layer)], hooks);
        let attn_out = self.attention.forward(layer, normed, &inputs, &self.ln1, rotary, hooks);
        fire(hooks, Site::AttnOut.at(layer), attn_out)
    }

    /// The MLP's output. `normalized` is the normalised stream if LN1 has computed it already. An edit of
    /// `hook_mlp_in` makes another stream, which is normalised again.
    fn feed_forward(
        &self,
        layer: usize,
        stream: Tensor<3>,
        normalized: Option<Normalized>,
        hooks: &mut impl Hooks,
    ) -> Tensor<3> {
        let point = Site::MlpIn.at(layer);
        let input = fire(hooks, point, stream);
        let normalized = match normalized {
            Some(normalized) if !hooks.edits(point) => normalized,
            _ => self.ln2.normalize(input),
        };
        let normed = self.ln2.finish(normalized, [Site::Ln2Scale.at(layer), Site::Ln2Normalized.at(layer)], hooks);
        self.mlp.forward(layer, normed, hooks)
    }
}
