//! Whether a device's float32 products are float32 products.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Rows and columns: enough for the units that multiply whole tiles, which are where digits get lost.
const SIZE: usize = 64;

/// Multiplies a matrix of numbers that need all 24 bits by a permutation. The exact answer is made of the same numbers, so there is no
/// tolerance to choose. Units that round what they read to TF32, as a library may use them for float32, fail by a factor of 1,000.
///
/// # Errors
/// What the device says when the answer cannot be read.
pub(super) fn products(device: &Device) -> Result<bool, String> {
    let value = |row: usize, column: usize| (8_388_609 + 2 * (row * SIZE + column) * 997) as f32;
    let from = |column: usize| (column * 23 + 5) % SIZE;
    let tensor = |value: &dyn Fn(usize, usize) -> f32| {
        let values: Vec<f32> = (0..SIZE * SIZE).map(|at| value(at / SIZE, at % SIZE)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [SIZE, SIZE]), (device, DType::F32))
    };
    let permutation = tensor(&|row, column| f32::from(u8::from(row == from(column))));
    let answer = tensor(&value).matmul(permutation);
    let answer = answer.try_into_vec_as::<f32>().map_err(|error| error.to_string())?;
    Ok(answer.iter().enumerate().all(|(at, found)| *found == value(at / SIZE, from(at % SIZE))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_multiplies_exactly() {
        assert_eq!(products(&Device::flex()), Ok(true));
    }

    #[test]
    fn the_numbers_need_more_digits_than_tf32_has() {
        let value = 8_388_609_f32;
        let tf32 = f32::from_bits((value.to_bits() + (1 << 12)) & !((1 << 13) - 1));
        assert_ne!(value, tf32);
    }
}
