//! Curves over training steps, as charts draw them.

use std::collections::BTreeSet;

use super::change::change_of;
use crate::chart::{Event, Point};
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, ResultsError, Table};

/// The points of a curve for a chart; checkpoints without a step have no place along x.
pub(crate) fn points(curve: &[CurvePoint]) -> Vec<Point> {
    let point = |point: &CurvePoint| Some(Point { x: point.step? as f64, y: point.value, band: point.band });
    curve.iter().filter_map(point).collect()
}

/// The change point of a curve as a mark in a chart.
pub(super) fn event(curve: &[CurvePoint]) -> Option<Event> {
    let found = change_of(curve).ok()?;
    Some(Event { at: found.step as f64, interval: (found.low as f64, found.high as f64) })
}

/// Whether a curve has two steps, so that there is a line to draw.
pub(crate) fn has_steps<'a>(mut curves: impl Iterator<Item = &'a [CurvePoint]>) -> bool {
    curves.any(|points| points.iter().filter(|point| point.step.is_some()).nth(1).is_some())
}

/// The steps at which a model has rows that meet the filters, at most `most` of them (see [`spread`]).
pub(super) fn steps_of(
    table: &Table,
    model: &str,
    filters: Vec<Filter>,
    most: usize,
) -> Result<Vec<i64>, ResultsError> {
    let steps = Pick::new(&["step"], &[], filters).of(model).rows(table)?.ints("step")?;
    let steps: BTreeSet<i64> = steps.into_iter().flatten().collect();
    Ok(spread(&steps.into_iter().collect::<Vec<_>>(), most))
}

/// The frames of a slider over these steps: one without a step if there are none.
pub(super) fn frames(steps: &[i64]) -> Vec<Option<i64>> {
    if steps.is_empty() { vec![None] } else { steps.iter().copied().map(Some).collect() }
}

/// At most `most` steps of a sorted list for a slider, the first and the last among them. Half of them are evenly
/// spaced in the list and half in the logarithm of the step, so that both the beginning and the long middle of a
/// training are shown.
pub(super) fn spread(steps: &[i64], most: usize) -> Vec<i64> {
    if steps.len() <= most || most < 2 {
        return steps.to_vec();
    }
    let last = steps.len() - 1;
    let half = (most / 2).max(2);
    let even = (0..half).map(|i| last * i / (half - 1));
    let top = ((steps[last].max(0) + 1) as f64).ln();
    let logarithmic = (0..most - half).map(|i| {
        let goal = (top * (i + 1) as f64 / (most - half + 1) as f64).exp() - 1.0;
        (0..=last)
            .min_by(|a, b| (steps[*a] as f64 - goal).abs().total_cmp(&(steps[*b] as f64 - goal).abs()))
            .unwrap_or(last)
    });
    let mut chosen: Vec<usize> = even.chain(logarithmic).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|index| steps[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_and_the_beginning_are_kept() {
        let steps: Vec<i64> =
            [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].into_iter().chain((1..=143).map(|k| k * 1000)).collect();
        let chosen = spread(&steps, 16);
        assert!(chosen.len() <= 16 && chosen.len() >= 12, "{chosen:?}");
        assert_eq!((chosen[0], chosen[chosen.len() - 1]), (0, 143_000));
        assert!(chosen.iter().filter(|step| **step < 1000).count() >= 4, "{chosen:?}");
        assert_eq!(spread(&steps[..5], 16), steps[..5]);
        assert_eq!(spread(&[], 16), [0; 0]);
    }
}
