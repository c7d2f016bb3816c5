//! Affine maps.

use burn::tensor::Tensor;

use super::kernels;

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
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.clone());
        match &self.bias {
            Some(bias) => kernels::add_bias(y, bias),
            None => y,
        }
    }
}
