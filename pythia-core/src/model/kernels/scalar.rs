//! The formulas for one number, written so that loops over them vectorise: no calls, no branches but selects.

/// `e^x` for `x` at most 88; below −87 the result is 0. NaN stays NaN.
///
/// Cephes' reduction to `x = n·ln 2 + r` and its polynomial for `e^r`; relative error about 1e-7.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5·2^23 rounds to the nearest integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x_in = if x < -88.0 { -88.0 } else { x };
    let t = x_in * std::f32::consts::LOG2_E + ROUND;
    let n = t - ROUND;
    let r = x_in - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let e_r = p * r * r + r + 1.0;
    let two_n = f32::from_bits(t.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { e_r * two_n }
}

/// `erfc(z)` for `z ≥ 0`: the Chebyshev fit of Numerical Recipes (Press et al., §6.2), relative error below 1.2e-7
/// before rounding.
#[inline(always)]
fn erfc(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = 0.170_872_77;
    let p = p * t - 0.822_152_23;
    let p = p * t + 1.488_515_9;
    let p = p * t - 1.135_204;
    let p = p * t + 0.278_868_07;
    let p = p * t - 0.186_288_06;
    let p = p * t + 0.096_784_18;
    let p = p * t + 0.374_091_96;
    let p = p * t + 1.000_023_7;
    let p = p * t - 1.265_512_2;
    t * exp(p - z * z)
}

/// The normal distribution function Φ(x).
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let tail = 0.5 * erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// `x · Φ(x)`.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// d/dx of [`gelu`]: `Φ(x) + x·φ(x)`.
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    const ONE_OVER_SQRT_TAU: f32 = 0.398_942_3;
    normal_cdf(x) + x * ONE_OVER_SQRT_TAU * exp(-0.5 * x * x)
}

/// Number of partial results a reduction keeps: fixed, so that sums are the same on every machine.
const LANES: usize = 16;

/// Folds a row into one number, lane by lane.
#[inline(always)]
fn reduce(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32, g: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, x);
        }
    }
    let folded = lanes.into_iter().fold(start, &g);
    rest.iter().fold(folded, |folded, &x| f(folded, x))
}

/// Sum of a row.
#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    reduce(row, 0.0, |a, x| a + x, |a, b| a + b)
}

/// Sum of the squared distances from `mean`.
#[inline(always)]
pub(super) fn sum_of_squares(row: &[f32], mean: f32) -> f32 {
    reduce(row, 0.0, |a, x| a + (x - mean) * (x - mean), |a, b| a + b)
}

/// Largest value of a row; NaN is passed over here and shows in the sum that follows.
#[inline(always)]
pub(super) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, x: f32| if x > a { x } else { a };
    reduce(row, f32::NEG_INFINITY, larger, larger)
}

/// Softmax of a row, in place.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) {
    let max = max(row);
    for v in row.iter_mut() {
        *v = exp(*v - max);
    }
    let sum = sum(row);
    for v in row {
        *v /= sum;
    }
}

/// Inner product of two rows of one length.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for (x, y) in a_rest.iter().zip(b_rest) {
        total += x * y;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_a_few_units_in_the_last_place() {
        for i in 0..20_000 {
            let x = -87.0 + i as f32 * 0.0087;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "{x}: {} {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_cover_every_element() {
        let row: Vec<f32> = (1..=37).map(|i| i as f32).collect();
        assert_eq!(sum(&row), 703.0);
        assert_eq!(max(&row), 37.0);
        assert_eq!(sum_of_squares(&row, 19.0), 4218.0);
        assert_eq!(dot(&row, &row), 17575.0);
    }
}
