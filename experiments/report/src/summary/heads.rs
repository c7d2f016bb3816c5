//! Scores of attention heads: which heads are highest, and when they got there.

use std::collections::BTreeMap;

use polars::prelude::{Expr, UniqueKeepStrategy, col, lit};

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
    // Every part of a table has the same scores, so the first part of the first model says them all, if it has any rows.
    let first = table.parts.values().next().and_then(|parts| parts.first());
    let one =
        Table { parts: first.map(|part| (String::new(), vec![part.clone()])).into_iter().collect(), ..table.clone() };
    let pairs = one.frame()?.select([col("score"), col("definition")]).unique(None, UniqueKeepStrategy::Any);
    let mut rows = Rows::collect(&one, pairs)?;
    if rows.is_empty() {
        let any = UniqueKeepStrategy::Any;
        rows = Rows::collect(table, table.frame()?.select([col("score"), col("definition")]).unique(None, any))?;
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
pub struct Scored {
    /// The score.
    pub score: String,
    /// The definition that stands for it.
    pub definition: String,
    /// The heads, the highest peak first.
    pub heads: Vec<HeadCurve>,
}

/// The curves of a model's heads under every score of the table, in one reading.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn scored(table: &Table, model: &str) -> Result<Vec<Scored>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(Vec::new());
    };
    let pairs = definition(table)?;
    let is = |(score, definition): &(String, String)| {
        col("score").eq(lit(score.as_str())).and(col("definition").eq(lit(definition.as_str())))
    };
    let chosen = pairs.iter().map(is).reduce(Expr::or).unwrap_or_else(|| lit(false));
    let columns: Vec<Expr> = ["score", "step", "layer", "head", "value", "null"].map(col).to_vec();
    let rows = Rows::collect(table, frame.filter(chosen).select(columns))?;
    let mut by_score = curves(&rows)?;
    let sorted = pairs.into_iter().map(|(score, definition)| {
        let mut heads = by_score.remove(&score).unwrap_or_default();
        let height = |curve: &HeadCurve| peak(&curve.points).unwrap_or(f64::NEG_INFINITY);
        heads.sort_by(|a, b| height(b).total_cmp(&height(a)).then((a.layer, a.head).cmp(&(b.layer, b.head))));
        Scored { score, definition, heads }
    });
    Ok(sorted.collect())
}

fn curves(rows: &Rows<'_>) -> Result<BTreeMap<String, Vec<HeadCurve>>, ResultsError> {
    let keys = ["score", "layer", "head"];
    let (curves, nulls) = (rows.curves(&keys, "value", None)?, rows.curves(&keys, "null", None)?);
    let (scores, layers, heads) = (curves.keys.texts("score")?, curves.keys.ints("layer")?, curves.keys.ints("head")?);
    let mut by_score: BTreeMap<String, Vec<HeadCurve>> = BTreeMap::new();
    for (row, points) in curves.points.into_iter().enumerate() {
        // A row without a layer or a head is not of a head.
        if let Some((layer, head)) = layers[row].zip(heads[row]) {
            let curve = HeadCurve { layer, head, points, null: last(&nulls.points[row]) };
            by_score.entry(scores[row].clone()).or_default().push(curve);
        }
    }
    Ok(by_score)
}

/// The highest heads of every model under every score.
pub(super) fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let models = table.models().into_iter().map(|model| Ok((model, scored(table, model)?)));
    Ok(listing_of(table, &models.collect::<Result<Vec<_>, ResultsError>>()?, top))
}

/// As the summary has it, of curves that were read already.
pub fn listing_of(table: &Table, models: &[(&str, Vec<Scored>)], top: usize) -> Listing {
    let mut rows = Vec::new();
    for (model, scores) in models {
        for Scored { score, definition, heads } in scores {
            rows.extend(heads.iter().take(top).map(|curve| row(model, score, definition, curve)));
        }
    }
    let columns = [text("model"), text("score"), text("head")].into_iter();
    let numbers = [numeric("peak"), numeric("last"), numeric("null")];
    let columns = columns.chain(numbers).chain(when_columns()).collect();
    let shown = words::plural(top, "head");
    let note =
        format!("The {shown} with the highest peak under each score. \"null\" is the formula under uniform attention.");
    let title = format!("{}: the highest heads", table.name);
    Listing { id: words::slug(&table.name), title, note, columns, rows }
}

fn row(model: &str, score: &str, definition: &str, curve: &HeadCurve) -> Vec<String> {
    let numbers = [peak(&curve.points), last(&curve.points), curve.null].map(words::number);
    let texts = [model.to_owned(), format!("{score} ({definition})"), curve.name()];
    texts.into_iter().chain(numbers).chain(when(&curve.points)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, head_scores, suite_steps};

    #[test]
    fn the_planted_head_is_first_and_changes_at_its_step() {
        let scratch = Scratch::new("planted-head");
        head_scores(&scratch.0, "pythia-70m", (6, 8), &suite_steps());
        let results = Results::open(&scratch.0).expect("results");
        let listing = listing(&results.tables["head_scores"], 2).expect("a listing");
        assert_eq!(listing.rows.len(), 2);
        let first: Vec<&str> = listing.rows[0].iter().map(String::as_str).collect();
        let levels = "0.050 → 0.900";
        assert_eq!(
            first,
            ["pythia-70m", "induction (strict)", "L2H3", "0.900", "0.900", "0.020", "64", "64–64", levels]
        );
        // The others never change, and the one without any value is last.
        assert_eq!(listing.rows[1][2..4], ["L0H1", "0.050"]);
        assert_eq!(listing.rows[1][6..], ["", "", ""]);
        let heads = &scored(&results.tables["head_scores"], "pythia-70m").expect("curves")[0].heads;
        assert_eq!((heads.len(), heads[47].name().as_str()), (48, "L0H0"));
    }
}
