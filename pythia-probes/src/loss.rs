//! Logits reduced to a loss per token.

use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};
use pythia_core::device::host_f64;
use pythia_core::model::Residual;

use crate::error::ProbeError;
use crate::rows::{ROWS_AT_A_TIME, certainty};
use crate::subject::Subject;

const PLACE: &str = "the logits";

/// The losses of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PromptLoss {
    /// −ln p of the token at each position from 1 on, in nats: the entry at index i belongs to position i + 1. NaN
    /// where the model overflowed.
    pub losses: Vec<f64>,
    /// Whether the most likely token was the right one, by the same index.
    pub hits: Vec<bool>,
}

impl PromptLoss {
    /// The loss at a position of the prompt; `None` for position 0 and beyond the end.
    pub(crate) fn at(&self, position: usize) -> Option<f64> {
        self.losses.get(position.checked_sub(1)?).copied()
    }

    /// Mean loss over the positions `from` to `to − 1`, without position 0, which nothing predicts; NaN if none is
    /// left.
    pub(crate) fn mean(&self, from: usize, to: usize) -> f64 {
        mean(self.losses.get(from.max(1) - 1..to.max(1) - 1).unwrap_or_default().iter().copied())
    }

    /// Share of hits over the same positions; NaN if none is left or the model overflowed there.
    pub(crate) fn accuracy(&self, from: usize, to: usize) -> f64 {
        let defined = self.mean(from, to) * 0.0;
        let hits = self.hits.get(from.max(1) - 1..to.max(1) - 1).unwrap_or_default();
        mean(hits.iter().map(|hit| f64::from(u8::from(*hit)))) + defined
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The losses of `rows` under `logits` `[row, position, V]`; a row may be shorter than the tensor.
///
/// The loss is −log_softmax over **all** V entries, padding included, as transformers and TransformerLens compute it;
/// the most likely token is looked for among the first `vocab` only, because the others are padding.
///
/// # Errors
/// [`ProbeError::Shape`] if the tensor has another shape, [`ProbeError::Device`] if it cannot be read.
pub(crate) fn per_token(logits: Tensor<3>, rows: &[Vec<u32>], vocab: usize) -> Result<Vec<PromptLoss>, ProbeError> {
    let [batch, len, width] = logits.dims();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    if batch != rows.len() || len < longest || width < vocab {
        let found = vec![batch, len, width];
        return Err(ProbeError::Shape { place: PLACE, expected: vec![rows.len(), longest, vocab], found });
    }
    let logits = match logits.dtype() {
        DType::F32 | DType::F64 => logits,
        _ => logits.cast(DType::F32),
    };
    let targets: Vec<i32> = rows.iter().flat_map(|row| next_tokens(row, len)).collect();
    let targets = Tensor::<3, Int>::from_data(TensorData::new(targets, [batch, len, 1]), &logits.device());
    let chosen = logits.clone().gather(2, targets);
    let greatest = logits.clone().max_dim(2);
    let real = if width > vocab { logits.clone().slice([0..batch, 0..len, 0..vocab]) } else { logits.clone() };
    // As a float, so that all comes back in one piece; it holds every id below 2²⁴.
    let best = real.argmax(2).cast(FloatDType::from(logits.dtype()));
    let certainty = certainty(logits.reshape([batch * len, width])).reshape([batch, len, 1]);
    let values =
        host_f64(Tensor::cat(vec![greatest, chosen, certainty, best], 2)).map_err(ProbeError::device(PLACE))?;
    Ok(split(rows, len, &values))
}

/// Adds the losses of `rows` from their stream after the last block, a few prompts at a time, and of a long prompt a
/// few positions: no tensor of all logits is ever made.
pub(crate) fn with_losses(
    mut losses: Vec<PromptLoss>,
    end: &Residual,
    rows: &[Vec<u32>],
    subject: &Subject,
) -> Result<Vec<PromptLoss>, ProbeError> {
    let len = end.stream.dims()[1];
    let at_a_time = (ROWS_AT_A_TIME / len.max(1)).max(1);
    for (index, rows) in rows.chunks(at_a_time).enumerate() {
        let stream = end.stream.clone().narrow(0, index * at_a_time, rows.len());
        match rows {
            [row] if len > ROWS_AT_A_TIME => losses.push(long_losses(&stream, row, subject)?),
            rows => losses.extend(read_losses(stream, rows, subject)?),
        }
    }
    Ok(losses)
}

/// The losses of one long prompt from its stream `[1, pos, d_model]`, a few positions at a time. Two neighbouring
/// pieces share a position: what the last one of a piece predicts stands first in the next.
fn long_losses(stream: &Tensor<3>, row: &[u32], subject: &Subject) -> Result<PromptLoss, ProbeError> {
    let mut whole = PromptLoss { losses: Vec::new(), hits: Vec::new() };
    for from in (0..row.len().saturating_sub(1)).step_by(ROWS_AT_A_TIME - 1) {
        let piece = &row[from..(from + ROWS_AT_A_TIME).min(row.len())];
        let stream = stream.clone().narrow(1, from, piece.len());
        for part in read_losses(stream, &[piece.to_vec()], subject)? {
            whole.losses.extend(part.losses);
            whole.hits.extend(part.hits);
        }
    }
    Ok(whole)
}

/// The losses of `rows` from their stream `[row, pos, d_model]`.
fn read_losses(stream: Tensor<3>, rows: &[Vec<u32>], subject: &Subject) -> Result<Vec<PromptLoss>, ProbeError> {
    let end = Residual { layer: subject.model.config().n_layers, stream };
    per_token(subject.model.unembed(end, &mut ()), rows, subject.vocab)
}

/// What each of `len` positions should predict; the last one and those after the end of the row predict nothing, so
/// any id serves there.
fn next_tokens(row: &[u32], len: usize) -> impl Iterator<Item = i32> {
    (1..=len).map(|next| row.get(next).copied().unwrap_or(0).cast_signed())
}

/// Per row, from `values` = [greatest logit, logit of the right token, greatest probability, best id] per position.
fn split(rows: &[Vec<u32>], len: usize, values: &[f64]) -> Vec<PromptLoss> {
    let of_row = |(index, row): (usize, &Vec<u32>)| {
        let places = index * len..index * len + row.len().saturating_sub(1);
        let loss = |place: usize| values[4 * place] - values[4 * place + 1] - values[4 * place + 2].ln();
        let hit = |(place, right): (usize, &u32)| values[4 * place + 3] == f64::from(*right);
        PromptLoss {
            losses: places.clone().map(loss).collect(),
            hits: places.zip(row.iter().skip(1)).map(hit).collect(),
        }
    };
    rows.iter().enumerate().map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn tensor(values: &[f64], shape: [usize; 3], dtype: DType) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Device::flex(), dtype))
    }

    #[test]
    fn the_loss_counts_padding_rows_and_the_best_token_does_not() {
        // Five entries, of which the last is padding and has the largest logit at position 0.
        let logits = [1.0, 3.0, -2.0, 0.5, 4.0, 0.0, 0.0, 7.0, 0.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0];
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let found = per_token(tensor(&logits, [1, 3, 5], dtype), &[vec![0, 1, 3]], 4).expect("shapes fit");
            let loss = |row: &[f64], right: usize| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[right];
            let expected = [loss(&logits[..5], 1), loss(&logits[5..10], 3)];
            assert_eq!(found.len(), 1);
            for (found, expected) in found[0].losses.iter().zip(expected) {
                assert!((found - expected).abs() < tolerance, "{found} {expected}");
            }
            assert_eq!(found[0].hits, [true, false]);
        }
    }

    #[test]
    fn an_unlikely_token_has_a_finite_loss_and_an_overflow_none() {
        let logits = [0.0, 300.0, f64::INFINITY, 1.0, 0.0, 0.0];
        let found = per_token(tensor(&logits, [1, 3, 2], DType::F32), &[vec![0, 0, 0]], 2).expect("shapes fit");
        assert_eq!(found[0].at(1), Some(300.0));
        assert!(found[0].at(2).is_some_and(f64::is_nan));
        assert_eq!((found[0].at(0), found[0].at(3)), (None, None));
        assert!(found[0].accuracy(0, 3).is_nan());
        assert_eq!((found[0].mean(0, 2), found[0].accuracy(0, 2)), (300.0, 0.0));
        assert!(found[0].mean(0, 1).is_nan() && found[0].mean(2, 9).is_nan());
    }

    #[test]
    fn rows_of_different_lengths_do_not_mix() {
        let logits: Vec<f64> = (0..24).map(|index| f64::from(index % 7)).collect();
        let rows = [vec![1, 2], vec![3, 0, 1]];
        let both = per_token(tensor(&logits, [2, 3, 4], DType::F64), &rows, 4).expect("shapes fit");
        let alone = per_token(tensor(&logits[12..], [1, 3, 4], DType::F64), &rows[1..], 4).expect("shapes fit");
        assert_eq!((both[0].losses.len(), both[1].losses.len()), (1, 2));
        assert_eq!(both[1], alone[0]);
    }

    #[test]
    fn logits_of_another_batch_are_refused() {
        let error = per_token(tensor(&[0.0; 8], [1, 2, 4], DType::F32), &[vec![0, 1], vec![1, 0]], 4);
        assert!(matches!(error, Err(ProbeError::Shape { .. })));
    }

    #[test]
    fn a_long_prompt_in_pieces_has_the_losses_of_the_whole() {
        let model = crate::testing::model(true);
        let subject = Subject::new(&model, 21, true, 0);
        let row: Vec<u32> = (0..700).map(|at| (at * at * 7 + at) % 21).collect();
        let wave = |at: usize| ((at * 37 % 1009) as f64 * 0.7).sin();
        let values: Vec<f64> = (0..703 * 16).map(wave).collect();
        let end = Residual { layer: 2, stream: tensor(&values, [1, 703, 16], DType::F32) };
        let whole = per_token(model.unembed(end.clone(), &mut ()), std::slice::from_ref(&row), 21).expect("fits");
        for len in [1, 2, 256, 257, 511, 512, 700] {
            let found = with_losses(Vec::new(), &end, &[row[..len].to_vec()], &subject).expect("fits").remove(0);
            assert_eq!((found.losses.len(), found.hits.len()), (len - 1, len - 1));
            assert_eq!(found.hits[..], whole[0].hits[..len - 1]);
            for (found, expected) in found.losses.iter().zip(&whole[0].losses) {
                assert!((found - expected).abs() < 1e-5, "{len}: {found} {expected}");
            }
        }
    }
}
