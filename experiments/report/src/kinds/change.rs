//! When a curve changed: the columns of a listing that tell it, and the words of a caption.

use crate::change_point::{ChangePoint, NoChange, change_point};
use crate::listing::ListingColumn;
use crate::results::{CurvePoint, defined};
use crate::words;

/// How the columns that tell when a curve changed are read.
pub const WHEN: &str = "\"change point\" is the first checkpoint after the change of the curve, found by fitting one \
                        mean before and another after it by least squares; its interval is by Hansen (2000). \"no \
                        change point\" says why there is none.";

/// The change point of a curve. There is none if the intervals of the curve hold 0 on both sides of it: what changed
/// cannot be told from no effect.
pub(super) fn change_of(points: &[CurvePoint]) -> Result<ChangePoint, NoChange> {
    let found = change_point(&defined(points))?;
    let (before, after): (Vec<&CurvePoint>, Vec<&CurvePoint>) =
        points.iter().partition(|point| point.step.is_some_and(|step| step < found.step));
    if holds_zero(&before) && holds_zero(&after) { Err(NoChange::HoldsZero) } else { Ok(found) }
}

/// Whether at least half of the intervals of some points hold 0; one of twenty misses its value by chance.
fn holds_zero(points: &[&CurvePoint]) -> bool {
    let bands: Vec<(f64, f64)> = points.iter().filter_map(|point| point.value.and(point.band)).collect();
    let holding = bands.iter().filter(|(low, high)| *low <= 0.0 && 0.0 <= *high).count();
    !bands.is_empty() && 2 * holding >= bands.len()
}

/// The cells of these columns: the step with its interval, the means before and after, and why there is no such step.
pub(super) fn when(points: &[CurvePoint]) -> [String; 4] {
    match change_of(points) {
        Err(why) => [String::new(), String::new(), String::new(), why.to_string()],
        Ok(ChangePoint { step, low, high, before, after }) => {
            let means = format!("{} → {}", words::number(Some(before)), words::number(Some(after)));
            [step.to_string(), format!("{low}–{high}"), means, String::new()]
        }
    }
}

/// The names of these columns.
pub(super) fn when_columns() -> [ListingColumn; 4] {
    let numbers = ["change point", "95 % interval of the change point", "mean before → after"];
    let [step, interval, means] = numbers.map(ListingColumn::number);
    [step, interval, means, ListingColumn::text("no change point")]
}

/// What a caption says of the mark in its figure, or why there is none. `of`: whose change point it is.
pub(super) fn mark_in_words(points: &[CurvePoint], of: &str) -> String {
    match change_of(points) {
        Ok(_) => format!("The vertical mark is the change point of {of} with its 95 % interval."),
        Err(why) => format!("No change point of {of}: {why}."),
    }
}

/// When a curve changed, as the end of a sentence.
pub(super) fn when_in_words(points: &[CurvePoint]) -> String {
    match change_of(points) {
        Err(why) => format!("; no change point: {why}"),
        Ok(ChangePoint { step, low, high, before, after }) => format!(
            "; change point at step {step} ({low}–{high}), mean before → after {} → {}",
            words::number(Some(before)),
            words::number(Some(after))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve that changes at its 20th of 40 checkpoints, with intervals of this half width.
    fn curve(before: f64, after: f64, half: f64) -> Vec<CurvePoint> {
        let point = |index: i64| {
            let value = if index < 20 { before } else { after };
            CurvePoint { step: Some(index), value: Some(value), band: Some((value - half, value + half)) }
        };
        (0..40).map(point).collect()
    }

    #[test]
    fn a_curve_that_cannot_be_told_from_zero_does_not_change() {
        assert_eq!(change_of(&curve(0.01, 0.03, 0.05)), Err(NoChange::HoldsZero));
        assert_eq!(change_of(&curve(0.0, 0.3, 0.05)).map(|found| found.step), Ok(20));
        assert_eq!(change_of(&curve(-0.3, 0.0, 0.05)).map(|found| found.step), Ok(20));
        let without: Vec<CurvePoint> =
            curve(0.0, 0.03, 0.0).into_iter().map(|point| CurvePoint { band: None, ..point }).collect();
        assert_eq!(change_of(&without).map(|found| found.step), Ok(20), "without intervals nothing is known of 0");
    }

    #[test]
    fn a_listing_says_why_there_is_none() {
        assert_eq!(when(&curve(0.01, 0.03, 0.05)), ["", "", "", "the 95 % intervals hold 0"]);
        assert_eq!(when(&curve(0.2, 0.7, 0.1)), ["20", "20–20", "0.200 → 0.700", ""]);
        assert_eq!(when(&curve(0.2, 0.7, 0.1)[..8]), ["", "", "", "only 8 checkpoints have values"]);
        assert_eq!(
            when_in_words(&curve(0.2, 0.7, 0.1)[12..]),
            "; change point at step 20 (20–20), mean before → after 0.200 → 0.700"
        );
        assert_eq!(
            when_in_words(&curve(0.2, 0.7, 0.1)[16..]),
            "; no change point: fewer than 5 checkpoints on one side"
        );
    }

    #[test]
    fn no_two_columns_have_one_name() {
        let names: std::collections::BTreeSet<String> = when_columns().map(|column| column.name).into_iter().collect();
        assert_eq!(names.len(), 4);
    }
}
