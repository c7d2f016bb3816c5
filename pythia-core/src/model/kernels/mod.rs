//! Elementwise loops, each in two forms that agree to rounding.
//!
//! The CPU backend runs unary and broadcast operations one element at a time on one thread, which would cost a
//! quarter of a forward pass. Plain float32 tensors on that backend therefore go through the `fast` form: in place,
//! rows divided among the cores, in loops compiled for the widest vector instructions of the machine ([`pulp`] picks
//! them at run time). No loop here reassociates or fuses operations, so the results do not depend on the machine or
//! the number of threads.
//!
//! Everything else (tracked gradients, other devices, float64) takes the `composed` form, made of tensor
//! operations.

mod composed;
mod fast;
mod scalar;

use burn::tensor::{DType, Device, Tensor};

use super::{rotary::RotaryTable, rows::Lookup};

/// Whether the fast form applies: float32, on the CPU backend, gradients not tracked.
fn is_plain<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && !x.is_autodiff() && x.device() == Device::flex()
}

/// `y + bias` in each row. `y`: `[rows, n]`, `bias`: `[n]`.
pub(crate) fn add_bias(y: Tensor<2>, bias: &Tensor<1>) -> Tensor<2> {
    if is_plain(&y) && is_plain(bias) { fast::add_bias(y, bias) } else { y + bias.clone().unsqueeze() }
}

/// `x · weight + bias` in each row. `x`: `[batch, pos, n]`; `weight`, `bias`: `[n]`.
pub fn affine(x: Tensor<3>, weight: &Tensor<1>, bias: &Tensor<1>) -> Tensor<3> {
    if is_plain(&x) && is_plain(weight) {
        fast::affine(x, weight, bias)
    } else {
        x * weight.clone().unsqueeze() + bias.clone().unsqueeze()
    }
}

/// Exact GELU, `x · Φ(x)` with the normal distribution function Φ (Hendrycks & Gimpel 2016), as all published
/// probes of Pythia use it; the tanh form of training differs by up to 5e-4.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_plain(&x) { fast::gelu(x) } else { composed::gelu(x) }
}

/// Centred rows divided by their scale, and the scale `sqrt(var + eps)`, with the biased variance.
/// `x`: `[batch, pos, n]`; returns that shape and `[batch, pos, 1]`.
pub fn normalize(x: Tensor<3>, eps: f64) -> (Tensor<3>, Tensor<3>) {
    if is_plain(&x) { fast::normalize(x, eps as f32) } else { composed::normalize(x, eps) }
}

/// Turns the first `table.ndims` dimensions of each head by the angles of its position.
/// `x`: `[batch, pos, head, d_head]`.
pub fn rotate(x: Tensor<4>, table: &RotaryTable) -> Tensor<4> {
    if is_plain(&x) { fast::rotate(x, table) } else { composed::rotate(x, table) }
}

/// Scaled products with −inf where the key is after the query. `products`: `[batch, head, query, key]`, the
/// last query belonging to the last key.
pub fn mask_scores(products: Tensor<4>, scale: f64) -> Tensor<4> {
    if is_plain(&products) { fast::mask_scores(products, scale as f32) } else { composed::mask_scores(products, scale) }
}

/// Softmax over keys. `scores`: `[batch, head, query, key]`.
pub fn softmax(scores: Tensor<4>) -> Tensor<4> {
    if is_plain(&scores) { fast::softmax(scores) } else { burn::tensor::activation::softmax(scores, 3) }
}

/// Softmax of scaled products of looked-up queries and keys, `[query, n_heads · length]`, zero after the query's
/// position. `queries`, `keys`: tables `[row, n_heads · d_head]`.
pub(crate) fn lookup_pattern(queries: Tensor<2>, keys: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    if is_plain(&queries) && is_plain(&keys) {
        fast::lookup_pattern(queries, keys, lookup, n_heads)
    } else {
        composed::lookup_pattern(queries, keys, lookup, n_heads)
    }
}

/// Looked-up values weighted by `pattern` `[query, n_heads · length]`: `[query, n_heads · d_head]`. `values`: a table
/// `[row, n_heads · d_head]`.
pub(crate) fn lookup_mix(pattern: Tensor<2>, values: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    if is_plain(&pattern) && is_plain(&values) {
        fast::lookup_mix(pattern, values, lookup, n_heads)
    } else {
        composed::lookup_mix(pattern, values, lookup, n_heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{TensorData, Tolerance};

    fn random<const D: usize>(dims: [usize; D], spread: f64) -> Tensor<D> {
        // A fixed stream of a linear congruential generator: the backend's own randomness is global state.
        let mut state = 12345u64;
        let n: usize = dims.iter().product();
        let next = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (((state >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 2.0 * spread) as f32
        };
        let values: Vec<f32> = (0..n).map(next).collect();
        Tensor::from_data(TensorData::new(values, dims), (&Device::flex(), DType::F32))
    }

    /// The same numbers in float64, which the composed form computes.
    fn exact<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
        x.clone().cast(DType::F64)
    }

    fn close<const D: usize>(fast: Tensor<D>, exact: Tensor<D>, bar: f64) {
        let fast = fast.cast(DType::F64).into_data();
        exact.into_data().assert_approx_eq::<f64>(&fast, Tolerance::absolute(bar));
    }

    #[test]
    fn gelu_agrees_with_float64_everywhere() {
        let x = random([7, 11, 1301], 12.0);
        close(gelu(x.clone()), gelu(exact(&x)), 1e-6);
        let near = random([3, 5, 77], 1.0);
        close(gelu(near.clone()), gelu(exact(&near)), 2e-7);
    }

    #[test]
    fn gelu_under_autodiff_has_the_same_value_and_the_exact_slope() {
        let x = random([2, 3, 50], 4.0);
        let tracked = x.clone().autodiff().require_grad();
        let y = gelu(tracked.clone());
        close(y.clone().inner(), gelu(exact(&x)), 1e-6);
        let slope = tracked.grad(&y.sum().backward()).unwrap();
        let step = 1e-5;
        let finite = (gelu(exact(&x) + step) - gelu(exact(&x) - step)) / (2.0 * step);
        close(slope, finite, 1e-6);
    }

    #[test]
    fn normalisation_agrees_with_float64() {
        let x = random([2, 5, 77], 3.0) + 1.5;
        let (stream, scale) = normalize(x.clone(), 1e-5);
        let (exact_stream, exact_scale) = normalize(exact(&x), 1e-5);
        close(stream, exact_stream, 1e-6);
        close(scale, exact_scale, 1e-6);
    }

    #[test]
    fn softmax_rows_are_distributions_over_the_past() {
        let scores = mask_scores(random([2, 3, 19, 19], 50.0), 0.5);
        let exact_scores = mask_scores(exact(&random([2, 3, 19, 19], 50.0)), 0.5);
        let pattern = softmax(scores);
        close(pattern.clone(), softmax(exact_scores), 1e-6);
        let values: Vec<f32> = pattern.into_data().try_into_vec().unwrap();
        for (row, weights) in values.chunks(19).enumerate() {
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(weights[row % 19 + 1..].iter().all(|&w| w == 0.0));
        }
    }

    #[test]
    fn a_nan_score_is_not_hidden() {
        let scores = Tensor::<4>::from_data([[[[0.0, f32::NAN, 1.0]]]], &Device::flex());
        let values: Vec<f32> = softmax(scores).into_data().try_into_vec().unwrap();
        assert!(values.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn bias_and_affine_agree_with_tensor_operations() {
        let (w, b) = (random([77], 2.0), random([77], 1.0));
        let y = random([9, 77], 3.0);
        close(add_bias(y.clone(), &b), exact(&y) + exact(&b).unsqueeze(), 1e-6);
        let x = random([2, 5, 77], 3.0);
        close(affine(x.clone(), &w, &b), exact(&x) * exact(&w).unsqueeze() + exact(&b).unsqueeze(), 2e-6);
    }

    #[test]
    fn rotation_agrees_with_float64() {
        let table = RotaryTable { cos: random([16, 3], 1.0), sin: random([16, 3], 1.0), ndims: 6 };
        let wide = RotaryTable { cos: exact(&table.cos), sin: exact(&table.sin), ndims: 6 };
        for d_head in [6, 10] {
            let x = random([2, 9, 3, d_head], 3.0);
            close(rotate(x.clone(), &table), rotate(exact(&x), &wide), 2e-6);
        }
    }

    #[test]
    fn looked_up_attention_agrees_with_float64() {
        let (heads, d_head, length) = (3, 20, 4);
        let table = |spread| random([7, heads * d_head], spread);
        let (q, k, v) = (table(3.0), table(3.0) * 0.7, table(2.0) + 0.1);
        let lookup = Lookup {
            queries: vec![6, 0, 3],
            sequence: vec![1, 0, 1],
            position: vec![3, 0, 2],
            keys: vec![0, 1, 2, 3, 6, 5, 4, 0],
            values: vec![3, 2, 1, 0, 1, 1, 6, 5],
            length,
        };
        let pattern = lookup_pattern(q.clone(), k.clone(), &lookup, heads);
        let exact_pattern = lookup_pattern(exact(&q), exact(&k), &lookup, heads);
        close(pattern.clone(), exact_pattern.clone(), 1e-6);
        close(
            lookup_mix(pattern, v.clone(), &lookup, heads),
            lookup_mix(exact_pattern, exact(&v), &lookup, heads),
            1e-6,
        );
        // A query at position 0 sees one key, whatever the scores are.
        let first: Vec<f32> = lookup_pattern(q, k, &lookup, heads).into_data().try_into_vec().unwrap();
        assert_eq!(first[heads * length..][..length], [1.0, 0.0, 0.0, 0.0]);
    }
}
