//! Norms of parameters: which of them grew most.

use polars::prelude::col;

use super::{numeric, text, when, when_columns};
use crate::frame::{CurvePoint, Rows, last};
use crate::listing::Listing;
use crate::results::{ResultsError, Table};
use crate::words;

/// The parameters of every model whose norms changed most, as a ratio.
pub(super) fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let Some(frame) = table.frame_of(model)? else { continue };
        let whole = frame.filter(col("head").is_null()).select(["step", "param", "norm"].map(col));
        let curves = Rows::collect(table, whole)?.curves(&["param"], "norm", None)?;
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
    let numbers = [numeric("first"), numeric("last"), numeric("ratio")];
    let columns = [text("model"), text("parameter")].into_iter().chain(numbers).chain(when_columns()).collect();
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
