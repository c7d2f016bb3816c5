//! Logits of single rows, and the metrics that are computed from them.

use burn::tensor::{Int, Tensor};
use pythia_core::device::{self, host_f64, host_ints};
use pythia_core::model::GptNeoX;

use super::Metric;
use super::readout::{Question, Reference};
use crate::error::ProbeError;
use crate::rows::{certainty, probabilities, row_sums, select};

/// The logits of one row, reduced to the numbers that metrics are computed from.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// Logits of the answers, then of the wrong answers (or of the next token, where the row stands for a loss).
    pub picked: Vec<f64>,
    /// ln Σ exp of all logits.
    pub log_sum: f64,
    pub rank: f64,
    pub best: i64,
    pub kl: f64,
}

pub(super) fn value(metric: Metric, question: &Question, row: &Row, loss: f64, base_best: Option<i64>) -> f64 {
    let (n, m) = (question.answers.len(), question.wrongs.len());
    let (right, wrong) = (&row.picked[..n], &row.picked[n..n + m]);
    let mean = |logits: &[f64]| logits.iter().sum::<f64>() / logits.len() as f64;
    let prob = |logits: &[f64]| logits.iter().map(|logit| (logit - row.log_sum).exp()).sum::<f64>();
    // ln Σ p relative to the largest term, because the probability of an unlikely answer would underflow.
    let log_prob = || {
        let top = right.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top - row.log_sum + right.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln()
    };
    let overflow = row.log_sum * 0.0; // NaN where the model overflowed, else 0.
    let truth = |yes: bool| f64::from(u8::from(yes)) + overflow;
    match metric {
        Metric::LogitDiff => mean(right) - mean(wrong),
        Metric::ProbDiff if wrong.is_empty() => f64::NAN,
        Metric::ProbDiff => prob(right) - prob(wrong),
        Metric::LogProb => log_prob(),
        Metric::Prob => prob(right),
        Metric::Rank => row.rank + overflow,
        Metric::CrossEntropy => -log_prob(),
        Metric::Kl => row.kl,
        Metric::ArgmaxMatch => truth(base_best == Some(row.best)),
        Metric::Accuracy => truth(question.answers.iter().any(|&id| i64::from(id) == row.best)),
        Metric::Loss => loss,
    }
}

pub(super) fn unembed(model: &GptNeoX, rows: Tensor<2>) -> Tensor<2> {
    let stream = rows.unsqueeze::<3>();
    model.unembed(pythia_core::model::Residual { layer: model.config().n_layers, stream }, &mut ()).squeeze_dim(0)
}

/// ln Σ exp of each row, `[row, 1]`.
pub(super) fn log_sum(logits: &Tensor<2>) -> Tensor<2> {
    logits.clone().max_dim(1) - certainty(logits.clone()).log()
}

/// KL(base ‖ run) per row: Σ p_b (x_b − x) + lse − lse_b, since ln p = x − lse.
pub(super) fn divergence(
    logits: &Tensor<2>,
    log_sums: &[f64],
    base: Reference,
    base_rows: &[usize],
) -> Result<Vec<f64>, ProbeError> {
    let base_logits = unembed(base.model, select(base.rows, base_rows));
    let base_log_sums = floats(log_sum(&base_logits))?;
    let p = probabilities(base_logits.clone());
    let cross = floats(row_sums(p * (base_logits - logits.clone())))?;
    let kl = cross.iter().zip(log_sums).zip(base_log_sums).map(|((cross, log_sum), base)| cross + log_sum - base);
    // Rounding can make a divergence of zero slightly negative.
    Ok(kl.map(|kl| if kl < 0.0 { 0.0 } else { kl }).collect())
}

/// The logits of each row's picks.
pub(super) fn picked(logits: &Tensor<2>, picks: &[Vec<u32>]) -> Result<Vec<Vec<f64>>, ProbeError> {
    let most = picks.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let padded = |row: &Vec<u32>| (0..most).map(|i| row.get(i).copied().unwrap_or(0) as usize).collect::<Vec<_>>();
    let ids = device::ints(picks.iter().flat_map(padded), [picks.len(), most], &logits.device());
    let values = floats(logits.clone().gather(1, ids))?;
    Ok(picks.iter().zip(values.chunks(most)).map(|(row, values)| values[..row.len()].to_vec()).collect())
}

const PLACE: &str = "the logits";

pub(super) fn floats(tensor: Tensor<2>) -> Result<Vec<f64>, ProbeError> {
    host_f64(tensor).map_err(ProbeError::device(PLACE))
}

pub(super) fn ints(tensor: Tensor<2, Int>) -> Result<Vec<i64>, ProbeError> {
    host_ints(tensor).map_err(ProbeError::device(PLACE))
}
