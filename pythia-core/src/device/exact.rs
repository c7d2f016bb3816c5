//! Whether a device computes float32 products with all digits.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::host_f32;

/// Rows and columns: enough for the units that multiply whole tiles, which may round.
const SIZE: usize = 64;

/// Multiplies a matrix of numbers that need all 24 bits by a permutation. The exact product consists of the same
/// numbers, so the comparison needs no tolerance. Units that round their inputs to TF32 fail by a factor of 1,000.
///
/// # Errors
/// The message of the device if the product cannot be read.
pub(super) fn products(device: &Device) -> Result<bool, String> {
    let tensor = |value: &dyn Fn(usize, usize) -> f32| {
        let values: Vec<f32> = (0..SIZE * SIZE).map(|at| value(at / SIZE, at % SIZE)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [SIZE, SIZE]), (device, DType::F32))
    };
    let permutation = tensor(&|row, column| f32::from(u8::from(row == from(column))));
    let answer = tensor(&value).matmul(permutation);
    Ok(is_right(&host_f32(answer).map_err(|error| error.reason)?))
}

/// An odd number of 24 bits, a different one for each entry.
fn value(row: usize, column: usize) -> f32 {
    (8_388_609 + 2 * (row * SIZE + column) * 997) as f32
}

/// The column that the permutation moves to this one.
fn from(column: usize) -> usize {
    (column * 23 + 5) % SIZE
}

fn is_right(answer: &[f32]) -> bool {
    answer.iter().enumerate().all(|(at, found)| *found == value(at / SIZE, from(at % SIZE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_multiplies_exactly() {
        assert_eq!(products(&Device::flex()), Ok(true));
    }

    #[test]
    fn an_answer_with_the_digits_of_tf32_is_found_out() {
        let right: Vec<f32> = (0..SIZE * SIZE).map(|at| value(at / SIZE, from(at % SIZE))).collect();
        assert!(is_right(&right));
        let rounded = |value: &f32| f32::from_bits((value.to_bits() + (1 << 12)) & !((1 << 13) - 1));
        assert!(!is_right(&right.iter().map(rounded).collect::<Vec<f32>>()));
        let mut one = right;
        one[SIZE] = rounded(&one[SIZE]);
        assert!(!is_right(&one));
    }
}
