//! Losses: where they began, where they ended, when they fell.

use polars::prelude::{Expr, LazyFrame, col, lit};

use super::{numeric, text, when, when_columns};
use crate::frame::{CurvePoint, Curves, Rows, defined};
use crate::listing::{Listing, ListingColumn};
use crate::results::{ResultsError, Table};
use crate::words;

/// Means over prompts of every metric of `induction_loss`.
pub(super) fn induction(table: &Table) -> Result<Listing, ResultsError> {
    let title = format!("{}: losses on repeated random tokens", table.name);
    first_and_last(table, &["metric"], "value", title, |frame| frame)
}

/// The mean over prompts and positions of `token_loss`.
pub(super) fn tokens(table: &Table) -> Result<Listing, ResultsError> {
    first_and_last(table, &[], "loss", format!("{}: mean loss of all tokens", table.name), |frame| frame)
}

/// The mean probability of the prompt's own next token, layer by layer.
pub(super) fn lens(table: &Table) -> Result<Listing, ResultsError> {
    let title = format!("{}: probability of the prompt's next token, layer by layer", table.name);
    first_and_last(table, &["layer"], "target_prob", title, |frame| frame.filter(col("target_prob").is_not_null()))
}

/// The mean of `value` by model, step and `keys`: first, last, lowest, and when it changed.
fn first_and_last(
    table: &Table,
    keys: &[&str],
    value: &str,
    title: String,
    narrow: impl Fn(LazyFrame) -> LazyFrame,
) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let Some(frame) = table.frame_of(model)? else { continue };
        let by: Vec<Expr> = keys.iter().copied().chain(["step"]).map(col).collect();
        let means = narrow(frame).group_by_stable(by).agg([col(value).mean().alias("value")]);
        let means = if keys.is_empty() { means.with_column(lit("").alias("key")) } else { means };
        let keys = if keys.is_empty() { &["key"] } else { keys };
        let curves = Rows::collect(table, means)?.curves(keys, "value", None)?;
        rows.extend(lines(model, keys[0], &curves)?);
    }
    let named = keys.first().map(|key| text(key));
    let numbers = [numeric("first"), numeric("last"), numeric("lowest"), numeric("at step")];
    let columns: Vec<ListingColumn> =
        [text("model")].into_iter().chain(named).chain(numbers).chain(when_columns()).collect();
    if keys.is_empty() {
        for row in &mut rows {
            row.remove(1);
        }
    }
    let note = "Means over prompts.".to_owned();
    Ok(Listing { id: words::slug(&table.name), title, note, columns, rows })
}

fn lines(model: &str, key: &str, curves: &Curves<'_>) -> Result<Vec<Vec<String>>, ResultsError> {
    let names = if key == "layer" {
        curves.keys.ints(key)?.into_iter().map(|layer| layer.map_or(String::new(), |layer| layer.to_string())).collect()
    } else {
        curves.keys.texts(key)?
    };
    Ok(names.into_iter().zip(&curves.points).map(|(name, points)| line(model, name, points)).collect())
}

fn line(model: &str, name: String, points: &[CurvePoint]) -> Vec<String> {
    let values: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
    let lowest = defined(points).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let ends = [values.first(), values.last(), values.iter().min_by(|a, b| a.total_cmp(b))];
    let numbers = ends.map(|value| words::number(value.copied()));
    let at = lowest.map_or(String::new(), |(step, _)| step.to_string());
    [model.to_owned(), name].into_iter().chain(numbers).chain([at]).chain(when(points)).collect()
}
