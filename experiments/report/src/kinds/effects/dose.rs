//! Dose and response: the effect of steering against its coefficient, at the last checkpoint.

use std::collections::BTreeMap;

use super::bars::pick_of_end;
use super::curves::{EffectCurve, at_end, value_of};
use super::{CURVES, Setting, UNSURE};
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::page::Figure;
use crate::results::ResultsError;
use crate::words;

/// A curve for each place that was steered, in the order of coefficients; none where no place has two of them.
pub(super) fn figure(setting: &Setting<'_>) -> Result<Option<Figure>, ResultsError> {
    let mut doses: Vec<(String, Vec<Point>)> = doses(setting.curves).into_iter().collect();
    doses.retain(|(_, points)| points.len() > 1);
    let size = |points: &[Point]| points.iter().filter_map(|point| point.y).fold(0.0, |most: f64, y| most.max(y.abs()));
    doses.sort_by(|a, b| size(&b.1).total_cmp(&size(&a.1)).then_with(|| a.0.cmp(&b.0)));
    let places = doses.len();
    doses.truncate(CURVES);
    if doses.is_empty() {
        return Ok(None);
    }
    let last = setting.curves.iter().filter_map(|curve| at_end(curve)?.step).max();
    let pick = pick_of_end(setting, last);
    let ends = |(name, points): &(String, Vec<Point>)| {
        let value = |point: Option<&Point>| words::number(point.and_then(|point| point.y));
        format!("{name} from {} to {}", value(points.first()), value(points.last()))
    };
    let alt = format!(
        "{}, from the lowest to the highest coefficient: {}.",
        setting.name(),
        doses.iter().map(ends).collect::<Vec<_>>().join(", ")
    );
    let series = |(index, (name, points)): (usize, (String, Vec<Point>))| Series {
        name,
        tone: Tone::Color(index),
        points,
        event: None,
    };
    Ok(Some(Figure {
        id: setting.id("dose"),
        title: format!("{}: effect by coefficient at {}", setting.name(), words::step(last)),
        caption: caption(setting, places),
        alt,
        csv: pick.rows(setting.table)?.csv()?,
        code: pick.code(setting.table),
        chart: Chart::Lines(Lines {
            x: X::Linear { label: "coefficient".into() },
            y: Y { label: setting.label(), include: vec![0.0] },
            panels: vec![LinePanel {
                title: String::new(),
                series: doses.into_iter().enumerate().map(series).collect(),
            }],
        }),
    }))
}

fn caption(setting: &Setting<'_>, places: usize) -> String {
    let which = match places > CURVES {
        true => format!("the {CURVES} of {places} places with the largest effects"),
        false => words::plural(places, "place"),
    };
    let ratio = if value_of(setting.table) == "effect" { format!(" {UNSURE}") } else { String::new() };
    format!(
        "The effect of each coefficient at {which}, in the order of coefficients; bands are 95 % intervals over \
         pairs.{ratio}"
    )
}

/// The effects of each place by coefficient, in the order of coefficients. The names of targets end with theirs.
fn doses(curves: &[&EffectCurve]) -> BTreeMap<String, Vec<Point>> {
    let mut doses: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for curve in curves.iter().filter(|curve| curve.target.control.is_none()) {
        let Some((place, factor)) = curve.target.name.rsplit_once("× ") else { continue };
        let Some((x, end)) = factor.parse::<f64>().ok().zip(at_end(curve)) else { continue };
        let point = Point { x, y: end.value, band: end.band };
        doses.entry(place.trim_end().to_owned()).or_default().push(point);
    }
    doses.values_mut().for_each(|points| points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    doses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::effects::curves::curves;
    use crate::results::Results;
    use crate::testing::{Scratch, floats, ints, part, texts};

    #[test]
    fn responses_stand_in_the_order_of_coefficients() {
        let scratch = Scratch::new("effects-dose");
        // Coefficients as an experiment may list them, which is not their order.
        let coefficients = [4.0, -2.0, 1.0, 10.0];
        let own = vec![
            texts("hook", vec!["blocks.1.hook_resid_post".into(); 4]),
            ints("layer", vec![Some(1); 4]),
            floats("coefficient", coefficients.map(Some).to_vec()),
            texts("metric", vec!["logit_diff".into(); 4]),
            floats("delta", coefficients.map(|factor| Some(factor / 2.0)).to_vec()),
            floats("delta_low", coefficients.map(|factor| Some(factor / 2.0 - 0.5)).to_vec()),
            floats("delta_high", coefficients.map(|factor| Some(factor / 2.0 + 0.5)).to_vec()),
        ];
        part(&scratch.0, "steer", "steering", "m", Some(512), own);
        let results = Results::open(&scratch.0).expect("results");
        let table = &results.tables["steer"];
        let curves = curves(table, "m").expect("curves");
        let all: Vec<&EffectCurve> = curves.iter().collect();
        let values = curves[0].target.setting.clone();
        let setting = Setting { table, model: "m", values: &values, curves: &all };
        let figure = figure(&setting).expect("readable").expect("a figure");
        let Chart::Lines(lines) = &figure.chart else { panic!("{figure:?}") };
        let series = &lines.panels[0].series;
        assert_eq!((series.len(), series[0].name.as_str()), (1, "resid_post L1"));
        let points: Vec<(f64, Option<f64>)> = series[0].points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(points, [(-2.0, Some(-1.0)), (1.0, Some(0.5)), (4.0, Some(2.0)), (10.0, Some(5.0))]);
        assert!(figure.caption.contains("at 1 place,"), "{}", figure.caption);
    }
}
