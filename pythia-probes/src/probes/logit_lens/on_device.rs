//! Logits reduced on the device that holds them: a few numbers per position come back from it and not the whole
//! vocabulary.
//!
//! Sums over the vocabulary are float32 there. Probabilities and entropies differ from those of [`super::read`] by
//! some 1e-6; ids and ranks are the same.

use burn::tensor::{Bool, FloatDType, Tensor};
use pythia_core::device::{host_f32, ints};

use super::PLACE;
use super::read::{Prediction, Target};
use crate::error::ProbeError;
use crate::rows::row_sums;

/// Numbers that are read back for each position.
const NUMBERS: usize = 8;

/// Reads logits `[1, position, V]`; targets are ids below V.
pub(super) fn read_all(
    logits: Tensor<3>,
    targets: &[Option<u32>],
    vocab: usize,
) -> Result<Vec<Option<Prediction>>, ProbeError> {
    let [_, positions, width] = logits.dims();
    let numbers = Tensor::cat(numbers(logits.reshape([positions, width]), targets, vocab).into(), 1);
    let numbers = host_f32(numbers).map_err(ProbeError::device(PLACE))?;
    Ok(numbers.chunks(NUMBERS).zip(targets).map(|(row, target)| prediction(row, *target)).collect())
}

/// The numbers that [`prediction`] needs, from logits `[position, V]`: columns `[position, 1]`. Ids and counts are
/// floats too, which hold every whole number up to 2²⁴.
fn numbers(logits: Tensor<2>, targets: &[Option<u32>], vocab: usize) -> [Tensor<2>; NUMBERS] {
    let count = |places: Tensor<2, Bool>| places.cast(FloatDType::F32).sum_dim(1);
    let device = logits.device();
    let target = ints(targets.iter().map(|id| id.unwrap_or(0) as usize), [targets.len(), 1], &device);
    let ids = ints(0..vocab, [1, vocab], &device);
    let tokens = logits.clone().narrow(1, 0, vocab);
    let greatest = logits.clone().max_dim(1);
    let right = logits.clone().gather(1, target.clone());
    let tied = tokens.clone().equal(right.clone()).bool_and(ids.lower(target));
    let before = tokens.clone().greater(right.clone()).bool_or(tied);
    let x = logits.clone() - greatest.clone();
    let mass = x.clone().exp();
    [
        count(logits.is_finite().bool_not()),
        greatest,
        row_sums(mass.clone()),
        row_sums(x * mass),
        // Of equal logits the first, here too.
        tokens.clone().argmax(1).cast(FloatDType::F32),
        tokens.max_dim(1),
        right,
        count(before),
    ]
}

/// The prediction at a position, by the formulas of [`super::read::read`].
fn prediction(numbers: &[f32], target: Option<u32>) -> Option<Prediction> {
    let numbers = <[f32; NUMBERS]>::try_from(numbers).ok()?.map(f64::from);
    let [broken, greatest, sum, weighted, top, top_logit, right, before] = numbers;
    if broken > 0.0 {
        return None;
    }
    let prob = |logit: f64| (logit - greatest).exp() / sum;
    let target = target.map(|_| Target { prob: prob(right), rank: before as usize });
    let entropy = (sum.ln() - weighted / sum).max(0.0);
    Some(Prediction { top: top as u32, top_prob: prob(top_logit), target, entropy })
}

#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::probes::logit_lens::read::read;

    /// Rows that are well separated, tied, flat, certain, far from 0, and broken.
    fn rows(width: usize) -> Vec<Vec<f32>> {
        let wave = |at: usize| ((at * 37 + 11) as f32 * 0.7).sin();
        let row = |value: &dyn Fn(usize) -> f32| (0..width).map(value).collect::<Vec<f32>>();
        let with = |at: usize, value: f32| row(&|id| if id == at { value } else { wave(id) });
        vec![
            row(&|id| 8.0 * wave(id)),
            row(&|id| (id % 5) as f32),
            row(&|_| 0.25),
            row(&|id| if id == 3 { 3000.0 } else { 0.0 }),
            row(&|id| 900.0 + 12.0 * wave(id)),
            row(&|id| if id == 2 { -0.0 } else { 0.0 - f32::from(u8::from(id > 4)) }),
            with(width - 1, 9.0),
            with(7, f32::NAN),
            with(width - 1, f32::INFINITY),
            with(0, f32::NEG_INFINITY),
        ]
    }

    /// Compares the predictions of a device with those of the host.
    pub(crate) fn agree(device: &Device) {
        for (width, vocab) in [(24, 21), (50_304, 50_277)] {
            let rows = rows(width);
            let shape = [1, rows.len(), width];
            let logits = Tensor::<3>::from_data(TensorData::new(rows.concat(), shape), (device, DType::F32));
            for target in [None, Some(0), Some(2), Some(3), Some(8), Some(vocab as u32 - 1)] {
                let found = read_all(logits.clone(), &vec![target; rows.len()], vocab).expect("the device answers");
                assert_eq!(found.len(), rows.len());
                for (index, (found, row)) in found.into_iter().zip(&rows).enumerate() {
                    same(found, read(row, vocab, target), &format!("row {index} of {width}, {target:?}"));
                }
            }
        }
    }

    fn same(found: Option<Prediction>, expected: Option<Prediction>, place: &str) {
        let (Some(found), Some(expected)) = (found, expected) else {
            assert_eq!(found, expected, "{place}");
            return;
        };
        let rank = |prediction: &Prediction| prediction.target.map(|target| target.rank);
        assert_eq!((found.top, rank(&found)), (expected.top, rank(&expected)), "{place}");
        let prob = |prediction: &Prediction| prediction.target.map_or(0.0, |target| target.prob);
        let numbers = |prediction: &Prediction| [prediction.top_prob, prob(prediction), prediction.entropy];
        for (found, expected) in numbers(&found).into_iter().zip(numbers(&expected)) {
            assert!((found - expected).abs() < 1e-5, "{place}: {found}, not {expected}");
        }
    }

    #[test]
    fn numbers_of_a_device_say_what_the_logits_say() {
        agree(&Device::flex());
    }
}
