//! From tables to figures: a file for each kind of probe, each `figures(table) → blocks of a section`.

use crate::chart::{Event, Point};
use crate::emergence::emergence;
use crate::frame::{CurvePoint, defined};
use crate::listing::Listing;
use crate::page::{Block, Section};
use crate::results::{Kind, Results, ResultsError, Table};
use crate::summary;
use crate::words;

mod across;
mod attention;
mod causal;
mod grid;
mod heads;
mod lens;
mod losses;
mod norms;
mod published;
mod steps;

pub use published::{Published, PublishedError};

/// Models up to which every one has its figures in full; with more, each has the most telling one, and comparisons say the rest.
const IN_FULL: usize = 4;

/// Rows of listings for each model and score.
const TOP: usize = 5;

/// Everything the tables show, a section for each table, then the comparison of models.
///
/// # Errors
/// [`ResultsError`] where a table cannot be read.
pub fn sections(results: &Results, published: Option<&Published>) -> Result<Vec<Section>, ResultsError> {
    let mut sections = Vec::new();
    for table in results.main_tables() {
        let blocks = blocks(table)?;
        if !blocks.is_empty() {
            sections.push(Section { id: words::slug(&table.name), title: title(table), blocks });
        }
    }
    let together = if results.models().len() > 1 { "Across models" } else { "Scores and losses together" };
    sections.extend(section("across", together, across::blocks(results)?));
    if let Some(published) = published {
        sections.extend(section("published", "Published evaluations", published.blocks(&results.models())));
    }
    Ok(sections)
}

fn section(id: &str, title: &str, blocks: Vec<Block>) -> Option<Section> {
    (!blocks.is_empty()).then(|| Section { id: id.into(), title: title.into(), blocks })
}

fn blocks(table: &Table) -> Result<Vec<Block>, ResultsError> {
    let figures = match table.kind() {
        None => return Ok(vec![Block::Text(stranger(table))]),
        Some(Kind::HeadScores) => return heads::blocks(table),
        Some(Kind::InductionLoss) => losses::induction(table)?,
        Some(Kind::TokenLoss) => losses::tokens(table)?,
        Some(Kind::LogitLens) => lens::figures(table)?,
        Some(Kind::AttentionPatterns) => attention::figures(table)?,
        Some(Kind::WeightNorms) => norms::figures(table)?,
        Some(Kind::ActivationPatching | Kind::PathPatching | Kind::CrossCheckpoint) => causal::figures(table)?,
        Some(Kind::Ablation | Kind::Steering | Kind::Interventions) => causal::figures(table)?,
    };
    let listing = summary::of_table(table, TOP)?.map(explained).map(Block::Listing);
    Ok(figures.into_iter().map(Block::Figure).chain(listing).collect())
}

/// What is said of a table whose probe is not known.
fn stranger(table: &Table) -> String {
    let probe = match table.origin.kind.as_str() {
        "" => "its files do not say which probe made them".to_owned(),
        kind => format!("this version has none for the probe `{kind}`"),
    };
    format!("There are no figures of this table: {probe}. `pythia query` reads it all the same.")
}

/// A listing that says how its last columns are read: on a page, nobody has read the end of the summary.
fn explained(mut listing: Listing) -> Listing {
    listing.note = format!("{} {}", listing.note, summary::WHEN).trim_start().to_owned();
    listing
}

/// What a section is called: what its probe measures, and the table where that has a name of its own.
fn title(table: &Table) -> String {
    match table.kind() {
        None => table.name.clone(),
        Some(kind) if table.name == table.origin.kind => kind.title().to_owned(),
        Some(kind) => format!("{}: {}", kind.title(), table.name),
    }
}

/// The points of a curve for a chart; checkpoints without a step have no place along x.
fn points(curve: &[CurvePoint]) -> Vec<Point> {
    let point = |point: &CurvePoint| Some(Point { x: point.step? as f64, y: point.value, band: point.band });
    curve.iter().filter_map(point).collect()
}

/// The change of a curve as an event of a chart.
fn event(curve: &[CurvePoint]) -> Option<Event> {
    let found = emergence(&defined(curve))?;
    Some(Event { at: found.step as f64, interval: (found.low as f64, found.high as f64) })
}

/// Whether there is anything to draw over steps.
fn has_steps<'a>(mut curves: impl Iterator<Item = &'a [CurvePoint]>) -> bool {
    curves.any(|points| points.iter().filter(|point| point.step.is_some()).nth(1).is_some())
}
