//! What the page's script reads beside the picture: for curves, their values and where they lie.

use super::color::series_color;
use super::frame::Area;
use super::scale::{LinearAxis, XAxis, drawable};
use super::{LinePanel, Lines, Series, Tone, X, text};
use serde_json::{Value, json};

/// The values of all curves, and where their x are drawn.
pub(crate) fn data(lines: &Lines, x: &XAxis, y: &[LinearAxis], areas: &[Area]) -> Value {
    let label = match &lines.x {
        X::Steps { .. } => "step".to_owned(),
        X::Linear { label } => text::shown(label),
    };
    let panels = lines.panels.iter().zip(y).zip(areas);
    let panels: Vec<Value> = panels.map(|((panel, y), area)| panel_data(panel, x, y, area)).collect();
    json!({"type": "lines", "x": label, "y": text::shown(&lines.y.label), "panels": panels})
}

fn panel_data(panel: &LinePanel, x: &XAxis, y: &LinearAxis, area: &Area) -> Value {
    let across = x.between(area.x, area.right());
    let mut xs: Vec<f64> =
        panel.series.iter().flat_map(|series| &series.points).filter_map(|p| drawable(p.x)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let places: Vec<Value> = xs.iter().map(|x| number((across.at(*x) * 10.0).round() / 10.0)).collect();
    let read = panel.series.iter().filter(|series| series.tone != Tone::Note);
    let series: Vec<Value> = read.map(|series| series_data(series, &xs)).collect();
    let values: Vec<Value> = xs.iter().map(|x| number(*x)).collect();
    json!({
        "box": area.sides(), "y": [number(y.low), number(y.high)], "title": text::shown(&panel.title),
        "xs": values, "px": places, "series": series,
    })
}

/// A curve as values at all `xs` where it has most of them, else as pairs of the index of x and the value.
fn series_data(series: &Series, xs: &[f64]) -> Value {
    let index = |x: f64| xs.binary_search_by(|other| other.total_cmp(&x)).ok();
    let points: Vec<(usize, Value)> =
        series.points.iter().filter_map(|point| Some((index(point.x)?, rounded(point.y)))).collect();
    let color = match series.tone {
        Tone::Color(index) | Tone::Reference(index) => json!(series_color(index)),
        Tone::Muted | Tone::Baseline | Tone::Note => Value::Null,
    };
    let name = text::shown(&series.name);
    let distinct = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if distinct && points.len() * 2 >= xs.len() {
        let mut ys = vec![Value::Null; xs.len()];
        for (index, y) in points {
            ys[index] = y;
        }
        json!({"name": name, "color": color, "y": ys})
    } else {
        json!({"name": name, "color": color, "points": points})
    }
}

/// A number with four significant digits.
fn rounded(value: Option<f64>) -> Value {
    let Some(value) = value.and_then(drawable) else { return Value::Null };
    format!("{value:.3e}").parse().map_or(Value::Null, number)
}

/// The shortest text of a number: whole ones have no point.
pub(crate) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Chart, Point, Y};

    fn lines(series: &[&[(f64, Option<f64>)]]) -> Lines {
        let series = series.iter().enumerate().map(|(index, points)| Series {
            name: format!("s{index}"),
            tone: Tone::Color(index),
            points: points.iter().map(|(x, y)| Point { x: *x, y: *y, band: None }).collect(),
            event: None,
        });
        Lines {
            x: X::Linear { label: "loss".into() },
            y: Y { label: "score".into(), include: vec![0.0, 1.0] },
            panels: vec![LinePanel { title: String::new(), series: series.collect() }],
        }
    }

    #[test]
    fn curves_are_aligned_or_paired() {
        let chart = lines(&[&[(1.0, Some(0.123_456)), (2.0, None), (3.0, Some(1.0))], &[(2.5, Some(f64::INFINITY))]]);
        let data = Chart::Lines(chart).draw("a", "", "").data.unwrap();
        let panel = &data["panels"][0];
        assert_eq!(panel["xs"], json!([1, 2, 2.5, 3]));
        assert_eq!(panel["y"], json!([0, 1]));
        assert_eq!(panel["series"][0]["y"], json!([0.1235, null, null, 1]));
        assert_eq!(panel["series"][1]["points"], json!([[2, null]]));
        assert_eq!(panel["px"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn values_at_one_x_are_all_kept() {
        let chart = lines(&[&[(1.0, Some(0.5)), (1.0, Some(0.75))]]);
        let data = Chart::Lines(chart).draw("a", "", "").data.unwrap();
        assert_eq!(data["panels"][0]["series"][0]["points"], json!([[0, 0.5], [0, 0.75]]));
    }
}
