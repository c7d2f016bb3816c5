//! Stored bytes → 32-bit floats in the model's layout, on all cores.
//!
//! The three stored types widen to f32 without rounding. A value that is not finite is reported, never passed on: one
//! NaN in a weight becomes NaN in every result. Transposition goes through small square tiles, so that both sides are
//! touched a cache line at a time; how wide the tiles are does not change the result.

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use rayon::prelude::*;
use safetensors::Dtype;

use crate::config::NeoxConfig;
use crate::params::{HostTensor, Layout, Param, Third};

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

    fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Widens as many values as `to` holds; says whether all of them are finite.
    fn widen(self, from: &[u8], to: &mut [f32]) -> bool {
        match self {
            Self::F16 => widen_f16(from, to),
            Self::Bf16 => {
                widen_by(from, to, |bytes: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
            }
            Self::F32 => widen_by(from, to, f32::from_le_bytes),
        }
    }
}

/// Values converted at once, by way of the stack: stored bytes need not be aligned.
const CHUNK: usize = 64;

fn widen_f16(from: &[u8], to: &mut [f32]) -> bool {
    const EXPONENT: u16 = 0x7C00;
    let mut bits = [0u16; CHUNK];
    let mut special = false;
    for (from, to) in from.chunks(2 * CHUNK).zip(to.chunks_mut(CHUNK)) {
        let bits = &mut bits[..to.len()];
        let mut any = 0;
        for (bits, &bytes) in bits.iter_mut().zip(from.as_chunks::<2>().0) {
            *bits = u16::from_le_bytes(bytes);
            any |= u16::from(*bits & EXPONENT == EXPONENT);
        }
        special |= any != 0;
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(to);
    }
    !special
}

fn widen_by<const SIZE: usize>(from: &[u8], to: &mut [f32], widen: impl Fn([u8; SIZE]) -> f32) -> bool {
    let mut special = false;
    for (to, &bytes) in to.iter_mut().zip(from.as_chunks::<SIZE>().0) {
        *to = widen(bytes);
        special |= !to.is_finite();
    }
    !special
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
}

/// Decodes one parameter from the bytes of its stored tensor, whose length has been checked against its shape.
pub(super) fn decode(
    (param, layout): (Param, Layout),
    kind: Kind,
    bytes: &[u8],
    config: &NeoxConfig,
) -> Result<HostTensor, NotFinite> {
    let shape = param.shape(config);
    let mut values = vec![0.0; shape.iter().product()];
    let finite = match (layout, &shape[..]) {
        (Layout::AsIs, _) => copy(kind, bytes, &mut values),
        (Layout::Transposed, &[n_in, n_out]) => transpose(kind, bytes, Rows::all(n_out), n_in, &mut values),
        (Layout::FusedThird(third), &[n_in, _]) => {
            transpose(kind, bytes, Rows::third(third, config), n_in, &mut values)
        }
        (Layout::FusedThird(third), _) => gather(kind, bytes, Rows::third(third, config), &mut values),
        (Layout::Transposed, _) => unreachable!("only matrices are stored transposed"),
    };
    if finite { Ok(HostTensor { shape, values }) } else { Err(first_special(kind, bytes)) }
}

fn copy(kind: Kind, bytes: &[u8], values: &mut [f32]) -> bool {
    let runs = values.par_chunks_mut(RUN).zip(bytes.par_chunks(RUN * kind.size()));
    runs.map(|(to, from)| kind.widen(from, to)).reduce(|| true, |a, b| a & b)
}

/// The rows of a stored vector, a group of neighbours at a time.
fn gather(kind: Kind, bytes: &[u8], rows: Rows, values: &mut [f32]) -> bool {
    let groups = values.chunks_mut(rows.group).enumerate();
    groups.fold(true, |finite, (at, to)| {
        let first = rows.stored(at * rows.group) * kind.size();
        finite & kind.widen(&bytes[first..first + to.len() * kind.size()], to)
    })
}

/// `values[column][row] = stored[row][column]`; each task makes `BAND` rows of the result.
fn transpose(kind: Kind, bytes: &[u8], rows: Rows, n_columns: usize, values: &mut [f32]) -> bool {
    let bands = values.par_chunks_mut(BAND * rows.n).enumerate();
    bands.map(|(band, to)| transpose_band(kind, bytes, rows, n_columns, band * BAND, to)).reduce(|| true, |a, b| a & b)
}

fn transpose_band(kind: Kind, bytes: &[u8], rows: Rows, n_columns: usize, column: usize, to: &mut [f32]) -> bool {
    let width = to.len() / rows.n;
    let size = kind.size();
    let mut tile = [[0.0f32; BAND]; TILE_ROWS];
    let mut finite = true;
    for first in (0..rows.n).step_by(TILE_ROWS) {
        let height = TILE_ROWS.min(rows.n - first);
        for (row, line) in tile[..height].iter_mut().enumerate() {
            let start = (rows.stored(first + row) * n_columns + column) * size;
            finite &= kind.widen(&bytes[start..start + width * size], &mut line[..width]);
        }
        for (column, to) in to.chunks_exact_mut(rows.n).enumerate() {
            for (to, line) in to[first..first + height].iter_mut().zip(&tile) {
                *to = line[column];
            }
        }
    }
    finite
}

/// Looks again, slowly, for what a fast pass has noticed.
fn first_special(kind: Kind, bytes: &[u8]) -> NotFinite {
    let mut value = [0.0];
    let values = bytes.chunks_exact(kind.size()).map(|bytes| {
        kind.widen(bytes, &mut value);
        value[0]
    });
    values.enumerate().find(|(_, value)| !value.is_finite()).unwrap_or((0, f32::NAN))
}
