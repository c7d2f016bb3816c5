//! The kernels for plain float32 tensors on the CPU backend.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{
    super::{rotary::RotaryTable, rows::Lookup},
    scalar,
};
use crate::vectors::widest;

/// Values of one task: enough to outweigh the cost of a task, few enough to divide among cores.
const TASK: usize = 1 << 15;

/// The tensor's values: its own memory if it is not shared, a copy otherwise.
fn values<const D: usize>(x: Tensor<D>) -> TensorData {
    x.into_data()
}

fn tensor<const D: usize>(data: TensorData) -> Tensor<D> {
    Tensor::from_data(data, (&Device::flex(), DType::F32))
}

fn slice(data: &TensorData) -> &[f32] {
    data.as_slice().expect("callers checked for float32")
}

fn slice_mut(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("callers checked for float32")
}

/// Calls `f(index, row)` for each row of `width` numbers, on all cores, compiled for the widest vectors.
fn rows(values: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let per_task = (TASK / width.max(1)).max(1);
    values.par_chunks_mut(per_task * width.max(1)).enumerate().for_each(|(task, chunk)| {
        widest(
            #[inline(always)]
            || {
                for (i, row) in chunk.chunks_mut(width).enumerate() {
                    f(task * per_task + i, row);
                }
            },
        );
    });
}

/// Changes each number by itself.
fn map<const D: usize>(x: Tensor<D>, f: impl Fn(f32) -> f32 + Sync) -> Tensor<D> {
    let mut data = values(x);
    rows(
        slice_mut(&mut data),
        1024,
        #[inline(always)]
        |_, row| {
            // A loop and not `for_each`, which is not always inlined (see `widest`).
            for v in row {
                *v = f(*v);
            }
        },
    );
    tensor(data)
}

pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, scalar::gelu)
}

pub(super) fn gelu_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, scalar::gelu_slope)
}

pub(super) fn add_bias(y: Tensor<2>, bias: &Tensor<1>) -> Tensor<2> {
    let width = y.dims()[1];
    let (mut data, bias) = (values(y), values(bias.clone()));
    let bias = slice(&bias);
    rows(
        slice_mut(&mut data),
        width,
        #[inline(always)]
        |_, row| {
            for (v, b) in row.iter_mut().zip(bias) {
                *v += b;
            }
        },
    );
    tensor(data)
}

pub(super) fn affine(x: Tensor<3>, weight: &Tensor<1>, bias: &Tensor<1>) -> Tensor<3> {
    let width = x.dims()[2];
    let (mut data, weight, bias) = (values(x), values(weight.clone()), values(bias.clone()));
    let (weight, bias) = (slice(&weight), slice(&bias));
    rows(
        slice_mut(&mut data),
        width,
        #[inline(always)]
        |_, row| {
            for ((v, w), b) in row.iter_mut().zip(weight).zip(bias) {
                *v = *v * w + b;
            }
        },
    );
    tensor(data)
}

pub(super) fn normalize(x: Tensor<3>, eps: f32) -> (Tensor<3>, Tensor<3>) {
    let [batch, pos, width] = x.dims();
    let mut data = values(x);
    let mut scales = vec![0.0f32; batch * pos];
    let per_task = (TASK / width).max(1);
    slice_mut(&mut data).par_chunks_mut(per_task * width).zip(scales.par_chunks_mut(per_task)).for_each(
        |(chunk, scales)| {
            widest(
                #[inline(always)]
                || {
                    for (row, scale) in chunk.chunks_mut(width).zip(scales.iter_mut()) {
                        *scale = normalize_row(row, eps);
                    }
                },
            );
        },
    );
    let scales = TensorData::new(scales, [batch, pos, 1]);
    (tensor(data), tensor(scales))
}

/// Centres a row and divides it by its scale, which is returned.
#[inline(always)]
fn normalize_row(row: &mut [f32], eps: f32) -> f32 {
    let n = row.len() as f32;
    let mean = scalar::sum(row) / n;
    let scale = (scalar::sum_of_squares(row, mean) / n + eps).sqrt();
    for v in row.iter_mut() {
        *v = (*v - mean) / scale;
    }
    scale
}

pub(super) fn rotate(x: Tensor<4>, table: &RotaryTable) -> Tensor<4> {
    let [_, pos, n_heads, d_head] = x.dims();
    let half = table.ndims / 2;
    let upto = |t: &Tensor<2>| values(t.clone().slice([0..pos, 0..half]));
    let (cos, sin) = (upto(&table.cos), upto(&table.sin));
    let (cos, sin) = (slice(&cos), slice(&sin));
    let mut data = values(x);
    rows(
        slice_mut(&mut data),
        n_heads * d_head,
        #[inline(always)]
        |index, row| {
            let at = (index % pos) * half;
            let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
            for head in row.chunks_mut(d_head) {
                let (first, rest) = head.split_at_mut(half);
                for (((a, b), c), s) in first.iter_mut().zip(rest).zip(cos).zip(sin) {
                    (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                }
            }
        },
    );
    tensor(data)
}

pub(super) fn mask_scores(products: Tensor<4>, scale: f32) -> Tensor<4> {
    let [_, _, queries, keys] = products.dims();
    let mut data = values(products);
    rows(
        slice_mut(&mut data),
        keys,
        #[inline(always)]
        |index, row| {
            let (past, future) = row.split_at_mut(index % queries + 1 + keys - queries);
            for v in past {
                *v *= scale;
            }
            future.fill(f32::NEG_INFINITY);
        },
    );
    tensor(data)
}

pub(super) fn softmax(scores: Tensor<4>) -> Tensor<4> {
    let keys = scores.dims()[3];
    let mut data = values(scores);
    rows(
        slice_mut(&mut data),
        keys,
        #[inline(always)]
        |_, row| scalar::softmax(row),
    );
    tensor(data)
}

pub(super) fn lookup_pattern(queries: Tensor<2>, keys: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    let (length, width) = (lookup.length, queries.dims()[1]);
    let d_head = width / n_heads;
    let scale = (d_head as f32).powf(-0.5);
    let (queries, keys) = (values(queries), values(keys));
    let (queries, keys) = (slice(&queries), slice(&keys));
    let mut pattern = vec![0.0f32; lookup.queries.len() * n_heads * length];
    rows(
        &mut pattern,
        n_heads * length,
        #[inline(always)]
        |index, row| {
            let query = &queries[lookup.queries[index] as usize * width..][..width];
            let seen = lookup.position[index] as usize + 1;
            let table = &lookup.keys[lookup.sequence[index] as usize * length..][..seen];
            for (position, &key) in table.iter().enumerate() {
                let key = &keys[key as usize * width..][..width];
                for head in 0..n_heads {
                    let at = head * d_head..(head + 1) * d_head;
                    row[head * length + position] = scalar::dot(&query[at.clone()], &key[at]) * scale;
                }
            }
            for head in row.chunks_mut(length) {
                scalar::softmax(&mut head[..seen]);
            }
        },
    );
    let count = lookup.queries.len();
    tensor(TensorData::new(pattern, [count, n_heads * length]))
}

pub(super) fn lookup_mix(pattern: Tensor<2>, table: Tensor<2>, lookup: &Lookup, n_heads: usize) -> Tensor<2> {
    let (length, width) = (lookup.length, table.dims()[1]);
    let d_head = width / n_heads;
    let (pattern, table) = (values(pattern), values(table));
    let (pattern, table) = (slice(&pattern), slice(&table));
    let mut z = vec![0.0f32; lookup.sequence.len() * width];
    rows(
        &mut z,
        width,
        #[inline(always)]
        |index, row| {
            let weights = &pattern[index * n_heads * length..][..n_heads * length];
            let values = &lookup.values[lookup.sequence[index] as usize * length..][..length];
            // An edited pattern may attend to later positions, so all positions are added. Weights of zero add nothing.
            for (position, &value) in values.iter().enumerate() {
                let value = &table[value as usize * width..][..width];
                for head in 0..n_heads {
                    let weight = weights[head * length + position];
                    if weight == 0.0 {
                        continue;
                    }
                    let at = head * d_head..(head + 1) * d_head;
                    for (z, v) in row[at.clone()].iter_mut().zip(&value[at]) {
                        *z += weight * v;
                    }
                }
            }
        },
    );
    let count = lookup.sequence.len();
    tensor(TensorData::new(z, [count, width]))
}
