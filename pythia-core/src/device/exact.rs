//! Whether a device's float32 products are float32 products.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::host_f32;

/// Rows and columns: enough for the units that multiply whole tiles, which are where digits get lost.
const SIZE: usize = 64;

/// Multiplies a matrix of numbers that need all 24 bits by a permutation. The exact answer is made of the same numbers,
/// so there is no tolerance to choose. Units that round what they read to TF32, as a library may use them for float32,
/// fail by a factor of 1,000.
///
/// # Errors
/// What the device says when the answer cannot be read.
pub(super) fn products(device: &Device) -> Result<bool, String> {
    let tensor = |value: &dyn Fn(usize, usize) -> f32| {
        let values: Vec<f32> = (0..SIZE * SIZE).map(|at| value(at / SIZE, at % SIZE)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [SIZE, SIZE]), (device, DType::F32))
    };
    let permutation = tensor(&|row, column| f32::from(u8::from(row == from(column))));
    let answer = tensor(&value).matmul(permutation);
    Ok(is_right(&host_f32(answer).map_err(|error| error.reason)?))
}

/// An odd number of 24 bits, another one for each entry.
fn value(row: usize, column: usize) -> f32 {
    (8_388_609 + 2 * (row * SIZE + column) * 997) as f32
}

/// The column that the permutation puts in the place of this one.
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
