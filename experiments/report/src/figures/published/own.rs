//! The report's own curves that a published one may share a figure with.

use crate::chart::Point;
use crate::kinds::{main_tables, means, points};
use crate::pick::Pick;
use crate::results::{Results, ResultsError};

/// A mean over prompts by checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnCurve {
    pub model: String,
    /// The name of its table.
    pub task: String,
    pub metric: String,
    pub points: Vec<Point>,
}

/// The means of all tables that have a value per prompt and metric.
pub(crate) fn own_curves(results: &Results) -> Result<Vec<OwnCurve>, ResultsError> {
    let mut curves = Vec::new();
    for (table, kind) in main_tables(results) {
        if kind.is_none_or(|kind| kind.name != "induction_loss") {
            continue;
        }
        let rows = Pick::new(&["model", "metric", "step"], &["value"], vec![]).mean().rows(table)?;
        for (keys, curve) in means(&rows, &["model", "metric"], "value")? {
            let [model, metric] = [0, 1].map(|at| keys.get(at).cloned().unwrap_or_default());
            curves.push(OwnCurve { model, task: table.name.clone(), metric, points: points(&curve) });
        }
    }
    Ok(curves)
}
