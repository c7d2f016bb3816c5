//! What the report knows of the tables of each probe: one file and one row of [`TABLE_KINDS`] per probe.
//!
//! A probe's file holds a constant of type [`TableKind`]: the name of the probe, a heading, the section of the report
//! with its figures, and the listing of the summary. Only `compared` and `figures/across.rs` name a probe besides. To
//! add one, write its file here, add its `mod` line and its row.
//!
//! ```
//! use pythia_report::kinds::TableKind;
//!
//! assert_eq!(TableKind::of("logit_lens").map(|kind| kind.title), Some("Logit lens"));
//! ```

use crate::listing::Listing;
use crate::page::{Block, Figure};
use crate::results::{Results, ResultsError, Table};

mod ablation;
mod activation_patching;
mod attention_patterns;
mod cross_checkpoint;
mod head_scores;
mod induction_loss;
mod interventions;
mod logit_lens;
mod path_patching;
mod steering;
mod token_loss;
mod weight_norms;

mod change;
mod effects;
mod grid;
mod means;
mod over_steps;

pub use change::WHEN;
pub(crate) use head_scores::{definitions, title_of};
pub(crate) use means::{Z95, means};
pub(crate) use over_steps::{has_steps, points};

/// Every kind of table that has a summary and figures, in the order of the report: what heads do, losses, single
/// prompts, what was done to the model, weights.
pub static TABLE_KINDS: &[TableKind] = &[
    head_scores::KIND,
    induction_loss::KIND,
    token_loss::KIND,
    attention_patterns::KIND,
    logit_lens::KIND,
    activation_patching::KIND,
    path_patching::KIND,
    ablation::KIND,
    steering::KIND,
    interventions::KIND,
    cross_checkpoint::KIND,
    weight_norms::KIND,
];

/// Up to this number of models, each has all its figures. With more, each has its most important ones.
const IN_FULL: usize = 4;

/// Rows of a listing in the report, for each model and score, setting or metric.
const TOP: usize = 5;

/// Makes the section of a table.
type SectionOf = fn(&Table) -> Result<Vec<Block>, ResultsError>;
/// Makes the listing of a table, with at most so many rows for each model and score, setting or metric.
type ListingOf = fn(&Table, usize) -> Result<Listing, ResultsError>;

/// What is made of the main tables of one probe.
#[derive(Debug)]
pub struct TableKind {
    /// The probe's name, as the metadata of its tables has it.
    pub name: &'static str,
    /// What its tables are about, as a heading.
    pub title: &'static str,
    /// What its figures show, for the table of docs/report.md.
    pub figures: &'static str,
    /// Its section of the report.
    section: SectionOf,
    /// Its listing in the summary; none if a table has no short summary.
    listing: Option<ListingOf>,
}

impl TableKind {
    /// The kind of a probe's tables; none for a probe that this version does not know.
    pub fn of(probe: &str) -> Option<&'static Self> {
        TABLE_KINDS.iter().find(|kind| kind.name == probe)
    }

    /// Its section of the report.
    pub(crate) fn section(&self, table: &Table) -> Result<Vec<Block>, ResultsError> {
        (self.section)(table)
    }

    /// What the summary says of a table, with at most `top` rows for each model and score, setting or metric.
    pub(crate) fn listing(&self, table: &Table, top: usize) -> Result<Option<Listing>, ResultsError> {
        self.listing.map(|listing| listing(table, top)).transpose()
    }

    /// Whether its tables have a short summary.
    pub(crate) fn has_listing(&self) -> bool {
        self.listing.is_some()
    }
}

/// The main tables of a folder, each with its kind, in the order of the report; those of unknown probes last.
pub(crate) fn main_tables(results: &Results) -> Vec<(&Table, Option<&'static TableKind>)> {
    let rank = |table: &Table| TABLE_KINDS.iter().position(|kind| kind.name == table.origin.kind);
    let mut tables = results.main_tables();
    tables.sort_by_key(|table| (rank(table).unwrap_or(TABLE_KINDS.len()), &table.name));
    tables.into_iter().map(|table| (table, TableKind::of(&table.origin.kind))).collect()
}

/// The first main table of head scores, and the first of induction losses: those that models are compared by.
pub(crate) fn compared(results: &Results) -> [Option<&Table>; 2] {
    let tables = main_tables(results);
    [head_scores::KIND.name, induction_loss::KIND.name]
        .map(|name| tables.iter().find(|(table, _)| table.origin.kind == name).map(|(table, _)| *table))
}

/// Figures, and after them the listing with a note on its columns, which the summary in a terminal prints only once.
fn blocks(figures: Vec<Figure>, listing: Option<Listing>) -> Vec<Block> {
    let explained = listing.map(|mut listing| {
        listing.note = format!("{} {WHEN}", listing.note).trim_start().to_owned();
        Block::Listing(listing)
    });
    figures.into_iter().map(Block::Figure).chain(explained).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::declared;

    #[test]
    fn every_kind_declares_columns_and_is_found_by_its_name() {
        for kind in TABLE_KINDS {
            assert!(!declared(kind.name, "").is_empty(), "columns.json has no table of {}", kind.name);
            assert_eq!(TableKind::of(kind.name).map(|found| found.title), Some(kind.title));
        }
        assert!(TableKind::of("").is_none());
    }
}
