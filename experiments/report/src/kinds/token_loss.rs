//! The loss of every token: its mean over training, and its mean at each position.

use super::grid::{ValueGrid, step_name};
use super::{IN_FULL, TOP, TableKind, blocks, means};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::listing::Listing;
use crate::page::{Block, Figure};
use crate::pick::Pick;
use crate::results::{ResultsError, Table};
use crate::words;

pub(super) const KIND: TableKind = TableKind {
    name: "token_loss",
    title: "Loss of every token",
    figures: "losses with intervals; positions × checkpoints",
    section,
    listing: Some(listing),
};

/// Positions up to which a map of losses has a column for each.
const POSITIONS: usize = 1024;

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    Ok(blocks(figures(table)?, Some(listing(table, TOP)?)))
}

/// The mean over prompts and positions.
fn listing(table: &Table, _top: usize) -> Result<Listing, ResultsError> {
    means::listing(table, None, "loss", format!("{}: mean loss of all tokens", table.name), |frame| frame)
}

fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let pick = Pick::new(&["model", "step"], &["loss"], vec![]).mean_per("prompt_id");
    let rows = pick.rows(table)?;
    let words = ["mean", "Mean loss of all tokens", "loss (nats)"];
    let mut figures: Vec<Figure> = means::figure(table, &pick, &rows, "loss", words, vec![0.0])?.into_iter().collect();
    for model in table.models().into_iter().take(IN_FULL) {
        figures.extend(positions(table, model)?);
    }
    Ok(figures)
}

/// Positions × checkpoints.
fn positions(table: &Table, model: &str) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["pos", "step"], &["loss"], vec![]).of(model).mean();
    let rows = pick.rows(table)?;
    let (positions, steps, losses) = (rows.ints("pos")?, rows.ints("step")?, rows.floats("loss")?);
    let grid = ValueGrid::of(positions.iter().zip(&steps).zip(&losses).map(|((pos, step), loss)| (*pos, *step, *loss)));
    if grid.rows.len() < 2 || grid.rows.len() > POSITIONS || grid.columns.len() < 2 {
        return Ok(None);
    }
    let (low, high) = grid.range();
    Ok(Some(Figure {
        id: format!("{}-{}-positions", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: loss by position × checkpoint"),
        caption: "Mean loss (nats) over prompts of the token at each position (rows) at every checkpoint (columns, in \
                  order)."
            .into(),
        alt: format!(
            "Loss of {model} at {} and {}, between {} and \
                      {}.",
            words::plural(grid.rows.len(), "position"),
            words::plural(grid.columns.len(), "checkpoint"),
            words::number(Some(low)),
            words::number(Some(high))
        ),
        chart: Chart::Map(Map {
            scale: ColorScale { label: "loss (nats)".into(), kind: ScaleKind::Sequential, low, high },
            frames: vec!["all checkpoints".into()],
            shown: 0,
            axes: ("position".into(), "step".into()),
            panels: vec![MapPanel {
                title: String::new(),
                rows: grid.rows.iter().map(|position| step_name(*position)).collect(),
                columns: grid.columns.iter().map(|step| step_name(*step)).collect(),
                values: grid.values,
            }],
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}
