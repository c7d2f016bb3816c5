//! The curves of all heads under every score of a table.

use std::collections::BTreeMap;

use polars::prelude::{Expr, UniqueKeepStrategy, col, lit};

use crate::listing::csv_line;
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, FrameRows, ResultsError, Table, last, peak};
use crate::words;

/// Of several definitions that share a score's name, the first of these that a table holds stands for the score.
const PREFERRED: [&str; 5] = ["strict", "mask_mean", "arena_stripe", "tl_stripe", "prefix_mean"];

/// The curve of one head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadCurve {
    /// Its layer, from 0.
    pub layer: i64,
    /// Its number in the layer, from 0.
    pub head: i64,
    /// Its score over checkpoints.
    pub points: Vec<CurvePoint>,
    /// The same formula under uniform attention at the last checkpoint.
    pub uniform: Option<f64>,
}

impl HeadCurve {
    /// As the field writes it: `L5H1`.
    pub(crate) fn name(&self) -> String {
        words::head(self.layer, self.head)
    }

    /// Whether its peak is above the score of uniform attention. A head without any value is not; a score without a
    /// value under uniform attention has no such bound.
    pub(crate) fn is_above_uniform(&self) -> bool {
        peak(&self.points).is_some_and(|peak| self.uniform.is_none_or(|uniform| peak > uniform))
    }
}

/// The scores of a table, each with the definition that stands for it, in alphabetical order, induction first.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub(crate) fn definitions(table: &Table) -> Result<Vec<(String, String)>, ResultsError> {
    // Every part of a table has the same scores, so the first part of the first model says them all, if it has any
    // rows.
    let first = table.parts.values().next().and_then(|parts| parts.first());
    let one =
        Table { parts: first.map(|part| (String::new(), vec![part.clone()])).into_iter().collect(), ..table.clone() };
    let pairs = one.frame()?.select([col("score"), col("definition")]).unique(None, UniqueKeepStrategy::Any);
    let mut rows = FrameRows::collect(&one, pairs)?;
    if rows.is_empty() {
        let any = UniqueKeepStrategy::Any;
        rows = FrameRows::collect(table, table.frame()?.select([col("score"), col("definition")]).unique(None, any))?;
    }
    let mut pairs: Vec<(String, String)> = rows.texts("score")?.into_iter().zip(rows.texts("definition")?).collect();
    let rank = |definition: &str| PREFERRED.iter().position(|name| *name == definition).unwrap_or(PREFERRED.len());
    pairs
        .sort_by_key(|(score, definition)| (score != "induction", score.clone(), rank(definition), definition.clone()));
    pairs.dedup_by(|b, a| a.0 == b.0);
    Ok(pairs)
}

/// The curves of a model's heads under one score.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scored {
    pub score: String,
    /// The definition that stands for it.
    pub definition: String,
    /// The heads, the highest peak first.
    pub heads: Vec<HeadCurve>,
}

/// The curves of a model's heads under every score of the table, in one reading. `scores`: the table's
/// [`definitions`].
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub(crate) fn scored(table: &Table, model: &str, scores: &[(String, String)]) -> Result<Vec<Scored>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(Vec::new());
    };
    let is = |(score, definition): &(String, String)| {
        col("score").eq(lit(score.as_str())).and(col("definition").eq(lit(definition.as_str())))
    };
    let chosen = scores.iter().map(is).reduce(Expr::or).unwrap_or_else(|| lit(false));
    let columns: Vec<Expr> = ["score", "step", "layer", "head", "value", "uniform"].map(col).to_vec();
    let rows = FrameRows::collect(table, frame.filter(chosen).select(columns))?;
    let mut by_score = curves(&rows)?;
    let sorted = scores.iter().cloned().map(|(score, definition)| {
        let mut heads = by_score.remove(&score).unwrap_or_default();
        let height = |curve: &HeadCurve| peak(&curve.points).unwrap_or(f64::NEG_INFINITY);
        heads.sort_by(|a, b| height(b).total_cmp(&height(a)).then((a.layer, a.head).cmp(&(b.layer, b.head))));
        Scored { score, definition, heads }
    });
    Ok(sorted.collect())
}

fn curves(rows: &FrameRows<'_>) -> Result<BTreeMap<String, Vec<HeadCurve>>, ResultsError> {
    let keys = ["score", "layer", "head"];
    let (curves, uniform) = (rows.curves(&keys, "value", None)?, rows.curves(&keys, "uniform", None)?);
    let (scores, layers, heads) = (curves.keys.texts("score")?, curves.keys.ints("layer")?, curves.keys.ints("head")?);
    let mut by_score: BTreeMap<String, Vec<HeadCurve>> = BTreeMap::new();
    for (row, points) in curves.points.into_iter().enumerate() {
        // A row without a layer or a head is not of a head.
        if let Some((layer, head)) = layers[row].zip(heads[row]) {
            let curve = HeadCurve { layer, head, points, uniform: last(&uniform.points[row]) };
            by_score.entry(scores[row].clone()).or_default().push(curve);
        }
    }
    Ok(by_score)
}

/// The rows behind a figure of a model's heads under one score: all of them, or those of heads that peak at `least`.
pub(super) fn pick(model: &str, main: &Scored, least: Option<f64>) -> Pick {
    let filters = vec![Filter::Text("score", main.score.clone()), Filter::Text("definition", main.definition.clone())];
    let pick = Pick::new(&["layer", "head", "step"], &["value"], filters).of(model);
    match least {
        Some(least) => pick.and(Filter::Peak { by: &["layer", "head"], value: "value", least }),
        None => pick,
    }
}

/// The lowest of the peaks of some heads.
pub(super) fn peak_of<'a>(heads: impl Iterator<Item = &'a HeadCurve>) -> Option<f64> {
    heads.filter_map(|head| peak(&head.points)).reduce(f64::min)
}

/// The rows that [`pick`] gives, of these heads in their order.
pub(super) fn csv_of<'a>(heads: impl Iterator<Item = &'a HeadCurve>) -> String {
    let mut text = csv_line(["layer", "head", "step", "value"].into_iter());
    for head in heads {
        for point in &head.points {
            let step = point.step.map_or(String::new(), |step| step.to_string());
            let value = point.value.map_or(String::new(), |value| value.to_string());
            text.push_str(&format!("{},{},{step},{value}\n", head.layer, head.head));
        }
    }
    text
}
