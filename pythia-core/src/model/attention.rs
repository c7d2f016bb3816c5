//! Causal self-attention, with all its hook points.

use burn::tensor::Tensor;
use pythia_hooks::{Hooks, Site};

use super::{
    fire, kernels,
    linear::{Linear, product},
    norm::LayerNorm,
    rotary::RotaryTable,
};

/// Multi-head attention. Query, key and value have a weight each: a probe of patterns then need not compute the last
/// layer's values, and each head is a block of columns.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    /// `[d_model, head · d_head]`, heads outermost.
    pub query: Linear,
    /// `[d_model, head · d_head]`.
    pub key: Linear,
    /// `[d_model, head · d_head]`.
    pub value: Linear,
    /// `[head · d_head, d_model]`.
    pub out: Linear,
    pub n_heads: usize,
}

/// The inputs of queries, keys and values for each head, `[batch, pos, head, d_model]` before LN1, where a hook edits
/// them: the original stream, and the edited one.
#[derive(Default)]
pub(super) struct SplitInputs {
    query: Option<(Tensor<4>, Tensor<4>)>,
    key: Option<(Tensor<4>, Tensor<4>)>,
    value: Option<(Tensor<4>, Tensor<4>)>,
}

impl Attention {
    /// Fires the wanted split-input points.
    pub(super) fn split_inputs(&self, layer: usize, stream: &Tensor<3>, hooks: &mut impl Hooks) -> SplitInputs {
        let all = [Site::AttnIn, Site::QInput, Site::KInput, Site::VInput].map(|site| site.at(layer));
        if !all.iter().any(|&point| hooks.wants(point)) {
            return SplitInputs::default();
        }
        let original = stream.clone().unsqueeze_dim::<4>(2).repeat_dim(2, self.n_heads);
        let attn_in = fire(hooks, all[0], original.clone());
        let mut input = |point| {
            let edited = fire(hooks, point, attn_in.clone());
            (hooks.edits(point) || hooks.edits(all[0])).then(|| (original.clone(), edited))
        };
        SplitInputs { query: input(all[1]), key: input(all[2]), value: input(all[3]) }
    }

    /// Attention's output, `[batch, pos, d_model]`. `normed`: the stream after LN1.
    pub(super) fn forward(
        &self,
        layer: usize,
        normed: Tensor<3>,
        inputs: &SplitInputs,
        ln1: &LayerNorm,
        rotary: &RotaryTable,
        hooks: &mut impl Hooks,
    ) -> Tensor<3> {
        let (pattern, value) = self.pattern_and_value(layer, normed, inputs, ln1, rotary, true, hooks);
        let Some(value) = value else { unreachable!("values were asked for") };
        let z = pattern.matmul(value.swap_dims(1, 2)).swap_dims(1, 2);
        let z = fire(hooks, Site::Z.at(layer), z);
        self.project(layer, z, hooks)
    }

    /// The pattern alone, `[batch, head, query, key]`: values and output are not computed unless wanted.
    pub(super) fn pattern(
        &self,
        layer: usize,
        normed: Tensor<3>,
        inputs: &SplitInputs,
        ln1: &LayerNorm,
        rotary: &RotaryTable,
        hooks: &mut impl Hooks,
    ) -> Tensor<4> {
        let values = hooks.wants(Site::V.at(layer));
        self.pattern_and_value(layer, normed, inputs, ln1, rotary, values, hooks).0
    }

    #[allow(clippy::too_many_arguments)] // The argument list of `forward`, and one choice more.
    fn pattern_and_value(
        &self,
        layer: usize,
        normed: Tensor<3>,
        inputs: &SplitInputs,
        ln1: &LayerNorm,
        rotary: &RotaryTable,
        values: bool,
        hooks: &mut impl Hooks,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let q = self.heads(&self.query, &normed, &inputs.query, ln1);
        let q = fire(hooks, Site::Q.at(layer), q);
        let k = self.heads(&self.key, &normed, &inputs.key, ln1);
        let k = fire(hooks, Site::K.at(layer), k);
        let v = values.then(|| {
            let v = self.heads(&self.value, &normed, &inputs.value, ln1);
            fire(hooks, Site::V.at(layer), v)
        });
        let q = fire(hooks, Site::RotQ.at(layer), rotary.apply(q));
        let k = fire(hooks, Site::RotK.at(layer), rotary.apply(k));
        let d_head = q.dims()[3] as f64;
        let products = q.swap_dims(1, 2).matmul(k.swap_dims(1, 2).swap_dims(2, 3));
        let scores = kernels::mask_scores(products, d_head.powf(-0.5));
        let scores = fire(hooks, Site::AttnScores.at(layer), scores);
        (fire(hooks, Site::Pattern.at(layer), kernels::softmax(scores)), v)
    }

    /// Queries, keys or values, `[batch, pos, head, d_head]`.
    fn heads(
        &self,
        map: &Linear,
        normed: &Tensor<3>,
        split: &Option<(Tensor<4>, Tensor<4>)>,
        ln1: &LayerNorm,
    ) -> Tensor<4> {
        let [batch, pos, d_model] = normed.dims();
        let flat = map.forward(normed.clone().reshape([batch * pos, d_model]));
        let d_head = flat.dims()[1] / self.n_heads;
        let heads = flat.reshape([batch, pos, self.n_heads, d_head]);
        match split {
            // The difference of the edit is added, so that an edit that changes nothing adds exact zeros and the run
            // stays the same bit for bit.
            Some((original, edited)) => {
                let read = |input: &Tensor<4>| self.read_split(map, input.clone(), ln1);
                heads + (read(edited) - read(original))
            }
            None => heads,
        }
    }

    /// Applies each head's part of `map` to the head's own input, without bias.
    fn read_split(&self, map: &Linear, input: Tensor<4>, ln1: &LayerNorm) -> Tensor<4> {
        let [batch, pos, n_heads, d_model] = input.dims();
        let rows = input.swap_dims(1, 2).swap_dims(0, 1).reshape([n_heads * batch, pos, d_model]);
        let normed = ln1.affine(ln1.normalize(rows).stream).reshape([n_heads, batch * pos, d_model]);
        let d_head = map.weight.dims()[1] / n_heads;
        let weight = map.weight.clone().reshape([d_model, n_heads, d_head]).swap_dims(0, 1);
        product(normed, weight).reshape([n_heads, batch, pos, d_head]).swap_dims(0, 1).swap_dims(1, 2)
    }

    /// Heads' outputs to the residual stream. `z`: `[batch, pos, head, d_head]`.
    fn project(&self, layer: usize, z: Tensor<4>, hooks: &mut impl Hooks) -> Tensor<3> {
        let [batch, pos, n_heads, d_head] = z.dims();
        let flat = z.clone().reshape([batch * pos, n_heads * d_head]);
        let out = self.out.forward(flat);
        let d_model = out.dims()[1];
        let out = out.reshape([batch, pos, d_model]);
        let point = Site::Result.at(layer);
        if !hooks.wants(point) {
            return out;
        }
        let result = self.results(z);
        let edited = hooks.at(point, result.clone());
        if hooks.edits(point) {
            // As for the split inputs: an edit that changes nothing adds exact zeros.
            return out + (edited - result).sum_dim(2).reshape([batch, pos, d_model]);
        }
        out
    }

    /// Each head's output, `[batch, pos, head, d_model]`, without `b_O`.
    pub(super) fn results(&self, z: Tensor<4>) -> Tensor<4> {
        let [batch, pos, n_heads, d_head] = z.dims();
        let d_model = self.out.weight.dims()[1];
        let rows = z.swap_dims(1, 2).swap_dims(0, 1).reshape([n_heads, batch * pos, d_head]);
        let weight = self.out.weight.clone().reshape([n_heads, d_head, d_model]);
        product(rows, weight).reshape([n_heads, batch, pos, d_model]).swap_dims(0, 1).swap_dims(1, 2)
    }
}
