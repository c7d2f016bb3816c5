//! Whole numbers as tensors.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::is_cpu;

/// Ids or indices on a device, in its integer type: 64 bits on the CPU, 32 on GPUs, whose shaders have no wider
/// integers.
///
/// # Panics
/// If their number differs from the shape, or one does not fit the type. No tensor that fits a GPU has 2³¹ rows.
pub fn ints<const D: usize>(
    values: impl IntoIterator<Item = usize>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D, Int> {
    let device = device.clone().inner();
    if is_cpu(&device) {
        let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
        return Tensor::from_data(TensorData::new(values, shape), (&device, DType::I64));
    }
    let narrow = |value| i32::try_from(value).unwrap_or_else(|_| panic!("index {value} does not fit a GPU"));
    let values: Vec<i32> = values.into_iter().map(narrow).collect();
    Tensor::from_data(TensorData::new(values, shape), (&device, DType::I32))
}
