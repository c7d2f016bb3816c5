//! Norms of parameters over training.

use std::collections::BTreeMap;

use super::IN_FULL;
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{ResultsError, Table};
use crate::words;

/// Parameters × checkpoints, each row relative to its largest norm.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let figures = table.models().into_iter().take(IN_FULL).map(|model| figure(table, model));
    Ok(figures.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn figure(table: &Table, model: &str) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["param", "step"], &["norm"], vec![Filter::Null("head")]).of(model);
    let rows = pick.rows(table)?;
    let curves = rows.curves(&["param"], "norm", None)?;
    let params = curves.keys.texts("param")?;
    let steps: Vec<Option<i64>> = curves
        .points
        .iter()
        .max_by_key(|points| points.len())
        .map(|points| points.iter().map(|point| point.step).collect())
        .unwrap_or_default();
    if steps.len() < 2 || params.is_empty() {
        return Ok(None);
    }
    let values = curves.points.iter().flat_map(|points| {
        let most = points.iter().filter_map(|point| point.value).fold(0.0_f64, f64::max);
        let by_step: BTreeMap<Option<i64>, Option<f64>> =
            points.iter().map(|point| (point.step, point.value)).collect();
        let share = move |step: &Option<i64>| {
            by_step.get(step).copied().flatten().filter(|_| most > 0.0).map(|norm| norm / most)
        };
        steps.iter().map(share).collect::<Vec<_>>()
    });
    let panel = MapPanel {
        title: String::new(),
        values: values.collect(),
        columns: steps.iter().map(|step| step.map_or("model".into(), |step| step.to_string())).collect(),
        rows: params,
    };
    Ok(Some(Figure {
        id: format!("{}-{}-map", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: norms of parameters × checkpoints"),
        caption: "Frobenius norm of each parameter (rows) at every checkpoint (columns, in order), relative to the largest of its row.".into(),
        alt: format!("Norms of {} of {model} over {}.", words::plural(panel.rows.len(), "parameter"), words::plural(steps.len(), "checkpoint")),
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
