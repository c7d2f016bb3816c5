//! From tables to figures: a file for each kind of probe, each `figures(table) → blocks of a section`.

use crate::chart::{Event, Point};
use crate::emergence::emergence;
use crate::frame::{CurvePoint, Rows, defined};
use crate::listing::Listing;
use crate::page::{Block, Section};
use crate::results::{Results, ResultsError, Table};
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
    for table in in_order(results) {
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

/// Main tables: scores of heads first, then losses, then what was done to the model, then the rest.
fn in_order(results: &Results) -> Vec<&Table> {
    const ORDER: [&str; 6] =
        ["head_scores", "induction_loss", "token_loss", "attention_patterns", "logit_lens", "activation_patching"];
    let mut tables: Vec<&Table> = results.tables.values().filter(|table| table.origin.table.is_empty()).collect();
    let rank = |table: &Table| ORDER.iter().position(|kind| *kind == table.origin.kind).unwrap_or(ORDER.len());
    tables.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
    tables
}

fn blocks(table: &Table) -> Result<Vec<Block>, ResultsError> {
    if table.origin.kind == "head_scores" {
        return heads::blocks(table);
    }
    let listing = summary::of_table(table, TOP)?.map(explained).map(Block::Listing);
    let figures = match table.origin.kind.as_str() {
        "induction_loss" => losses::induction(table)?,
        "token_loss" => losses::tokens(table)?,
        "logit_lens" => lens::figures(table)?,
        "attention_patterns" => attention::figures(table)?,
        "weight_norms" => norms::figures(table)?,
        "activation_patching" | "path_patching" | "cross_checkpoint" | "ablation" | "steering" | "interventions" => {
            causal::figures(table)?
        }
        _ => Vec::new(),
    };
    Ok(figures.into_iter().map(Block::Figure).chain(listing).collect())
}

/// A listing that says how its last columns are read: on a page, nobody has read the end of the summary.
fn explained(mut listing: Listing) -> Listing {
    listing.note = format!("{} {}", listing.note, summary::WHEN).trim_start().to_owned();
    listing
}

/// What a section is called: the table, and what its probe measures.
fn title(table: &Table) -> String {
    let what = match table.origin.kind.as_str() {
        "head_scores" => "What heads attend to",
        "induction_loss" => "Loss on repeated random tokens",
        "token_loss" => "Loss of every token",
        "logit_lens" => "Logit lens",
        "attention_patterns" => "Attention patterns",
        "weight_norms" => "Norms of weights",
        "activation_patching" => "Activation patching",
        "path_patching" => "Path patching",
        "cross_checkpoint" => "Patching between checkpoints",
        "ablation" => "Ablation",
        "steering" => "Steering",
        "interventions" => "Interventions",
        _ => return table.name.clone(),
    };
    if table.name == table.origin.kind { what.to_owned() } else { format!("{what}: {}", table.name) }
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

/// The rows as CSV.
fn csv(rows: &Rows<'_>) -> Result<String, ResultsError> {
    rows.csv()
}
