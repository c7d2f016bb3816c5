//! From errors of devices.

use pythia_core::device::ReadError;

use super::ProbeError;

impl ProbeError {
    /// From a tensor that could not be read back, for `map_err`. `place`: where the tensor came from.
    pub(crate) fn device(place: &'static str) -> impl Fn(ReadError) -> Self {
        move |error| ProbeError::Device { place, reason: error.reason }
    }
}
