//! When a curve changes: the change point of a score over checkpoints, with its interval.
//!
//! The model is one mean before the change, another after it, and independent normal noise (Hinkley 1970, *Inference
//! about the change-point in a sequence of random variables*). The estimate is the place of least squares. The interval
//! holds every place `k` whose likelihood ratio `n·(SSE(k) − SSE(best))/SSE(best)` is at most 7.35. A place is not a
//! regular parameter: the ratio is distributed as `P(ξ ≤ x) = (1 − exp(−x/2))²` (Hansen 2000, *Sample splitting and
//! threshold estimation*), and 7.35 is the 95 % point of this distribution. There is no change if two means are no
//! better than one by the Bayesian information criterion (two more parameters, the second mean and the place), or if
//! they differ by less than a thousandth of the curve's largest value. A place with fewer than five checkpoints on a
//! side is not reported: its mean would be that of the first or the last checkpoints of a training.
//!
//! Checkpoints count equally, however many steps are between them. On a curve that rises over several checkpoints the
//! estimate is about half-way up. The noise of neighbouring checkpoints of a training is correlated. Then small changes
//! are found too often and intervals are too short; the means before and after say how large a change is.

use std::fmt;

/// The 95 % point of Hansen's distribution, −2·ln(1 − √0.95).
const HANSEN_95: f64 = 7.352_274_9;

/// Means that differ by less, relative to the curve's largest value, are the same.
const LEAST_SHIFT: f64 = 1e-3;

/// The fewest checkpoints on each side of a change: a mean of fewer is that of a few outliers, such as the first
/// checkpoints of a training.
pub(crate) const LEAST: usize = 5;

/// A change of a curve's mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChangePoint {
    /// The first step after the change.
    pub step: i64,
    /// The first step of the interval.
    pub low: i64,
    /// The last step of the interval.
    pub high: i64,
    /// Mean value before the change.
    pub before: f64,
    /// Mean value from the change on.
    pub after: f64,
}

/// Why a curve has no change point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoChange {
    /// Fewer checkpoints with a value than two sides need.
    Few(usize),
    /// One mean is as good as two.
    Flat,
    /// The best place is so near to an end that fewer than [`LEAST`] checkpoints are on that side.
    Edge,
    /// Its intervals hold 0 on both sides of the change.
    HoldsZero,
}

impl fmt::Display for NoChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Few(1) => f.write_str("only 1 checkpoint has a value"),
            Self::Few(found) => write!(f, "only {found} checkpoints have values"),
            Self::Flat => f.write_str("one mean fits as well as two"),
            Self::Edge => write!(f, "fewer than {LEAST} checkpoints on one side"),
            Self::HoldsZero => f.write_str("the 95 % intervals hold 0"),
        }
    }
}

/// The change point of `(step, value)` in the order of steps. Values that are not finite are left out.
pub(crate) fn change_point(points: &[(i64, f64)]) -> Result<ChangePoint, NoChange> {
    let points: Vec<(i64, f64)> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let n = points.len();
    if n < 2 * LEAST {
        return Err(NoChange::Few(n));
    }
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let errors = squared_errors(&values);
    let (best, least) = (1..n).map(|k| (k, errors[k])).min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(NoChange::Flat)?;
    // A sum of squares below the rounding of its own terms counts as 0, so a flat line has no change and a clean step
    // has one place.
    let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let rounding = n as f64 * (n as f64 * f64::EPSILON * largest).powi(2);
    let excess = |error: f64| n as f64 * (error.max(rounding) / least.max(rounding)).ln();
    if least.max(rounding) >= errors[0].max(rounding) || excess(errors[0]) <= 2.0 * (n as f64).ln() {
        return Err(NoChange::Flat);
    }
    if best.min(n - best) < LEAST {
        return Err(NoChange::Edge);
    }
    let ratio = |error: f64| n as f64 * (error.max(rounding) / least.max(rounding) - 1.0);
    let inside = |k: &usize| ratio(errors[*k]) <= HANSEN_95;
    // The best place is inside, so both are there.
    let (low, high) = ((1..n).find(inside).unwrap_or(best), (1..n).rfind(inside).unwrap_or(best));
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (before, after) = (mean(&values[..best]), mean(&values[best..]));
    if (after - before).abs() < LEAST_SHIFT * largest {
        return Err(NoChange::Flat);
    }
    Ok(ChangePoint { step: points[best].0, low: points[low].0, high: points[high].0, before, after })
}

/// For each k the sum of squared distances to the means of the first k values and of the others; at 0 that to the mean
/// of all.
fn squared_errors(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    // Counted from the mean of all, so that large levels do not drown small differences.
    let mean = values.iter().sum::<f64>() / n as f64;
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let mut sum = 0.0;
    (0..n)
        .map(|k| {
            if k > 0 {
                sum += values[k - 1] - mean;
            }
            // What two means explain: n/(k(n−k)) · (sum of the first k)².
            let explained = if k == 0 { 0.0 } else { sum * sum * n as f64 / (k as f64 * (n - k) as f64) };
            (total - explained).max(0.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Vec<(i64, f64)> {
        values.into_iter().enumerate().map(|(index, value)| (index as i64 * 10, value)).collect()
    }

    #[test]
    fn a_planted_step_is_found_exactly() {
        let found = change_point(&curve((0..50).map(|i| if i < 20 { 0.05 } else { 0.9 }))).expect("a step");
        assert_eq!((found.step, found.low, found.high), (200, 200, 200));
        assert!((found.before - 0.05).abs() < 1e-12 && (found.after - 0.9).abs() < 1e-12, "{found:?}");
    }

    /// Independent normal noise: Box and Muller on a small congruential generator.
    fn normal(state: &mut u64) -> f64 {
        let mut uniform = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((*state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        let (radius, angle) = (uniform(), uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    #[test]
    fn the_interval_holds_the_planted_step_as_often_as_it_says() {
        // A shift of one and a half standard deviations at checkpoint 60 of 154, the suite's number.
        let (mut state, mut held, draws) = (7, 0, 1000);
        for _ in 0..draws {
            let values: Vec<f64> = (0..154).map(|i| normal(&mut state) + if i < 60 { 0.0 } else { 1.5 }).collect();
            let found = change_point(&curve(values)).expect("so large a step is never missed");
            held += usize::from(found.low <= 600 && 600 <= found.high);
        }
        assert!((940..=999).contains(&held), "{held} of {draws}");
    }

    #[test]
    fn noise_alone_rarely_has_a_change() {
        let (mut state, draws) = (11, 1000);
        let found = (0..draws).filter(|_| change_point(&curve((0..154).map(|_| normal(&mut state)))).is_ok()).count();
        assert!(found < draws / 10, "{found} of {draws}");
    }

    #[test]
    fn a_change_in_the_last_digits_is_none() {
        assert_eq!(change_point(&curve((0..40).map(|i| if i < 20 { 0.9999 } else { 1.0 }))), Err(NoChange::Flat));
        assert!(change_point(&curve((0..40).map(|i| if i < 20 { 0.99 } else { 1.0 }))).is_ok());
    }

    #[test]
    fn a_slow_rise_is_placed_half_way_up() {
        let rise = |i: i32| (f64::from(i - 20) / 20.0).clamp(0.0, 1.0);
        let found = change_point(&curve((0..60).map(rise))).expect("a rise");
        assert!((280..=320).contains(&found.step), "{found:?}");
        assert!(found.low < found.step && found.step < found.high, "{found:?}");
    }

    #[test]
    fn where_nothing_changes_nothing_is_said() {
        assert_eq!(change_point(&curve([0.3; 40])), Err(NoChange::Flat));
        assert_eq!(change_point(&curve((0..40).map(|i| if i % 2 == 0 { 0.1 } else { 0.2 }))), Err(NoChange::Flat));
        assert_eq!(change_point(&curve([0.0, 0.0, 1.0, 1.0])), Err(NoChange::Few(4)));
        assert_eq!(change_point(&[]), Err(NoChange::Few(0)));
        assert_eq!(change_point(&curve([f64::NAN; 20])), Err(NoChange::Few(0)));
    }

    #[test]
    fn a_side_has_five_checkpoints_at_least() {
        let step = |at: i32, n: i32| change_point(&curve((0..n).map(|i| if i < at { 0.0 } else { 1.0 })));
        for (at, n) in [(4, 40), (36, 40), (1, 154), (153, 154)] {
            assert_eq!(step(at, n), Err(NoChange::Edge), "{at} of {n}");
        }
        assert_eq!([step(5, 40), step(35, 40)].map(|found| found.expect("a step").step), [50, 350]);
        assert_eq!(step(4, 9), Err(NoChange::Few(9)));
        assert_eq!(step(5, 10).expect("a step").step, 50);
    }

    #[test]
    fn undefined_values_are_left_out() {
        let values = (0..40).map(|i| {
            if i % 5 == 0 {
                f64::NAN
            } else if i < 23 {
                0.0
            } else {
                1.0
            }
        });
        assert_eq!(change_point(&curve(values)).expect("a step").step, 230);
    }

    #[test]
    fn a_fall_is_a_change_too() {
        let found = change_point(&curve((0..40).map(|i| if i < 10 { 5.0 } else { 2.0 }))).expect("a fall");
        assert_eq!((found.step, found.before, found.after), (100, 5.0, 2.0));
    }

    proptest! {
        /// The sums by prefixes are those of the definition.
        #[test]
        fn squared_errors_are_those_of_the_definition(values in prop::collection::vec(-100.0..100.0_f64, 2..40)) {
            let direct = |part: &[f64]| {
                let mean = part.iter().sum::<f64>() / part.len() as f64;
                part.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
            };
            let errors = squared_errors(&values);
            prop_assert!((errors[0] - direct(&values)).abs() < 1e-6);
            for k in 1..values.len() {
                prop_assert!((errors[k] - direct(&values[..k]) - direct(&values[k..])).abs() < 1e-6);
            }
        }

        /// Neither the unit of the values nor their level matters to where the change is.
        #[test]
        fn the_place_does_not_depend_on_the_unit(
            at in 5_usize..36, scale in 0.001..1000.0_f64, level in -10.0..10.0_f64,
        ) {
            let values = (0..40).map(|i| level + scale * if i < at { 0.0 } else { 1.0 });
            prop_assert_eq!(change_point(&curve(values)).expect("a step").step, at as i64 * 10);
        }
    }
}
