//! Values of tensors on the host, whatever the device and the number type.

use burn::tensor::{Int, Tensor};

use super::cause;

/// The values of a tensor cannot be read: the device is lost, or it had no memory for an intermediate tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device gives no values: {}", cause(reason))]
pub struct ReadError {
    /// The message of its driver.
    pub reason: String,
}

impl ReadError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self { reason: error.to_string() }
    }
}

/// The values of a tensor in row-major order, in float32. Values of a wider type are rounded.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
/// assert_eq!(pythia_core::device::host_f32(tensor.transpose())?, [1.0, 3.0, 2.0, 4.0]);
/// # Ok::<(), pythia_core::device::ReadError>(())
/// ```
///
/// # Errors
/// [`ReadError`].
pub fn host_f32<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ReadError> {
    tensor.without_autodiff().try_into_vec_as::<f32>().map_err(ReadError::new)
}

/// As [`host_f32`], in float64, which holds the values of every type exactly.
///
/// # Errors
/// [`ReadError`].
pub fn host_f64<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>, ReadError> {
    tensor.without_autodiff().try_into_vec_as::<f64>().map_err(ReadError::new)
}

/// The values of a tensor of whole numbers in row-major order.
///
/// # Errors
/// [`ReadError`].
pub fn host_ints<const D: usize>(tensor: Tensor<D, Int>) -> Result<Vec<i64>, ReadError> {
    tensor.try_into_vec_as::<i64>().map_err(ReadError::new)
}
