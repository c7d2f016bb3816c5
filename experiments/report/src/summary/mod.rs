//! The summary of a folder: the few numbers that one asks for first, table by table, then the state of its checkpoints.
//!
//! ```no_run
//! use pythia_report::{results::Results, summary::summary};
//!
//! for listing in summary(&Results::open("out/demo".as_ref())?, 5)? {
//!     println!("{}", listing.terminal());
//! }
//! # Ok::<(), pythia_report::results::ResultsError>(())
//! ```

use crate::kinds::main_tables;
use crate::listing::Listing;
use crate::results::{Results, ResultsError};
use crate::words;

mod integrity;

pub use crate::kinds::WHEN;
pub(crate) use integrity::{bad_checkpoints, checkpoints, damaged, missing};

/// The summary of a folder: listings in the order in which they are read.
///
/// `top` is the number of rows for each model and score, setting or metric.
///
/// # Errors
/// [`ResultsError`] if a table cannot be read.
pub fn summary(results: &Results, top: usize) -> Result<Vec<Listing>, ResultsError> {
    let mut listings = Vec::new();
    for (table, kind) in main_tables(results) {
        if let Some(kind) = kind {
            listings.extend(kind.listing(table, top)?);
        }
    }
    listings.extend(checkpoints(results)?);
    listings.extend(bad_checkpoints(results)?);
    listings.extend(missing(results)?);
    listings.extend(damaged(results));
    let mut distinct = words::Distinct::default();
    for listing in &mut listings {
        listing.id = distinct.word(&listing.id);
    }
    Ok(listings)
}
