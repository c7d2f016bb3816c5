//! Sums over values in an order that is always the same.

/// Partial sums that do not depend on each other, so that a processor can add to all of them at once.
const LANES: usize = 8;

/// The sums from which norms and means are computed, in float64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    n: usize,
    sum: f64,
    squares: f64,
    max_abs: f32,
}

impl Sums {
    /// The sums of some values.
    pub(super) fn of(values: &[f32]) -> Self {
        let (mut sums, mut squares, mut largest) = ([0.0; LANES], [0.0; LANES], [0f32; LANES]);
        let (whole, rest) = values.as_chunks::<LANES>();
        for values in whole {
            for lane in 0..LANES {
                let value = f64::from(values[lane]);
                sums[lane] += value;
                squares[lane] += value * value;
                largest[lane] = largest[lane].max(values[lane].abs());
            }
        }
        let lanes = (0..LANES).map(|lane| Self {
            n: whole.len(),
            sum: sums[lane],
            squares: squares[lane],
            max_abs: largest[lane],
        });
        lanes.chain(rest.iter().map(|value| Self::one(*value))).fold(Self::default(), Self::and)
    }

    fn one(value: f32) -> Self {
        let wide = f64::from(value);
        Self { n: 1, sum: wide, squares: wide * wide, max_abs: value.abs() }
    }

    /// The sums of both sets of values together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            max_abs: self.max_abs.max(other.max_abs),
        }
    }

    /// Frobenius norm.
    pub(super) fn norm(&self) -> f64 {
        self.squares.sqrt()
    }

    /// Root of the mean square.
    pub(super) fn rms(&self) -> f64 {
        (self.squares / self.n as f64).sqrt()
    }

    /// Arithmetic mean.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Largest absolute value.
    pub(super) fn max_abs(&self) -> f64 {
        f64::from(self.max_abs)
    }
}
