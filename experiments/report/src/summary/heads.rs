//! Scores of attention heads: which heads are highest, and when they got there.

use polars::prelude::{Expr, col, lit};

use super::{numeric, text, when, when_columns};
use crate::frame::{CurvePoint, Rows, last, peak};
use crate::listing::Listing;
use crate::results::{ResultsError, Table};
use crate::words;

/// Of several definitions that share a score's name, the first of these that a table holds stands for the score.
const PREFERRED: [&str; 5] = ["strict", "mask_mean", "arena_stripe", "tl_stripe", "prefix_mean"];

/// The curve of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadCurve {
    /// Its layer, from 0.
    pub layer: i64,
    /// Its number in the layer, from 0.
    pub head: i64,
    /// Its score over checkpoints.
    pub points: Vec<CurvePoint>,
    /// The same formula under uniform attention at the last checkpoint.
    pub null: Option<f64>,
}

impl HeadCurve {
    /// As the field writes it: `L5H1`.
    pub fn name(&self) -> String {
        words::head(self.layer, self.head)
    }
}

/// The scores of a table, each with the definition that stands for it, in alphabetical order, induction first.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn definition(table: &Table) -> Result<Vec<(String, String)>, ResultsError> {
    // Every part of a table has the same scores, so the first part of the first model says them all.
    let first = table.parts.values().next().and_then(|parts| parts.first());
    let one =
        Table { parts: first.map(|part| (String::new(), vec![part.clone()])).into_iter().collect(), ..table.clone() };
    let pairs =
        one.frame()?.select([col("score"), col("definition")]).unique(None, polars::prelude::UniqueKeepStrategy::Any);
    let rows = Rows::collect(&one, pairs).map(|rows| (rows.texts("score"), rows.texts("definition")))?;
    let mut pairs: Vec<(String, String)> = rows.0?.into_iter().zip(rows.1?).collect();
    let rank = |definition: &str| PREFERRED.iter().position(|name| *name == definition).unwrap_or(PREFERRED.len());
    pairs
        .sort_by_key(|(score, definition)| (score != "induction", score.clone(), rank(definition), definition.clone()));
    pairs.dedup_by(|b, a| a.0 == b.0);
    Ok(pairs)
}

/// The curves of a model's heads under one score, the highest peak first.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn head_curves(table: &Table, model: &str, score: &str, definition: &str) -> Result<Vec<HeadCurve>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(Vec::new());
    };
    let columns: Vec<Expr> = ["step", "layer", "head", "value", "null"].map(col).to_vec();
    let chosen = frame.filter(col("score").eq(lit(score)).and(col("definition").eq(lit(definition)))).select(columns);
    let rows = Rows::collect(table, chosen)?;
    let curves = rows.curves(&["layer", "head"], "value", None)?;
    let nulls = rows.curves(&["layer", "head"], "null", None)?;
    let (layers, heads) = (curves.keys.ints("layer")?, curves.keys.ints("head")?);
    let nulls = nulls.points.iter().map(|points| last(points));
    let curve = |(((points, layer), head), null): (((Vec<CurvePoint>, _), _), _)| -> Option<HeadCurve> {
        Some(HeadCurve { layer: layer?, head: head?, points, null })
    };
    let zipped = curves.points.into_iter().zip(layers).zip(heads).zip(nulls);
    let mut curves: Vec<HeadCurve> = zipped.filter_map(curve).collect();
    let height = |curve: &HeadCurve| peak(&curve.points).unwrap_or(f64::NEG_INFINITY);
    curves.sort_by(|a, b| height(b).total_cmp(&height(a)).then((a.layer, a.head).cmp(&(b.layer, b.head))));
    Ok(curves)
}

/// The highest heads of every model under every score.
pub(super) fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.parts.keys() {
        for (score, definition) in definition(table)? {
            for curve in head_curves(table, model, &score, &definition)?.iter().take(top) {
                rows.push(row(model, &score, &definition, curve));
            }
        }
    }
    let columns = [text("model"), text("score"), text("definition"), text("head")].into_iter();
    let numbers = [numeric("peak"), numeric("last"), numeric("null")];
    let columns = columns.chain(numbers).chain(when_columns()).collect();
    let id = words::slug(&table.name);
    let note = format!(
        "The {} with the highest peak under each score. \"null\" is the formula under uniform attention.",
        words::plural(top, "head")
    );
    Ok(Listing { id, title: format!("{}: the highest heads", table.name), note, columns, rows })
}

fn row(model: &str, score: &str, definition: &str, curve: &HeadCurve) -> Vec<String> {
    let numbers = [peak(&curve.points), last(&curve.points), curve.null].map(words::number);
    let texts = [model.to_owned(), score.to_owned(), definition.to_owned(), curve.name()];
    texts.into_iter().chain(numbers).chain(when(&curve.points)).collect()
}
