//! The few numbers that a researcher asks first, probe by probe.

use crate::emergence::{Emergence, emergence};
use crate::frame::{CurvePoint, defined};
use crate::listing::{Listing, ListingColumn};
use crate::results::{Kind, Results, ResultsError, Table};
use crate::words;

mod effects;
mod heads;
mod integrity;
mod losses;
mod weights;

pub use effects::{
    Place, PlaceCurve, SETTING, UNSURE, at_end, bounds_of, control_range, is_sure, keys, places, value_of,
};
pub use heads::{HeadCurve, Scored, definition, listing_of, scored};
pub use integrity::{bad_checkpoints, checkpoints, missing};

/// The summary of a folder: listings in the order in which they are read.
///
/// `top` is the number of rows for each model and score, set or metric.
///
/// # Errors
/// [`ResultsError`] where a table cannot be read.
pub fn summary(results: &Results, top: usize) -> Result<Vec<Listing>, ResultsError> {
    let mut listings = Vec::new();
    for table in results.main_tables() {
        listings.extend(of_table(table, top)?);
    }
    listings.extend(checkpoints(results)?);
    listings.extend(bad_checkpoints(results)?);
    listings.extend(missing(results)?);
    let mut distinct = words::Distinct::default();
    for listing in &mut listings {
        listing.id = distinct.word(&listing.id);
    }
    Ok(listings)
}

/// What the summary says of one table; nothing of a kind that has no short answer.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn of_table(table: &Table, top: usize) -> Result<Option<Listing>, ResultsError> {
    let Some(kind) = table.kind() else {
        return Ok(None);
    };
    match kind {
        Kind::HeadScores => heads::listing(table, top).map(Some),
        Kind::InductionLoss => losses::induction(table).map(Some),
        Kind::TokenLoss => losses::tokens(table).map(Some),
        Kind::LogitLens => losses::lens(table).map(Some),
        Kind::WeightNorms => weights::listing(table, top).map(Some),
        Kind::ActivationPatching | Kind::PathPatching | Kind::CrossCheckpoint => effects::listing(table, top).map(Some),
        Kind::Ablation | Kind::Steering | Kind::Interventions => effects::listing(table, top).map(Some),
        // Whole patterns have no short answer; what heads attend to is the business of their scores.
        Kind::AttentionPatterns => Ok(None),
    }
}

/// A column of text.
fn text(name: &str) -> ListingColumn {
    ListingColumn { name: name.into(), numeric: false }
}

/// A column of numbers.
fn numeric(name: &str) -> ListingColumn {
    ListingColumn { name: name.into(), numeric: true }
}

/// The cells that tell when a curve changed: step, interval, level before and after. Empty where it did not.
fn when(points: &[CurvePoint]) -> [String; 3] {
    match emergence(&defined(points)) {
        None => Default::default(),
        Some(Emergence { step, low, high, before, after }) => {
            let levels = format!("{} → {}", words::number(Some(before)), words::number(Some(after)));
            [step.to_string(), format!("{low}–{high}"), levels]
        }
    }
}

/// The names of the columns of [`when`].
fn when_columns() -> [ListingColumn; 3] {
    [numeric("changes at"), numeric("95 % interval"), numeric("level")]
}

/// How the columns of [`when`] are read; said once for all listings.
pub const WHEN: &str = "\"changes at\" is the change point of the curve over checkpoints (two means, least squares), with its interval \
                    by Hansen (2000); \"level\" has the means before and after.";
