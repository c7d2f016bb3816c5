//! A map of heads × checkpoints.

use std::collections::BTreeSet;

use super::scores::{HeadCurve, Scored, csv_of, peak_of, pick};
use super::{finding, title_of};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::kinds::grid::step_name;
use crate::page::Figure;
use crate::results::Table;
use crate::words;

/// The values of the first and the last colour: those of all models, so that a colour means one value on a page.
pub(super) fn ends<'a>(scores: impl Iterator<Item = &'a Scored>) -> (f64, f64) {
    let values = scores.flat_map(|scored| &scored.heads).flat_map(|head| &head.points).filter_map(|point| point.value);
    values.fold((0.0, f64::MIN_POSITIVE), |(low, high), value| (f64::min(low, value), f64::max(high, value)))
}

/// The map of a model's heads under one score: all of them, or as many of the highest as fit into `cells`. `ends` are
/// the values of the first and the last colour.
pub(super) fn figure(table: &Table, model: &str, main: &Scored, (cells, ends): (usize, (f64, f64))) -> Figure {
    let checkpoints = main.heads.first().map_or(1, |head| head.points.len()).max(1);
    let mut shown: Vec<&HeadCurve> = main.heads.iter().take((cells / checkpoints).max(24)).collect();
    shown.sort_by_key(|head| (head.layer, head.head));
    let name = title_of(&main.score);
    let all = shown.len() == main.heads.len();
    let which = match all {
        true => "every head".into(),
        false => format!("the {} with the highest peaks", words::plural(shown.len(), "head")),
    };
    let least = peak_of(shown.iter().copied()).filter(|_| !all);
    Figure {
        id: format!("{}-{}-map", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: {} of heads × checkpoints", name.to_lowercase()),
        caption: format!(
            "{name} score ({}) of {which} (rows, by layer) at every checkpoint (columns, in order).",
            main.definition
        ),
        alt: finding(model, main),
        chart: Chart::Map(chart(format!("{name} score"), &shown, ends)),
        csv: csv_of(shown.iter().copied()),
        code: pick(model, main, least).code(table),
    }
}

fn chart(label: String, shown: &[&HeadCurve], (low, high): (f64, f64)) -> Map {
    let steps: BTreeSet<Option<i64>> =
        shown.iter().flat_map(|head| head.points.iter().map(|point| point.step)).collect();
    let steps: Vec<Option<i64>> = steps.into_iter().collect();
    let values: Vec<Option<f64>> = shown.iter().flat_map(|head| aligned(head, &steps)).collect();
    let rows = shown.iter().map(|head| head.name()).collect();
    let columns = steps.iter().map(|step| step_name(*step)).collect();
    Map {
        scale: ColorScale { label, kind: ScaleKind::Sequential, low, high },
        frames: vec!["all checkpoints".into()],
        shown: 0,
        axes: ("head".into(), "step".into()),
        panels: vec![MapPanel { title: String::new(), rows, columns, values }],
    }
}

/// The values of a head at these steps. Most heads have the same steps, and then no search is needed.
fn aligned(head: &HeadCurve, steps: &[Option<i64>]) -> Vec<Option<f64>> {
    let points = &head.points;
    if points.len() == steps.len() && points.iter().zip(steps).all(|(point, step)| point.step == *step) {
        return points.iter().map(|point| point.value).collect();
    }
    let value = |step: &Option<i64>| points.iter().find(|point| point.step == *step)?.value;
    steps.iter().map(value).collect()
}
