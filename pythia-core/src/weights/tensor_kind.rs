//! The types that weights are stored in, and their values as 32-bit floats.

use rayon::prelude::*;
use safetensors::Dtype;

use crate::vectors::widest;

/// A type that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TensorKind {
    F16,
    Bf16,
    F32,
    /// Rounded to 32 bits when it is read.
    F64,
}

/// Bytes that one task copies. They are still in the core's cache when they are checked.
const RUN: usize = 1 << 17;

/// Rows that one task sums up, at least.
const ROWS: usize = 64;

/// The place of the first value that is infinite or not a number, and the value.
pub(super) type NotFinite = (usize, f32);

impl TensorKind {
    /// The kind of a stored type; `None` for those that weights do not come in.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Converts as many values as `to` holds to 32 bits. Returns whether all of them are finite.
    #[inline(always)]
    pub(super) fn widen(self, from: &[u8], to: &mut [f32]) -> bool {
        match self {
            Self::F16 => widen(from, to, |bytes| widen_f16(u16::from_le_bytes(bytes))),
            Self::Bf16 => widen(from, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
            Self::F32 => widen(from, to, f32::from_le_bytes),
            Self::F64 => widen(from, to, round),
        }
    }
}

#[inline(always)]
fn widen<const SIZE: usize>(from: &[u8], to: &mut [f32], widen: impl Fn([u8; SIZE]) -> f32) -> bool {
    const EXPONENT: u32 = 0x7F80_0000;
    let mut special = 0;
    for (to, &bytes) in to.iter_mut().zip(from.as_chunks::<SIZE>().0) {
        *to = widen(bytes);
        // Kept as a number, so that the loop stays free of branches.
        special |= u32::from(to.to_bits() & EXPONENT == EXPONENT);
    }
    special == 0
}

/// Double precision to single, to the nearest. A value beyond the largest single becomes infinite.
#[inline(always)]
fn round(double: [u8; 8]) -> f32 {
    f64::from_le_bytes(double) as f32
}

/// IEEE half precision to single, exactly. Written without branches and without subnormal singles, so that it is
/// vectorised, and right also where a thread flushes subnormals to zero.
#[inline(always)]
fn widen_f16(half: u16) -> f32 {
    /// A half's fraction has 10 bits, a single's 23.
    const SHIFT: u32 = 13;
    /// Difference of the biases of the exponents, 127 - 15, in place.
    const REBIAS: u32 = 112 << 23;
    let half = u32::from(half);
    let (sign, magnitude) = ((half & 0x8000) << 16, half & 0x7FFF);
    let normal = (magnitude << SHIFT) + REBIAS;
    // Infinities and NaNs have the largest exponent, here too.
    let special = (magnitude << SHIFT) | 0x7F80_0000;
    // A subnormal counts in steps of 2^-24.
    let subnormal = (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits();
    let finite = if magnitude < 0x0400 { subnormal } else { normal };
    f32::from_bits(sign | if magnitude < 0x7C00 { finite } else { special })
}

/// Whether all values are finite as 32-bit floats, without decoding them.
pub(super) fn is_finite(kind: TensorKind, bytes: &[u8]) -> bool {
    widest(
        #[inline(always)]
        || match kind {
            TensorKind::F16 => all_finite(bytes, |value| u16::from_le_bytes(value) & 0x7C00 != 0x7C00),
            TensorKind::Bf16 => all_finite(bytes, |value| u16::from_le_bytes(value) & 0x7F80 != 0x7F80),
            TensorKind::F32 => all_finite(bytes, |value| u32::from_le_bytes(value) & 0x7F80_0000 != 0x7F80_0000),
            TensorKind::F64 => all_finite(bytes, |value| round(value).is_finite()),
        },
    )
}

/// Copies values as they are. Returns whether all of them are finite. Both slices have the same length.
pub(super) fn copy(kind: TensorKind, from: &[u8], to: &mut [u8]) -> bool {
    let runs = to.par_chunks_mut(RUN).zip(from.par_chunks(RUN));
    let one = |(to, from): (&mut [u8], &[u8])| {
        to.copy_from_slice(from);
        is_finite(kind, to)
    };
    runs.map(one).reduce(|| true, |a, b| a & b)
}

#[inline(always)]
fn all_finite<const SIZE: usize>(bytes: &[u8], finite: impl Fn([u8; SIZE]) -> bool) -> bool {
    // Without leaving early, so that the loop stays free of branches.
    bytes.as_chunks::<SIZE>().0.iter().fold(true, |all, &value| all & finite(value))
}

/// Adds the squares of the values of whole rows, in the very order in which decoding adds them.
pub(super) fn add_squares(kind: TensorKind, bytes: &[u8], width: usize, squares: &mut f64) {
    let of_row = |values: &mut Vec<f32>, row: &[u8]| {
        widest(
            #[inline(always)]
            || {
                kind.widen(row, values);
                sum_of_squares(values)
            },
        )
    };
    let rows = bytes.par_chunks_exact((width * kind.size()).max(1));
    let sums: Vec<f64> = rows.with_min_len(ROWS).map_init(|| vec![0.0; width], of_row).collect();
    *squares = sums.iter().fold(*squares, |sum, row| sum + row);
}

/// The sum of squares in an order that does not depend on the width of the machine's vectors.
#[inline(always)]
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let square = |&value: &f32| f64::from(value) * f64::from(value);
    let mut lanes = [0.0; 32];
    let (whole, rest) = values.as_chunks::<32>();
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(sum, value)| *sum += square(value));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
}

/// Finds the value that a fast pass has detected.
pub(super) fn first_special(kind: TensorKind, bytes: &[u8]) -> NotFinite {
    let mut value = [0.0];
    let values = bytes.chunks_exact(kind.size()).map(|bytes| {
        kind.widen(bytes, &mut value);
        value[0]
    });
    values.enumerate().find(|(_, value)| !value.is_finite()).unwrap_or((0, f32::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_the_same_number() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (widen_f16(bits), half::f16::from_bits(bits).to_f32());
            assert_eq!(found.is_nan(), expected.is_nan(), "{bits:#06x}");
            assert!(expected.is_nan() || found.to_bits() == expected.to_bits(), "{bits:#06x}: {found}, {expected}");
        }
    }

    #[test]
    fn vectors_of_every_length_widen_alike() {
        let halves: Vec<u16> = (0..200u16).map(|i| i.wrapping_mul(331) & 0x7BFF).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for n in 0..halves.len() {
            let mut values = vec![0.0; n];
            assert!(widest(|| TensorKind::F16.widen(&bytes[..2 * n], &mut values)));
            assert!(values.iter().zip(&halves).all(|(&value, &bits)| value == widen_f16(bits)));
        }
    }
}
