//! Running again with less at a time where a device could not hold all of it.

use burn::tensor::Device;
use pythia_core::device::{answer, is_cpu};

use crate::error::ProbeError;

const PLACE: &str = "what was computed";

/// What `run` answers when its work is done in one part, or else in as few parts as the device can hold: 2, 4 and so
/// on, at last `most`.
///
/// A device that is out of memory says so as [`ProbeError::Device`] when a tensor is read back, or the backend
/// panics, which is turned into that error. Nothing else is tried again. On the CPU nothing is tried again and no
/// panic is caught: memory that runs out there ends the program, and a panic is a fault of it.
///
/// # Errors
/// Those of `run`; [`ProbeError::Device`] if the device cannot hold one of `most` parts either.
pub(crate) fn retry_on_oom<T>(
    device: &Device,
    most: usize,
    mut run: impl FnMut(usize) -> Result<T, ProbeError>,
) -> Result<T, ProbeError> {
    if is_cpu(device) {
        return run(1);
    }
    halving(most, |parts| {
        // A failed attempt leaves blocks in the backend's pools that are too large for the smaller tensors that follow.
        if parts > 1 {
            device.memory_cleanup();
        }
        run(parts)
    })
}

/// Doubles the parts for as long as the device fails.
fn halving<T>(most: usize, mut run: impl FnMut(usize) -> Result<T, ProbeError>) -> Result<T, ProbeError> {
    let mut parts = 1;
    loop {
        // State that a panic interrupted is not used again: every attempt starts anew.
        let failed = |reason| Err(ProbeError::Device { place: PLACE, reason });
        match answer(|| run(parts)).unwrap_or_else(failed) {
            Err(ProbeError::Device { .. }) if parts < most => parts = (2 * parts).min(most),
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ProbeError {
        ProbeError::Device { place: PLACE, reason: "out of memory".into() }
    }

    /// The parts that are tried of at most `most`, and the answer, where the device fails on fewer than `enough`.
    fn tried(most: usize, enough: usize) -> (Vec<usize>, Result<usize, ProbeError>) {
        let mut tried = Vec::new();
        let answer = halving(most, |parts| {
            tried.push(parts);
            if parts < enough { Err(full()) } else { Ok(parts) }
        });
        (tried, answer)
    }

    #[test]
    fn parts_double_until_the_device_can_hold_them() {
        assert_eq!(tried(12, 0), (vec![1], Ok(1)));
        assert_eq!(tried(12, 3), (vec![1, 2, 4], Ok(4)));
        assert_eq!(tried(12, 12), (vec![1, 2, 4, 8, 12], Ok(12)));
        assert_eq!(tried(12, 13), (vec![1, 2, 4, 8, 12], Err(full())));
        assert_eq!(tried(1, 2), (vec![1], Err(full())));
        assert_eq!(tried(0, 2), (vec![1], Err(full())));
    }

    #[test]
    fn a_panic_is_tried_again_and_another_error_is_not() {
        let mut tried = Vec::new();
        let answer = halving(4, |parts| {
            tried.push(parts);
            assert!(parts > 2, "{parts} parts are too large");
            Ok(parts)
        });
        assert_eq!((tried, answer), (vec![1, 2, 4], Ok(4)));
        let answer: Result<(), _> = halving(1, |parts| panic!("{parts} part is too large"));
        assert_eq!(answer, Err(ProbeError::Device { place: PLACE, reason: "1 part is too large".into() }));
        let mut count = 0;
        let answer: Result<(), _> = halving(4, |_| {
            count += 1;
            Err(ProbeError::NotFired { fired: 0, expected: 1 })
        });
        assert_eq!((count, answer), (1, Err(ProbeError::NotFired { fired: 0, expected: 1 })));
    }

    #[test]
    fn the_cpu_is_asked_once() {
        let mut count = 0;
        let answer: Result<(), _> = retry_on_oom(&Device::flex(), 8, |parts| {
            count += parts;
            Err(full())
        });
        assert_eq!((count, answer), (1, Err(full())));
        let panic = std::panic::catch_unwind(|| retry_on_oom::<()>(&Device::flex(), 8, |_| panic!("a fault")));
        assert!(panic.is_err());
    }
}
