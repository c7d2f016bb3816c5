//! Rows with two indices and a value, as a grid.

use std::collections::{BTreeMap, BTreeSet};

/// Values by two sorted indices; a missing index comes first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValueGrid {
    pub rows: Vec<Option<i64>>,
    pub columns: Vec<Option<i64>>,
    /// Row after row.
    pub values: Vec<Option<f64>>,
}

impl ValueGrid {
    /// From `(row, column, value)` in any order; of two values at the same indices the later is kept.
    pub(crate) fn of(cells: impl Iterator<Item = (Option<i64>, Option<i64>, Option<f64>)>) -> Self {
        let cells: BTreeMap<(Option<i64>, Option<i64>), Option<f64>> =
            cells.map(|(row, column, value)| ((row, column), value)).collect();
        let sorted = |numbers: BTreeSet<Option<i64>>| numbers.into_iter().collect::<Vec<_>>();
        let rows = sorted(cells.keys().map(|(row, _)| *row).collect());
        let columns = sorted(cells.keys().map(|(_, column)| *column).collect());
        let all = rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)));
        let values = all.map(|key| cells.get(&key).copied().flatten()).collect();
        Self { rows, columns, values }
    }

    /// The smallest and the largest value, widened if they are equal.
    pub(crate) fn range(&self) -> (f64, f64) {
        let defined = || self.values.iter().copied().flatten();
        let (low, high) = (defined().fold(f64::INFINITY, f64::min), defined().fold(f64::NEG_INFINITY, f64::max));
        match () {
            () if !low.is_finite() => (0.0, 1.0),
            () if low < high => (low, high),
            () => (low.min(0.0), high.max(low.min(0.0) + 1.0)),
        }
    }
}

/// The name of a step beside a grid, or of another index.
pub(super) fn step_name(step: Option<i64>) -> String {
    step.map_or("model".into(), |step| step.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_find_their_places_and_holes_stay_empty() {
        let cells = [(Some(1), Some(512), Some(0.5)), (Some(0), Some(0), Some(0.25)), (Some(1), Some(0), None)];
        let grid = ValueGrid::of(cells.into_iter());
        assert_eq!(
            (grid.rows.as_slice(), grid.columns.as_slice()),
            ([Some(0), Some(1)].as_slice(), [Some(0), Some(512)].as_slice())
        );
        assert_eq!(grid.values, [Some(0.25), None, None, Some(0.5)]);
        assert_eq!(grid.range(), (0.25, 0.5));
        let nothing = ValueGrid::of(std::iter::empty());
        assert_eq!((nothing.values.len(), nothing.range()), (0, (0.0, 1.0)));
    }
}
