//! Means over prompts by checkpoint: curves with intervals for figures, and listings of where they begin, end and
//! change.

use polars::prelude::{Expr, LazyFrame, col, lit};

use super::change::{when, when_columns};
use super::over_steps::{event, has_steps, points};
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::listing::{Listing, ListingColumn};
use crate::page::Figure;
use crate::pick::Pick;
use crate::results::{CurvePoint, Curves, FrameRows, ResultsError, Table, defined};
use crate::words;

/// Standard errors on each side of a mean: 95 % of a normal distribution.
pub(crate) const Z95: f64 = 1.96;

/// A curve with the texts of its keys.
pub(crate) type KeyedCurve = (Vec<String>, Vec<CurvePoint>);

/// Curves of means with the interval of the mean, each with the texts of its keys, models in the order of their sizes.
pub(crate) fn means(rows: &FrameRows<'_>, keys: &[&str], value: &str) -> Result<Vec<KeyedCurve>, ResultsError> {
    let error = format!("{value}_se");
    let (curves, errors) = (rows.curves(keys, value, None)?, rows.curves(keys, &error, None)?);
    let names = keys.iter().map(|key| curves.keys.texts(key)).collect::<Result<Vec<_>, _>>()?;
    let with_band = |points: &[CurvePoint], errors: &[CurvePoint]| -> Vec<CurvePoint> {
        let band = |(point, error): (&CurvePoint, &CurvePoint)| {
            let half = error.value.map(|error| Z95 * error);
            CurvePoint { band: point.value.zip(half).map(|(value, half)| (value - half, value + half)), ..*point }
        };
        points.iter().zip(errors).map(band).collect()
    };
    let key = |row: usize| names.iter().map(|column| column[row].clone()).collect::<Vec<_>>();
    let mut all: Vec<KeyedCurve> =
        (0..curves.points.len()).map(|row| (key(row), with_band(&curves.points[row], &errors.points[row]))).collect();
    all.sort_by(|a, b| words::by_size(&a.0[0], &b.0[0]).then_with(|| a.0.cmp(&b.0)));
    Ok(all)
}

/// The first and the last value of each curve in words, the first key being its model. `what` its values are.
pub(super) fn ends<'a>(curves: impl Iterator<Item = &'a KeyedCurve>, what: &str) -> String {
    let line = |(keys, points): &KeyedCurve| {
        let values: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
        let (first, last) = (words::number(values.first().copied()), words::number(values.last().copied()));
        format!("{what} goes from {first} to {last} in {}.", keys[0])
    };
    curves.map(line).collect::<Vec<_>>().join(" ")
}

/// A mean over training as a figure, a line for each model; `word` ends its id.
pub(super) fn figure(
    table: &Table,
    pick: &Pick,
    rows: &FrameRows<'_>,
    value: &str,
    [word, title, label]: [&str; 3],
    include: Vec<f64>,
) -> Result<Option<Figure>, ResultsError> {
    let curves = means(rows, &["model"], value)?;
    if !has_steps(curves.iter().map(|(_, points)| points.as_slice())) {
        return Ok(None);
    }
    let bounds = include.clone();
    let series = curves.iter().enumerate().map(|(index, (keys, points))| Series {
        name: keys[0].clone(),
        tone: Tone::Color(index),
        points: bounded(self::points(points), &bounds),
        event: event(points).filter(|_| curves.len() == 1),
    });
    Ok(Some(Figure {
        id: format!("{}-{}", words::slug(&table.name), words::slug(word)),
        title: title.into(),
        caption: format!("{title} over training; bands are 1.96 standard errors over prompts on each side."),
        alt: ends(curves.iter(), title),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.common_tokens()? },
            y: Y { label: label.into(), include },
            panels: vec![LinePanel { title: String::new(), series: series.collect() }],
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// Clips the intervals of a share to the range of the axis, such as 0 to 1.
fn bounded(mut points: Vec<Point>, include: &[f64]) -> Vec<Point> {
    if let [low, high] = include {
        for point in &mut points {
            point.band = point.band.map(|(from, to)| (from.max(*low), to.min(*high)));
        }
    }
    points
}

/// The mean of `value` by model, step and `key`: first, last, lowest, and when it changed.
pub(super) fn listing(
    table: &Table,
    key: Option<&str>,
    value: &str,
    title: String,
    narrow: impl Fn(LazyFrame) -> LazyFrame,
) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let Some(frame) = table.frame_of(model)? else { continue };
        let by: Vec<Expr> = key.into_iter().chain(["step"]).map(col).collect();
        let means = narrow(frame).group_by_stable(by).agg([col(value).mean().alias("value")]);
        // Without a key, all rows of a step are one curve.
        let means = if key.is_none() { means.with_column(lit("").alias("key")) } else { means };
        let by = key.unwrap_or("key");
        let curves = FrameRows::collect(table, means)?.curves(&[by], "value", None)?;
        rows.extend(lines(model, by, &curves)?);
    }
    let named = ["model"].into_iter().chain(key).map(ListingColumn::text);
    let numbers = ["first", "last", "lowest", "at step"].map(ListingColumn::number);
    let columns: Vec<ListingColumn> = named.chain(numbers).chain(when_columns()).collect();
    if key.is_none() {
        for row in &mut rows {
            row.remove(1);
        }
    }
    let note = "Means over prompts.".to_owned();
    Ok(Listing { id: words::slug(&table.name), title, note, columns, rows })
}

fn lines(model: &str, key: &str, curves: &Curves<'_>) -> Result<Vec<Vec<String>>, ResultsError> {
    let names = curves.keys.labels(key)?;
    Ok(names.into_iter().zip(&curves.points).map(|(name, points)| line(model, name, points)).collect())
}

fn line(model: &str, name: String, points: &[CurvePoint]) -> Vec<String> {
    let values: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
    let lowest = defined(points).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let ends = [values.first(), values.last(), values.iter().min_by(|a, b| a.total_cmp(b))];
    let numbers = ends.map(|value| words::number(value.copied()));
    let at = lowest.map_or(String::new(), |(step, _)| step.to_string());
    [model.to_owned(), name].into_iter().chain(numbers).chain([at]).chain(when(points)).collect()
}
