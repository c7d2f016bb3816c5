//! Norms of parameters over training.

use std::collections::BTreeMap;

use polars::prelude::col;

use super::change::{when, when_columns};
use super::grid::step_name;
use super::{IN_FULL, TOP, TableKind, blocks};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::listing::{Listing, ListingColumn};
use crate::page::{Block, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, Curves, FrameRows, ResultsError, Table, last};
use crate::words;

pub(super) const KIND: TableKind = TableKind {
    name: "weight_norms",
    title: "Norms of weights",
    figures: "parameters × checkpoints",
    section,
    listing: Some(listing),
};

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    Ok(blocks(figures(table)?, Some(listing(table, TOP)?)))
}

/// Parameters × checkpoints, each row relative to its largest norm.
fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let figures = table.models().into_iter().take(IN_FULL).map(|model| figure(table, model));
    Ok(figures.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn figure(table: &Table, model: &str) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["param", "step"], &["norm"], vec![Filter::Null("head")]).of(model);
    let rows = pick.rows(table)?;
    let Some(panel) = panel(&rows.curves(&["param"], "norm", None)?)? else {
        return Ok(None);
    };
    Ok(Some(Figure {
        id: format!("{}-{}-map", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: norms of parameters × checkpoints"),
        caption: "Frobenius norm of each parameter (rows) at every checkpoint (columns, in order), relative to the \
                  largest of its row."
            .into(),
        alt: format!(
            "Norms of {} of {model} over {}.",
            words::plural(panel.rows.len(), "parameter"),
            words::plural(panel.columns.len(), "checkpoint")
        ),
        chart: Chart::Map(Map {
            scale: ColorScale { label: "norm / its largest".into(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 },
            frames: vec!["all checkpoints".into()],
            shown: 0,
            axes: ("parameter".into(), "step".into()),
            panels: vec![panel],
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// The norms of each parameter as shares of its largest; none with fewer than two checkpoints.
fn panel(curves: &Curves<'_>) -> Result<Option<MapPanel>, ResultsError> {
    let rows = curves.keys.texts("param")?;
    let longest = curves.points.iter().max_by_key(|points| points.len());
    let steps: Vec<Option<i64>> = longest.into_iter().flatten().map(|point| point.step).collect();
    if steps.len() < 2 || rows.is_empty() {
        return Ok(None);
    }
    let shares = |points: &Vec<CurvePoint>| {
        let most = points.iter().filter_map(|point| point.value).fold(0.0_f64, f64::max);
        let by_step: BTreeMap<Option<i64>, Option<f64>> =
            points.iter().map(|point| (point.step, point.value)).collect();
        let share =
            |step: &Option<i64>| by_step.get(step).copied().flatten().filter(|_| most > 0.0).map(|norm| norm / most);
        steps.iter().map(share).collect::<Vec<_>>()
    };
    let values = curves.points.iter().flat_map(shares).collect();
    let columns = steps.iter().map(|step| step_name(*step)).collect();
    Ok(Some(MapPanel { title: String::new(), rows, columns, values }))
}

/// The parameters of every model whose norms changed most, as a ratio.
fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let Some(frame) = table.frame_of(model)? else { continue };
        let whole = frame.filter(col("head").is_null()).select(["step", "param", "norm"].map(col));
        let curves = FrameRows::collect(table, whole)?.curves(&["param"], "norm", None)?;
        let mut grown: Vec<(f64, Vec<String>)> = curves
            .keys
            .texts("param")?
            .into_iter()
            .zip(&curves.points)
            .filter_map(|(param, points)| Some((growth(points)?.abs(), row(model, param, points))))
            .collect();
        grown.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        rows.extend(grown.into_iter().take(top).map(|(_, row)| row));
    }
    let named = ["model", "parameter"].map(ListingColumn::text).into_iter();
    let columns = named.chain(["first", "last", "ratio"].map(ListingColumn::number)).chain(when_columns()).collect();
    let title = format!("{}: the norms that changed most", table.name);
    Ok(Listing { id: words::slug(&table.name), title, note: "Frobenius norms.".into(), columns, rows })
}

/// The natural logarithm of last over first.
fn growth(points: &[CurvePoint]) -> Option<f64> {
    let first = points.iter().find_map(|point| point.value)?;
    Some((last(points)? / first).ln()).filter(|growth| growth.is_finite())
}

fn row(model: &str, param: String, points: &[CurvePoint]) -> Vec<String> {
    let first = points.iter().find_map(|point| point.value);
    let ratio = growth(points).map(f64::exp);
    let numbers = [first, last(points), ratio].map(words::number);
    [model.to_owned(), param].into_iter().chain(numbers).chain(when(points)).collect()
}
