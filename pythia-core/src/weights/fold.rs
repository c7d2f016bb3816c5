//! The four preparations that TransformerLens 2 applies by default (`fold_ln`, `center_writing_weights`,
//! `center_unembed`, `fold_value_biases`), in that order and to the same effect.
//!
//! They keep the model's probabilities and change its activations: norms have no weights, everything that is written
//! to the residual stream has mean zero, logits have mean zero over the whole padded vocabulary, and value biases
//! move into attention's output bias. Every result is computed in f64 and rounded once.

use rayon::prelude::*;

use crate::config::NeoxConfig;
use crate::params::{F32Buffer, HostParams, HostTensor, LayerParam, Param};

/// Folds the parameters of a model in place. Afterwards every bias exists, also where the configuration has none, and
/// so does [`Param::UnembedBias`] if the unembedding does.
pub(super) fn fold(config: &NeoxConfig, params: &mut HostParams) {
    for layer in 0..config.n_layers {
        fold_block(config, params, layer);
    }
    params.get_mut(&Param::Embed).into_iter().for_each(center_embedding);
    fold_unembed(config, params);
}

/// Centres embeddings `[token, d]`, each by itself.
pub(super) fn center_embedding(rows: &mut HostTensor) {
    center_rows(Some(matrix(rows)));
}

/// Folds the parameters of one block.
pub(super) fn fold_block(config: &NeoxConfig, params: &mut HostParams, layer: usize) {
    use LayerParam::*;
    let at = |part| Param::Layer(layer, part);
    let ln1 = take_norm(config, params, at(Ln1Weight), at(Ln1Bias));
    let mut value_bias = Vec::new();
    for (weight, bias) in [(QueryWeight, QueryBias), (KeyWeight, KeyBias), (ValueWeight, ValueBias)] {
        let folded = fold_norm(config, params, &ln1, at(weight), at(bias));
        if bias == ValueBias {
            value_bias = folded;
        } else {
            set(params, at(bias), &folded);
        }
    }
    let ln2 = take_norm(config, params, at(Ln2Weight), at(Ln2Bias));
    let mlp_bias = fold_norm(config, params, &ln2, at(MlpInWeight), at(MlpInBias));
    set(params, at(MlpInBias), &mlp_bias);

    let mut out_bias = centered(vector(config, params, at(OutBias)));
    if let Some(weight) = params.get_mut(&at(OutWeight)) {
        let (d, rows) = matrix(weight);
        for (row, &bias) in rows.chunks_exact(d).zip(&value_bias) {
            let mean = mean(row);
            out_bias.iter_mut().zip(row).for_each(|(sum, &w)| *sum += bias * (f64::from(w) - mean));
        }
    }
    center_rows(params.get_mut(&at(OutWeight)).map(matrix));
    center_rows(params.get_mut(&at(MlpOutWeight)).map(matrix));
    let mlp_out_bias = centered(vector(config, params, at(MlpOutBias)));
    set(params, at(MlpOutBias), &mlp_out_bias);
    set(params, at(OutBias), &out_bias);
    set(params, at(ValueBias), &vec![0.0; config.d_model]);
}

/// Weight and bias of a norm, in f64.
struct Norm {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// Removes the weight and bias of a norm from the model and returns them. The remaining norm multiplies by one and
/// adds zero.
fn take_norm(config: &NeoxConfig, params: &mut HostParams, weight: Param, bias: Param) -> Norm {
    let norm = Norm { weight: vector(config, params, weight), bias: vector(config, params, bias) };
    set(params, weight, &vec![1.0; config.d_model]);
    set(params, bias, &vec![0.0; config.d_model]);
    norm
}

/// Folds a norm into the matrix `[d, n]` that reads it, and centres the columns: the output of a norm has mean zero,
/// so the mean of a column has no effect. Returns the folded bias.
fn fold_norm(config: &NeoxConfig, params: &mut HostParams, norm: &Norm, weight: Param, bias: Param) -> Vec<f64> {
    let mut folded = vector(config, params, bias);
    let Some(tensor) = params.get_mut(&weight) else { return folded };
    let (n, values) = matrix(tensor);
    let mut means = vec![0.0; n];
    for ((row, scale), shift) in values.chunks_exact(n).zip(&norm.weight).zip(&norm.bias) {
        for ((&w, folded), mean) in row.iter().zip(&mut folded).zip(&mut means) {
            *folded += f64::from(w) * shift;
            *mean += f64::from(w) * scale;
        }
    }
    let d = norm.weight.len() as f64;
    means.iter_mut().for_each(|mean| *mean /= d);
    values.par_chunks_exact_mut(n).zip(&norm.weight).for_each(|(row, scale)| {
        row.iter_mut().zip(&means).for_each(|(w, mean)| *w = (f64::from(*w) * scale - mean) as f32);
    });
    folded
}

/// Folds the final norm into the unembedding `[d, V]` and centres it twice: over d, because the norm's output has
/// mean zero, and over the vocabulary, because a constant added to all logits has no effect on probabilities. Without
/// the unembedding only the norm is removed.
pub(super) fn fold_unembed(config: &NeoxConfig, params: &mut HostParams) {
    let norm = take_norm(config, params, Param::FinalNormWeight, Param::FinalNormBias);
    let Some(tensor) = params.get_mut(&Param::Unembed) else { return };
    let (v, values) = matrix(tensor);
    let mut bias = vec![0.0; v];
    let mut over_d = vec![0.0; v];
    for ((row, scale), shift) in values.chunks_exact(v).zip(&norm.weight).zip(&norm.bias) {
        for ((&w, bias), mean) in row.iter().zip(&mut bias).zip(&mut over_d) {
            *bias += f64::from(w) * shift;
            *mean += f64::from(w) * scale;
        }
    }
    let d = norm.weight.len() as f64;
    over_d.iter_mut().for_each(|mean| *mean /= d);
    values.par_chunks_exact_mut(v).zip(&norm.weight).for_each(|(row, scale)| {
        let folded = |(&w, over_d): (&f32, &f64)| f64::from(w) * scale - over_d;
        let over_v = row.iter().zip(&over_d).map(folded).sum::<f64>() / v as f64;
        row.iter_mut().zip(&over_d).for_each(|(w, over_d)| *w = (folded((w, over_d)) - over_v) as f32);
    });
    set(params, Param::UnembedBias, &centered(bias));
}

/// Subtracts the mean of every row.
fn center_rows(matrix: Option<(usize, &mut [f32])>) {
    let Some((n, values)) = matrix else { return };
    values.par_chunks_exact_mut(n).for_each(|row| {
        let mean = mean(row);
        row.iter_mut().for_each(|w| *w = (f64::from(*w) - mean) as f32);
    });
}

fn centered(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|value| *value -= mean);
    values
}

fn mean(row: &[f32]) -> f64 {
    row.iter().map(|&w| f64::from(w)).sum::<f64>() / row.len() as f64
}

/// A matrix as its row length and its values.
fn matrix(tensor: &mut HostTensor) -> (usize, &mut [f32]) {
    (tensor.shape[1], &mut tensor.values)
}

/// A vector in f64; zeros if the model has none.
fn vector(config: &NeoxConfig, params: &HostParams, param: Param) -> Vec<f64> {
    match params.get(&param) {
        Some(tensor) => tensor.values.iter().map(|&value| f64::from(value)).collect(),
        None => vec![0.0; param.shape(config)[0]],
    }
}

fn set(params: &mut HostParams, param: Param, values: &[f64]) {
    let values: F32Buffer = values.iter().map(|&value| value as f32).collect();
    params.insert(param, HostTensor { shape: vec![values.len()], values });
}
