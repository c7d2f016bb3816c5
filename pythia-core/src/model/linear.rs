//! Affine maps.

use std::ops::Range;

use burn::tensor::Tensor;

use super::kernels;

/// `x · W`, computed in the number type of the weights and returned in that of `x`. Half types are used for products
/// only.
pub(super) fn product<const D: usize>(x: Tensor<D>, weight: Tensor<D>) -> Tensor<D> {
    let (dtype, narrow) = (x.dtype(), weight.dtype());
    if dtype == narrow { x.matmul(weight) } else { x.cast(narrow).matmul(weight).cast(dtype) }
}

/// `x·W + b`, with the weight kept contiguous as `[in, out]`: the transposed view of a `[out, in]` weight
/// would make every small matrix product up to four times slower.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// `[in, out]`.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    /// `[rows, in]` to `[rows, out]`. Callers flatten batch and position first: one large product beats a
    /// batch of small ones.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = product(x, self.weight.clone());
        match &self.bias {
            Some(bias) => kernels::add_bias(y, bias),
            None => y,
        }
    }

    /// Replaces some outputs, biases included, by those of another map of the same shape.
    pub(super) fn take_outputs(&mut self, other: &Linear, outputs: Range<usize>) {
        let [inputs, _] = self.weight.dims();
        let part = [0..inputs, outputs.clone()];
        self.weight = self.weight.clone().slice_assign(part.clone(), other.weight.clone().slice(part));
        if let (Some(ours), Some(theirs)) = (&mut self.bias, &other.bias) {
            *ours = ours.clone().slice_assign([outputs.clone()], theirs.clone().slice([outputs]));
        }
    }

    /// Replaces the weights of some inputs by those of another map of the same shape. The bias stays.
    pub(super) fn take_inputs(&mut self, other: &Linear, inputs: Range<usize>) {
        let [_, outputs] = self.weight.dims();
        let part = [inputs, 0..outputs];
        self.weight = self.weight.clone().slice_assign(part.clone(), other.weight.clone().slice(part));
    }
}
