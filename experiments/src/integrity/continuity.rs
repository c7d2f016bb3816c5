//! Breaks in the curve of a norm over steps: training changes it slowly, so a jump shows weights of another step.

use pythia_core::suite::Step;

/// A smaller departure is never called a break.
const LEAST: f64 = 0.01;
/// A break departs this many robust standard deviations from what the curve's other points do.
const SIGMAS: f64 = 8.0;
/// A median absolute deviation times this is the standard deviation of normal noise.
const MAD_TO_SIGMA: f64 = 1.4826;
/// A step whose norm does not fit its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Break {
    pub(crate) step: Step,
    pub(crate) found: f64,
    /// The norm expected from its neighbours.
    pub(crate) expected: f64,
}

/// The breaks of a curve of norms, ascending in steps.
///
/// A point is compared with the straight line between its neighbours, over the logarithm of the step (plus one). The
/// one that departs most is a break where it departs by more than 1 % and by more than eight robust standard deviations
/// of all departures; it is taken out and the rest is looked at again, so that a wrong point does not make its
/// neighbours look wrong. The first and the last point have one neighbour each and are not compared.
pub(crate) fn breaks(norms: &[(Step, f64)]) -> Vec<Break> {
    let mut left = norms.to_vec();
    let all: Vec<f64> = (0..left.len()).filter_map(|at| departure(&left, at)).map(|(_, departure)| departure).collect();
    let limit = LEAST.max(SIGMAS * MAD_TO_SIGMA * median(all).unwrap_or(0.0));
    let mut breaks = Vec::new();
    while let Some((at, expected)) = worst(&left, limit) {
        let (step, found) = left.remove(at);
        breaks.push(Break { step, found, expected });
    }
    breaks.sort_by_key(|found| found.step);
    breaks
}

/// The point that departs most, with what its neighbours say, where that is more than `limit`.
fn worst(norms: &[(Step, f64)], limit: f64) -> Option<(usize, f64)> {
    let departures = (0..norms.len()).filter_map(|at| departure(norms, at).map(|found| (at, found)));
    let (at, (expected, departure)) = departures.max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    (departure > limit).then_some((at, expected))
}

/// The value expected from the neighbours of a point, and the relative difference from it.
fn departure(norms: &[(Step, f64)], at: usize) -> Option<(f64, f64)> {
    let (&(before, low), &(after, high)) = (norms.get(at.checked_sub(1)?)?, norms.get(at + 1)?);
    let x = |step: Step| f64::from(step.label()).ln_1p();
    let (step, found) = norms[at];
    let expected = low + (high - low) * (x(step) - x(before)) / (x(after) - x(before));
    Some((expected, (found / expected - 1.0).abs()))
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(0.5 * (values[middle - 1] + values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A norm that grows as embeddings do: flat at first, then like a saturating curve.
    fn curve(step: u32) -> f64 {
        100.0 + 60.0 * (1.0 - (-f64::from(step) / 40_000.0).exp())
    }

    fn grid() -> Vec<u32> {
        let early = (0..10).map(|power| 1 << power);
        std::iter::once(0).chain(early).chain((1..=143).map(|thousand| thousand * 1000)).collect()
    }

    fn breaks_at(wrong: &[u32]) -> Vec<u32> {
        let norm = |label| curve(if wrong.contains(&label) { 143_000 } else { label });
        let norms: Vec<(Step, f64)> = grid().into_iter().map(|label| (Step::from_label(label), norm(label))).collect();
        breaks(&norms).into_iter().map(|found| found.step.label()).collect()
    }

    #[test]
    fn a_smooth_curve_has_no_breaks() {
        assert!(breaks_at(&[]).is_empty());
        assert!(breaks(&[]).is_empty());
        let step = Step::from_label;
        assert!(breaks(&[(step(0), 1.0), (step(1), 5.0)]).is_empty(), "ends are not compared");
    }

    #[test]
    fn final_weights_in_the_middle_of_training_are_found() {
        // The pattern of pythia-12b: the first shard of two branches is the final one.
        assert_eq!(breaks_at(&[50_000, 58_000]), [50_000, 58_000]);
        assert_eq!(breaks_at(&[512]), [512]);
        assert_eq!(breaks_at(&[20_000]), [20_000]);
    }

    #[test]
    fn the_median_of_two_is_their_mean() {
        assert_eq!((median(vec![3.0, 1.0]), median(vec![2.0, 9.0, 1.0]), median(vec![])), (Some(2.0), Some(2.0), None));
    }
}
