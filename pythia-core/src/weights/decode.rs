//! Stored bytes → 32-bit floats in the model's layout, on all cores.
//!
//! The three stored types widen to f32 without rounding. A value that is not finite is reported, never passed on: one
//! NaN in a weight becomes NaN in every result. Transposition goes through small square tiles, so that both sides are
//! touched a cache line at a time; how wide the tiles are does not change the result.

use rayon::prelude::*;
use safetensors::Dtype;

use crate::config::NeoxConfig;
use crate::params::{Floats, HostTensor, Layout, Param, Third};
use crate::vectors::widest;

/// Values that one task converts when nothing is transposed: 256 kB of results.
const RUN: usize = 1 << 16;
/// Output rows (stored columns) of one task, and width of a tile.
const BAND: usize = 64;
/// Stored rows in a tile.
const TILE_ROWS: usize = 32;

/// A type that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
}

/// The place of the first value that is infinite or not a number, and the value.
pub(super) type NotFinite = (usize, f32);

impl Kind {
    /// The kind of a stored type; `None` for those that weights do not come in.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Widens as many values as `to` holds; says whether all of them are finite.
    #[inline(always)]
    fn widen(self, from: &[u8], to: &mut [f32]) -> bool {
        match self {
            Self::F16 => widen(from, to, |bytes| widen_f16(u16::from_le_bytes(bytes))),
            Self::Bf16 => widen(from, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
            Self::F32 => widen(from, to, f32::from_le_bytes),
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

/// The rows of a stored matrix that make up a parameter: rows `skip + group * stride ..` of `group` each.
#[derive(Clone, Copy)]
struct Rows {
    n: usize,
    group: usize,
    stride: usize,
    skip: usize,
}

impl Rows {
    fn all(n: usize) -> Self {
        Self { n, group: n.max(1), stride: n, skip: 0 }
    }

    /// One third of the fused projection: row `head * 3e + third * e + j`.
    fn third(third: Third, config: &NeoxConfig) -> Self {
        let e = config.d_head();
        Self { n: config.d_model, group: e, stride: 3 * e, skip: third as usize * e }
    }

    fn stored(self, row: usize) -> usize {
        row / self.group * self.stride + self.skip + row % self.group
    }

    /// Those of some whole groups, counted from the first of them.
    fn part(self, n_stored: usize) -> Self {
        Self { n: n_stored / self.stride.max(1) * self.group, ..self }
    }
}

/// A parameter on its way from the bytes of its stored tensor, whose length has been checked against its shape. The bytes come a few
/// rows at a time, in order.
pub(super) struct Decoding {
    pub param: Param,
    layout: Layout,
    shape: Vec<usize>,
    values: Floats,
    /// The sum of the squares of the values, where they are stored as they are used: there it costs nothing.
    pub squares: f64,
}

impl Decoding {
    /// Nothing of it yet.
    pub(super) fn new((param, layout): (Param, Layout), config: &NeoxConfig) -> Self {
        let shape = param.shape(config);
        Self { param, layout, values: Floats::to_fill(shape.iter().product()), shape, squares: 0.0 }
    }

    /// Rows that have to come together: those of one head in the fused projection.
    pub(super) fn unit(layout: Layout, config: &NeoxConfig) -> usize {
        match layout {
            Layout::FusedThird(_) => 3 * config.d_head(),
            Layout::AsIs | Layout::Transposed => 1,
        }
    }

    /// Takes stored rows from `first` on; says whether all of their values are finite. A vector is one row.
    pub(super) fn take(&mut self, kind: Kind, bytes: &[u8], first: usize, config: &NeoxConfig) -> bool {
        let n = bytes.len() / kind.size();
        match (self.layout, &self.shape[..]) {
            (Layout::AsIs, shape) => {
                let width = shape[shape.len() - 1];
                copy(kind, bytes, width, &mut self.values[first * width..][..n], &mut self.squares)
            }
            (Layout::FusedThird(third), [_]) => gather(kind, bytes, Rows::third(third, config), &mut self.values),
            (Layout::Transposed, &[n_in, n_out]) => {
                let window = Window { rows: Rows::all(n / n_in), at: first, of: n_out };
                transpose(kind, bytes, window, n_in, &mut self.values)
            }
            (Layout::FusedThird(third), &[n_in, n_out]) => {
                let window = Window { rows: Rows::third(third, config).part(n / n_in), at: first / 3, of: n_out };
                transpose(kind, bytes, window, n_in, &mut self.values)
            }
            _ => unreachable!("parameters are vectors and matrices, and vectors are not stored transposed"),
        }
    }

    /// The parameter, once all rows have come.
    pub(super) fn finish(self) -> (Param, HostTensor) {
        (self.param, HostTensor { shape: self.shape, values: self.values })
    }
}

/// Decodes some rows of a matrix that is stored row by row.
///
/// # Panics
/// If there is no such row.
pub(super) fn rows(kind: Kind, bytes: &[u8], width: usize, ids: &[u32]) -> Result<Floats, NotFinite> {
    let mut values = Floats::to_fill(ids.len() * width);
    for (to, &id) in values.chunks_exact_mut(width.max(1)).zip(ids) {
        let first = id as usize * width;
        let row = &bytes[first * kind.size()..][..width * kind.size()];
        if !kind.widen(row, to) {
            let (index, value) = first_special(kind, row);
            return Err((first + index, value));
        }
    }
    Ok(values)
}

/// Whether all values are finite, found out without decoding them.
pub(super) fn is_finite(kind: Kind, bytes: &[u8]) -> bool {
    widest(
        #[inline(always)]
        || match kind {
            Kind::F16 => all_finite(bytes, |value| u16::from_le_bytes(value) & 0x7C00 != 0x7C00),
            Kind::Bf16 => all_finite(bytes, |value| u16::from_le_bytes(value) & 0x7F80 != 0x7F80),
            Kind::F32 => all_finite(bytes, |value| u32::from_le_bytes(value) & 0x7F80_0000 != 0x7F80_0000),
        },
    )
}

#[inline(always)]
fn all_finite<const SIZE: usize>(bytes: &[u8], finite: impl Fn([u8; SIZE]) -> bool) -> bool {
    // Without leaving early, so that the loop stays free of branches.
    bytes.as_chunks::<SIZE>().0.iter().fold(true, |all, &value| all & finite(value))
}

/// Adds the squares of the values of whole rows, in the very order in which decoding adds them.
pub(super) fn add_squares(kind: Kind, bytes: &[u8], width: usize, squares: &mut f64) {
    let mut values = vec![0.0; width];
    for row in bytes.chunks_exact((width * kind.size()).max(1)) {
        *squares += widest(
            #[inline(always)]
            || {
                kind.widen(row, &mut values);
                sum_of_squares(&values)
            },
        );
    }
}

/// Widens whole rows as they are, and adds the squares of their values.
fn copy(kind: Kind, bytes: &[u8], width: usize, values: &mut [f32], squares: &mut f64) -> bool {
    let at_a_time = (RUN / width).max(1);
    let mut sums = vec![0.0; values.len() / width];
    let runs = values
        .par_chunks_mut(at_a_time * width)
        .zip(bytes.par_chunks(at_a_time * width * kind.size()))
        .zip(sums.par_chunks_mut(at_a_time));
    let one = |((to, from), sums): ((&mut [f32], &[u8]), &mut [f64])| {
        widest(
            #[inline(always)]
            || {
                let finite = kind.widen(from, to);
                to.chunks_exact(width).zip(&mut *sums).for_each(|(row, sum)| *sum = sum_of_squares(row));
                finite
            },
        )
    };
    let finite = runs.map(one).reduce(|| true, |a, b| a & b);
    // In order, so that the sum does not depend on which core was done first.
    *squares = sums.iter().fold(*squares, |sum, row| sum + row);
    finite
}

/// The sum of squares in an order that does not depend on the width of the machine's vectors.
#[inline(always)]
fn sum_of_squares(values: &[f32]) -> f64 {
    let square = |&value: &f32| f64::from(value) * f64::from(value);
    let mut lanes = [0.0; 32];
    let (whole, rest) = values.as_chunks::<32>();
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(sum, value)| *sum += square(value));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(square).sum::<f64>()
}

/// The rows of a stored vector, a group of neighbours at a time.
fn gather(kind: Kind, bytes: &[u8], rows: Rows, values: &mut [f32]) -> bool {
    let groups = values.chunks_mut(rows.group).enumerate();
    groups.fold(true, |finite, (at, to)| {
        let first = rows.stored(at * rows.group) * kind.size();
        finite & kind.widen(&bytes[first..first + to.len() * kind.size()], to)
    })
}

/// Some rows of a stored matrix that are at hand, and where they go.
#[derive(Clone, Copy)]
struct Window {
    rows: Rows,
    /// The place of the first of them among all rows of the parameter.
    at: usize,
    /// The number of all of them.
    of: usize,
}

/// `values[column][row] = stored[row][column]`; each task makes `BAND` rows of the result.
fn transpose(kind: Kind, bytes: &[u8], window: Window, n_columns: usize, values: &mut [f32]) -> bool {
    let bands = values.par_chunks_mut(BAND * window.of).enumerate();
    let one = |(band, to): (usize, &mut [f32])| transpose_band(kind, bytes, window, n_columns, band * BAND, to);
    bands.map(one).reduce(|| true, |a, b| a & b)
}

/// Stored values, widened; one row of the tile is `BAND` stored neighbours.
type Tile = [[f32; BAND]; TILE_ROWS];

fn transpose_band(kind: Kind, bytes: &[u8], window: Window, n_columns: usize, column: usize, to: &mut [f32]) -> bool {
    let Window { rows, at, of } = window;
    let width = to.len() / of;
    let size = kind.size();
    let mut tile: Tile = [[0.0; BAND]; TILE_ROWS];
    let mut finite = true;
    for first in (0..rows.n).step_by(TILE_ROWS) {
        let height = TILE_ROWS.min(rows.n - first);
        finite &= widest(
            #[inline(always)]
            || {
                let mut finite = true;
                for (row, line) in tile[..height].iter_mut().enumerate() {
                    let start = (rows.stored(first + row) * n_columns + column) * size;
                    finite &= kind.widen(&bytes[start..start + width * size], &mut line[..width]);
                }
                finite
            },
        );
        if height == TILE_ROWS && width == BAND {
            write_whole_tile(&tile, of, at + first, to);
        } else {
            for (column, to) in to.chunks_exact_mut(of).enumerate() {
                to[at + first..at + first + height].iter_mut().zip(&tile).for_each(|(to, line)| *to = line[column]);
            }
        }
    }
    finite
}

/// `to[column][first + row] = tile[row][column]`, four by four: a shape that compilers turn into shuffles of whole
/// registers, where a loop over single values becomes as many loads and stores.
fn write_whole_tile(tile: &Tile, n_rows: usize, first: usize, to: &mut [f32]) {
    for (block, to) in to.chunks_exact_mut(4 * n_rows).enumerate() {
        let mut columns = to.chunks_exact_mut(n_rows).map(|to| &mut to[first..first + TILE_ROWS]);
        let (Some(a), Some(b), Some(c), Some(d)) = (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            return;
        };
        for (rows, at) in tile.as_chunks::<4>().0.iter().zip((0..TILE_ROWS).step_by(4)) {
            let [p, q, r, s] = rows.each_ref().map(|row| &row.as_chunks::<4>().0[block]);
            a[at..at + 4].copy_from_slice(&[p[0], q[0], r[0], s[0]]);
            b[at..at + 4].copy_from_slice(&[p[1], q[1], r[1], s[1]]);
            c[at..at + 4].copy_from_slice(&[p[2], q[2], r[2], s[2]]);
            d[at..at + 4].copy_from_slice(&[p[3], q[3], r[3], s[3]]);
        }
    }
}

/// Looks again, slowly, for what a fast pass has noticed.
pub(super) fn first_special(kind: Kind, bytes: &[u8]) -> NotFinite {
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
            assert!(widest(|| Kind::F16.widen(&bytes[..2 * n], &mut values)));
            assert!(values.iter().zip(&halves).all(|(&value, &bits)| value == widen_f16(bits)));
        }
    }
}
