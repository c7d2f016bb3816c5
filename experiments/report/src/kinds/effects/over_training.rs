//! The largest effects over training, beside their random controls.

use super::curves::{EffectCurve, at_end, keys, value_of};
use super::{CURVES, Setting, UNSURE};
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::kinds::change::mark_in_words;
use crate::kinds::over_steps::{event, has_steps, points};
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, ResultsError};
use crate::words;

/// The curves of the largest effects; none where no curve has two steps.
pub(super) fn figure(setting: &Setting<'_>) -> Result<Option<Figure>, ResultsError> {
    let ranked = setting.ranked();
    let shown = &ranked[..ranked.len().min(CURVES)];
    let Some((last, end)) = shown.last().and_then(|curve| Some((at_end(curve)?.step?, at_end(curve)?.value?.abs())))
    else {
        return Ok(None);
    };
    if !has_steps(shown.iter().map(|curve| curve.points.as_slice())) {
        return Ok(None);
    }
    let pick = pick_of_largest(setting, last, end);
    let controls = controls(setting, shown);
    Ok(Some(Figure {
        id: setting.id("curves"),
        title: format!("{}: the largest effects over training", setting.name()),
        caption: caption(setting, shown, last, controls.as_ref()),
        alt: setting.finding(shown),
        csv: pick.rows(setting.table)?.csv()?,
        code: pick.code(setting.table),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: setting.table.tokens_per_step(setting.model)? },
            y: Y { label: setting.label(), include: vec![0.0] },
            panels: vec![LinePanel {
                title: String::new(),
                series: controls.into_iter().chain(series(shown)).collect(),
            }],
        }),
    }))
}

fn caption(setting: &Setting<'_>, shown: &[&EffectCurve], last: i64, controls: Option<&Series>) -> String {
    let controls = controls
        .map_or(String::new(), |controls| format!(" Dashed, the mean of the {} with their range.", controls.name));
    let ratio = if value_of(setting.table) == "effect" { format!(" {UNSURE}") } else { String::new() };
    format!(
        "The {} with the largest effect at step {last}, over training; bands are 95 % intervals over pairs. \
         {}{controls}{ratio}",
        words::plural(shown.len(), "place"),
        mark_in_words(shown.first().map_or(&[], |curve| &curve.points), "the first"),
    )
}

fn pick_of_largest(setting: &Setting<'_>, step: i64, least: f64) -> Pick {
    let (keys, value) = (keys(setting.table), value_of(setting.table));
    let mut filters = setting.filters();
    if keys.contains(&"control") {
        filters.push(Filter::Null("control"));
    }
    filters.push(Filter::End { by: keys, value, step, least });
    setting.pick(filters)
}

fn series(shown: &[&EffectCurve]) -> impl Iterator<Item = Series> {
    shown.iter().enumerate().map(|(index, curve)| Series {
        name: curve.target.name.clone(),
        tone: Tone::Color(index),
        points: points(&curve.points),
        event: event(&curve.points).filter(|_| index == 0),
    })
}

/// The mean of the random controls of the first target that has some, with their range.
fn controls(setting: &Setting<'_>, shown: &[&EffectCurve]) -> Option<Series> {
    let is_control =
        |curve: &EffectCurve, of: &EffectCurve| curve.target.control.is_some() && curve.target.name == of.target.name;
    let (of, controls) = shown.iter().find_map(|of| {
        let controls: Vec<&EffectCurve> =
            setting.curves.iter().copied().filter(|curve| is_control(curve, of)).collect();
        (!controls.is_empty()).then_some((of, controls))
    })?;
    let at = |point: &CurvePoint| {
        let same = |curve: &&EffectCurve| {
            curve.points.iter().find(|other| other.step == point.step).and_then(|other| other.value)
        };
        let values: Vec<f64> = controls.iter().filter_map(same).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (low, high) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        Some(Point { x: point.step? as f64, y: Some(mean).filter(|mean| mean.is_finite()), band: low.zip(high) })
    };
    let points = of.points.iter().filter_map(at).collect();
    Some(Series { name: format!("random controls of {}", of.target.name), tone: Tone::Baseline, points, event: None })
}
