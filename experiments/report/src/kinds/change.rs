//! The columns of a listing that tell when a curve changed.

use crate::change_point::{ChangePoint, change_point};
use crate::listing::ListingColumn;
use crate::results::{CurvePoint, defined};
use crate::words;

/// How the columns that tell when a curve changed are read.
pub const WHEN: &str = "\"change point\" is the first checkpoint after the change of the curve, found by fitting one \
                        mean before and another after it by least squares; its interval is by Hansen (2000). Empty \
                        where the curve does not change.";

/// The cells of these columns: the step with its interval, and the means before and after. Empty where the curve does
/// not change.
pub(super) fn when(points: &[CurvePoint]) -> [String; 3] {
    match change_point(&defined(points)) {
        None => Default::default(),
        Some(ChangePoint { step, low, high, before, after }) => {
            let means = format!("{} → {}", words::number(Some(before)), words::number(Some(after)));
            [step.to_string(), format!("{low}–{high}"), means]
        }
    }
}

/// The names of these columns.
pub(super) fn when_columns() -> [ListingColumn; 3] {
    ["change point", "95 % interval", "mean before → after"].map(ListingColumn::number)
}
