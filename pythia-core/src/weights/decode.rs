//! Stored bytes → 32-bit floats in the model's layout, on all cores.
//!
//! The stored types of 16 and 32 bits become f32 without rounding, float64 is rounded to the nearest. A value that is
//! not finite is an error, because one NaN in a weight makes every result NaN. Matrices are transposed in small tiles,
//! so that both sides are accessed a cache line at a time. The size of the tiles does not change the result.

use rayon::prelude::*;

use crate::config::NeoxConfig;
use crate::params::{F32Buffer, HostTensor, Layout, Param, Qkv};
use crate::vectors::widest;

use super::tensor_kind::{NotFinite, TensorKind, first_special, sum_of_squares};

/// Values that one task converts when nothing is transposed: 256 kB of results.
const RUN: usize = 1 << 16;
/// Output rows (stored columns) of one task, and width of a tile.
const BAND: usize = 64;
/// Stored rows in a tile.
const TILE_ROWS: usize = 32;

/// The rows of a stored matrix that make up a parameter: rows `skip + group * stride ..` of `group` each.
#[derive(Clone, Copy)]
struct StoredRows {
    n: usize,
    group: usize,
    stride: usize,
    skip: usize,
}

impl StoredRows {
    fn all(n: usize) -> Self {
        Self { n, group: n.max(1), stride: n, skip: 0 }
    }

    /// Queries, keys or values of the fused projection: row `head * 3e + part * e + j`.
    fn fused(part: Qkv, config: &NeoxConfig) -> Self {
        let e = config.d_head();
        Self { n: config.d_model, group: e, stride: 3 * e, skip: part as usize * e }
    }

    fn stored(self, row: usize) -> usize {
        row / self.group * self.stride + self.skip + row % self.group
    }

    /// The rows of some whole groups, counted from the first of these.
    fn part(self, n_stored: usize) -> Self {
        Self { n: n_stored / self.stride.max(1) * self.group, ..self }
    }
}

/// A parameter that is being decoded from the bytes of its stored tensor, a few rows at a time, in order. The length
/// has been checked against the shape.
pub(super) struct Decoding {
    pub param: Param,
    layout: Layout,
    shape: Vec<usize>,
    values: F32Buffer,
    /// The sum of squares of the values, for parameters that are stored as they are used, where it costs nothing.
    pub squares: f64,
}

impl Decoding {
    /// An empty parameter.
    pub(super) fn new((param, layout): (Param, Layout), config: &NeoxConfig) -> Self {
        let shape = param.shape(config);
        Self { param, layout, values: F32Buffer::to_fill(shape.iter().product()), shape, squares: 0.0 }
    }

    /// The number of rows that must be decoded together: those of one head in the fused projection.
    pub(super) fn unit(layout: Layout, config: &NeoxConfig) -> usize {
        match layout {
            Layout::FusedQkv(_) => 3 * config.d_head(),
            Layout::AsIs | Layout::Transposed => 1,
        }
    }

    /// Decodes stored rows from `first` on. Returns whether all of their values are finite. A vector is one row.
    pub(super) fn take(&mut self, kind: TensorKind, bytes: &[u8], first: usize, config: &NeoxConfig) -> bool {
        let n = bytes.len() / kind.size();
        match (self.layout, &self.shape[..]) {
            (Layout::AsIs, shape) => {
                let width = shape[shape.len() - 1];
                copy(kind, bytes, width, &mut self.values[first * width..][..n], &mut self.squares)
            }
            (Layout::FusedQkv(part), [_]) => gather(kind, bytes, StoredRows::fused(part, config), &mut self.values),
            (Layout::Transposed, &[n_in, n_out]) => {
                let window = Window { rows: StoredRows::all(n / n_in), at: first, of: n_out };
                transpose(kind, bytes, window, n_in, &mut self.values)
            }
            (Layout::FusedQkv(part), &[n_in, n_out]) => {
                let window = Window { rows: StoredRows::fused(part, config).part(n / n_in), at: first / 3, of: n_out };
                transpose(kind, bytes, window, n_in, &mut self.values)
            }
            _ => unreachable!("parameters are vectors and matrices, and vectors are not stored transposed"),
        }
    }

    /// The parameter, after all rows were decoded.
    pub(super) fn finish(self) -> (Param, HostTensor) {
        (self.param, HostTensor { shape: self.shape, values: self.values })
    }
}

/// Decodes some rows of a matrix that is stored row by row.
///
/// # Panics
/// If there is no such row.
pub(super) fn rows(kind: TensorKind, bytes: &[u8], width: usize, ids: &[u32]) -> Result<F32Buffer, NotFinite> {
    let mut values = F32Buffer::to_fill(ids.len() * width);
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

/// Widens whole rows as they are, and adds the squares of their values.
fn copy(kind: TensorKind, bytes: &[u8], width: usize, values: &mut [f32], squares: &mut f64) -> bool {
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
    // Added in order, so that the sum does not depend on the order of the cores.
    *squares = sums.iter().fold(*squares, |sum, row| sum + row);
    finite
}

/// The rows of a stored vector, a group of neighbours at a time.
fn gather(kind: TensorKind, bytes: &[u8], rows: StoredRows, values: &mut [f32]) -> bool {
    let groups = values.chunks_mut(rows.group).enumerate();
    groups.fold(true, |finite, (at, to)| {
        let first = rows.stored(at * rows.group) * kind.size();
        finite & kind.widen(&bytes[first..first + to.len() * kind.size()], to)
    })
}

/// A part of the rows of a stored matrix, and its place.
#[derive(Clone, Copy)]
struct Window {
    rows: StoredRows,
    /// Index of the first of them among all rows of the parameter.
    at: usize,
    /// Number of all rows of the parameter.
    of: usize,
}

/// `values[column][row] = stored[row][column]`; each task makes `BAND` rows of the result.
fn transpose(kind: TensorKind, bytes: &[u8], window: Window, n_columns: usize, values: &mut [f32]) -> bool {
    let bands = values.par_chunks_mut(BAND * window.of).enumerate();
    let one = |(band, to): (usize, &mut [f32])| transpose_band(kind, bytes, window, n_columns, band * BAND, to);
    bands.map(one).reduce(|| true, |a, b| a & b)
}

/// Stored values, widened; one row of the tile is `BAND` stored neighbours.
type Tile = [[f32; BAND]; TILE_ROWS];

fn transpose_band(
    kind: TensorKind,
    bytes: &[u8],
    window: Window,
    n_columns: usize,
    column: usize,
    to: &mut [f32],
) -> bool {
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

/// `to[column][first + row] = tile[row][column]`, four by four, which compilers turn into shuffles of registers. A
/// loop over single values would become as many loads and stores.
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
