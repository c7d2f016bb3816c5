//! The form made of tensor operations: for gradients, other devices and float64.

use burn::tensor::{Bool, DType, Device, Tensor};

use super::{super::rotary::RotaryTable, fast};

/// GELU made of `erf`: the backends' own gelu has the tanh form's gradient on GPUs.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let tracked_on_cpu = x.is_autodiff() && x.dtype() == DType::F32 && x.device() == Device::flex();
    if tracked_on_cpu {
        return gelu_with_slope(x);
    }
    x.clone() * ((x / std::f64::consts::SQRT_2).erf() + 1.0) * 0.5
}

/// GELU whose value and slope come from the fast kernels: `(x − x₀)·slope + value` at `x₀ = x` has exactly that
/// value and exactly that slope, and spares the graph everything in between.
fn gelu_with_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let plain = x.clone().inner();
    let (value, slope) = (fast::gelu(plain.clone()), fast::gelu_slope(plain.clone()));
    (x - Tensor::from_inner(plain)) * Tensor::from_inner(slope) + Tensor::from_inner(value)
}

pub fn normalize(x: Tensor<3>, eps: f64) -> (Tensor<3>, Tensor<3>) {
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let scale = (variance + eps).sqrt();
    (centred / scale.clone(), scale)
}

pub fn rotate(x: Tensor<4>, table: &RotaryTable) -> Tensor<4> {
    let [_, pos, _, d_head] = x.dims();
    let half = table.ndims / 2;
    let along = |t: &Tensor<2>| t.clone().slice([0..pos, 0..half]).reshape([1, pos, 1, half]);
    let (cos, sin) = (along(&table.cos), along(&table.sin));
    let first = x.clone().slice_dim(3, 0..half);
    let second = x.clone().slice_dim(3, half..table.ndims);
    let mut parts = vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
    if table.ndims < d_head {
        parts.push(x.slice_dim(3, table.ndims..d_head));
    }
    Tensor::cat(parts, 3)
}

pub fn mask_scores(products: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, heads, queries, keys] = products.dims();
    let offset = (keys - queries) as i64;
    let future = Tensor::<2, Bool>::tril_mask([queries, keys], offset, &products.device().inner());
    let future = future.unsqueeze::<4>().expand([batch, heads, queries, keys]);
    (products * scale).mask_fill(future, f32::NEG_INFINITY)
}
