//! Rows of matrices: some of them by index, and sums of long ones in float32.

use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, activation};
use pythia_core::device::ints;

/// Rows that are unembedded at a time: enough for a fast matrix product, and logits that are small beside the weights
/// (50 MB for Pythia's vocabulary, where a batch of 8 × 512 tokens would need 800).
pub(crate) const ROWS_AT_A_TIME: usize = 256;

/// Values that are added up at a time.
const RUN: usize = 64;

/// Rows of a matrix, by index.
pub(crate) fn select(table: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
    table.clone().select(0, ints(rows.iter().copied(), [rows.len()], &table.device()))
}

/// The sums of rows `[row, value]`, as `[row, 1]`: of runs of values first, then of runs of those sums, until one is
/// left.
///
/// Burn adds up a row one value after the other, or in a few lanes on the CPU. If values are alike, as they are early
/// in training, every addition rounds to the same side, and the sum of 50,000 values keeps four digits.
pub(crate) fn row_sums(values: Tensor<2>) -> Tensor<2> {
    let [rows, width] = values.dims();
    if width <= 1 {
        return values;
    }
    let runs = width.div_ceil(RUN);
    let values = match runs * RUN - width {
        0 => values,
        rest => values.pad([(0, rest)], PadMode::Constant(0.0)),
    };
    row_sums(values.reshape([rows, runs, RUN]).sum_dim(2).reshape([rows, runs]))
}

/// Softmax of each row of logits `[row, V]`. Burn's softmax divides by a sum that has lost digits, as above. Its
/// results are therefore divided by their own sum, which is 1 but for that error.
pub(crate) fn probabilities(logits: Tensor<2>) -> Tensor<2> {
    let rough = activation::softmax(logits, 1);
    rough.clone() / row_sums(rough)
}

/// The largest probability under each row of logits `[row, V]`, `[row, 1]`: 1 / Σ exp(x − max). It is at least 1/V,
/// so its logarithm is safe where that of an unlikely token's probability would underflow.
pub(crate) fn certainty(logits: Tensor<2>) -> Tensor<2> {
    let rough = activation::softmax(logits, 1);
    rough.clone().max_dim(1) / row_sums(rough)
}

#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    /// Compares the sums of a device with those of float64.
    pub(crate) fn agree(device: &Device) {
        for width in [1, 2, 63, 64, 65, 4097, 50_304] {
            let rows: [Vec<f32>; 3] = [
                vec![0.3678; width],
                (0..width).map(|at| (at as f32).sin()).collect(),
                (0..width).map(|at| f32::from(u8::from(at + 1 == width))).collect(),
            ];
            let tensor = Tensor::<2>::from_data(TensorData::new(rows.concat(), [3, width]), (device, DType::F32));
            let sums = row_sums(tensor.clone());
            assert_eq!(sums.dims(), [3, 1]);
            let sums = sums.try_into_vec_as::<f32>().expect("the device answers");
            let certain = certainty(tensor).try_into_vec_as::<f32>().expect("the device answers");
            for (row, found) in rows.iter().zip(certain) {
                let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = row.iter().map(|value| f64::from(value - greatest).exp()).sum();
                assert!((f64::from(found) * sum - 1.0).abs() <= 4e-6, "{width}: {found}, not 1/{sum}");
            }
            for (row, found) in rows.iter().zip(sums) {
                let expected: f64 = row.iter().map(|value| f64::from(*value)).sum();
                let size: f64 = row.iter().map(|value| f64::from(value.abs())).sum();
                assert!((f64::from(found) - expected).abs() <= 4e-6 * size, "{width}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn long_rows_of_equal_values_lose_nothing() {
        agree(&Device::flex());
    }
}
