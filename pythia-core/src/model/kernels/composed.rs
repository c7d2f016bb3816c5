//! The kernels as tensor operations: for gradients, other devices and float64.

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};

use super::{
    super::{rotary::RotaryTable, rows::Lookup, weights::indices},
    fast,
};

/// GELU by `erf`. The backends' own gelu has the gradient of the tanh form on GPUs.
pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let tracked_on_cpu = x.is_autodiff() && x.dtype() == DType::F32 && x.device() == Device::flex();
    if tracked_on_cpu {
        return gelu_with_slope(x);
    }
    x.clone() * ((x / std::f64::consts::SQRT_2).erf() + 1.0) * 0.5
}

/// GELU whose value and slope come from the fast kernels: `(x − x₀)·slope + value` at `x₀ = x` has exactly that value
/// and slope, and keeps the intermediate operations out of the graph.
fn gelu_with_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let plain = x.clone().inner();
    let (value, slope) = (fast::gelu(plain.clone()), fast::gelu_slope(plain.clone()));
    (x - Tensor::from_inner(plain)) * Tensor::from_inner(slope) + Tensor::from_inner(value)
}

pub(super) fn normalize(x: Tensor<3>, eps: f64) -> (Tensor<3>, Tensor<3>) {
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let scale = (variance + eps).sqrt();
    (centred / scale.clone(), scale)
}

pub(super) fn rotate(x: Tensor<4>, table: &RotaryTable) -> Tensor<4> {
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

pub(super) fn mask_scores(products: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, heads, queries, keys] = products.dims();
    let offset = (keys - queries) as i64;
    let future = Tensor::<2, Bool>::tril_mask([queries, keys], offset, &products.device().inner());
    let future = future.unsqueeze::<4>().expand([batch, heads, queries, keys]);
    (products * scale).mask_fill(future, f32::NEG_INFINITY)
}

/// The most values of the looked-up keys or values of one part. Every query gets a copy of its keys, so few queries
/// are processed at a time.
const LOOKED_UP: usize = 1 << 24;

pub(super) fn lookup_pattern(queries: Tensor<2>, keys: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    let (length, d_head) = (lookup.length, queries.dims()[1] / n_heads);
    let part = |from: usize, to: usize| {
        let count = to - from;
        let q = queries.clone().select(0, indices(&lookup.queries[from..to], &queries));
        let q = q.reshape([count, n_heads, 1, d_head]);
        let k = gathered(&keys, &lookup.keys, lookup, from..to, n_heads);
        let scores = q.matmul(k.swap_dims(2, 3)) * (d_head as f64).powf(-0.5);
        let future: Vec<bool> = lookup.position[from..to]
            .iter()
            .flat_map(|&position| (0..length).map(move |s| s > position as usize))
            .collect();
        let future =
            Tensor::<4, Bool>::from_data(TensorData::new(future, [count, 1, 1, length]), &queries.device().inner());
        let scores = scores.mask_fill(future.expand([count, n_heads, 1, length]), f32::NEG_INFINITY);
        burn::tensor::activation::softmax(scores, 3).reshape([count, n_heads * length])
    };
    parts(lookup, queries.dims()[1], part)
}

pub(super) fn lookup_mix(pattern: Tensor<2>, values: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    let (length, width) = (lookup.length, values.dims()[1]);
    let part = |from: usize, to: usize| {
        let weights = pattern.clone().slice_dim(0, from..to).reshape([to - from, n_heads, 1, length]);
        let v = gathered(&values, &lookup.values, lookup, from..to, n_heads);
        weights.matmul(v).reshape([to - from, width])
    };
    parts(lookup, width, part)
}

/// `part(from, to)` for all queries, as many at a time as [`LOOKED_UP`] allows.
fn parts(lookup: &Lookup, width: usize, part: impl Fn(usize, usize) -> Tensor<2>) -> Tensor<2> {
    let count = lookup.sequence.len();
    let at_a_time = (LOOKED_UP / (lookup.length * width).max(1)).max(1);
    let parts = (0..count).step_by(at_a_time).map(|from| part(from, (from + at_a_time).min(count)));
    Tensor::cat(parts.collect(), 0)
}

/// The keys or values of some queries, `[query, head, length, d_head]`.
fn gathered(
    table: &Tensor<2>,
    places: &[u32],
    lookup: &Lookup,
    queries: std::ops::Range<usize>,
    n_heads: usize,
) -> Tensor<4> {
    let (count, length, width) = (queries.len(), lookup.length, table.dims()[1]);
    let of = |&sequence: &u32| &places[sequence as usize * length..][..length];
    let wanted: Vec<u32> = lookup.sequence[queries].iter().flat_map(of).copied().collect();
    let found = table.clone().select(0, indices(&wanted, table));
    found.reshape([count, length, n_heads, width / n_heads]).swap_dims(1, 2)
}
