//! Losses over training.

use super::{IN_FULL, has_steps};
use crate::chart::{Chart, ColorScale, LinePanel, Lines, Map, MapPanel, Point, ScaleKind, Series, Tone, X, Y};
use crate::frame::{CurvePoint, Rows};
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{ResultsError, Table};
use crate::words;

/// Standard errors on each side of a mean: 95 % of a normal distribution.
const Z95: f64 = 1.96;

/// Positions up to which a map of losses has a column for each.
const POSITIONS: usize = 1024;

/// Loss on both halves, and what follows from them.
pub(super) fn induction(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let mut figures = Vec::new();
    figures.extend(halves(table)?);
    figures.extend(by_model(table, "second_half_accuracy", "Accuracy on the second half", "accuracy", vec![0.0, 1.0])?);
    Ok(figures)
}

fn halves(table: &Table) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["model", "metric", "step"], &["value"], vec![]).mean();
    let rows = pick.rows(table)?;
    let curves = means(&rows, &["model", "metric"], "value")?;
    const NAMES: [(&str, &str); 2] =
        [("loss_first_half", "first half (new tokens)"), ("loss_second_half", "second half (repeated)")];
    let panel = |model: &str| {
        let series = NAMES.iter().enumerate().filter_map(|(index, (metric, name))| {
            let (_, points) = curves.iter().find(|(keys, _)| keys[0] == model && keys[1] == *metric)?;
            Some(Series {
                name: (*name).into(),
                tone: Tone::Color(index),
                points: super::points(points),
                event: super::event(points).filter(|_| index == 1),
            })
        });
        LinePanel { title: model.to_owned(), series: series.collect() }
    };
    let models = table.models();
    let mut panels: Vec<LinePanel> = models.iter().map(|model| panel(model)).collect();
    if let [only] = panels.as_mut_slice() {
        only.title.clear();
    }
    if !has_steps(curves.iter().map(|(_, points)| points.as_slice())) {
        return Ok(None);
    }
    Ok(Some(Figure {
        id: format!("{}-halves", words::slug(&table.name)),
        title: "Loss on new and on repeated tokens".into(),
        caption: "Mean loss (nats per token) over prompts [BOS] R R on the first R, which is random, and on the second, which repeats it; \
                  bands are 1.96 standard errors over prompts on each side. The vertical mark is the change point of the second."
            .into(),
        alt: ends(&curves, "loss_second_half"),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.common_tokens()? },
            y: Y { label: "loss (nats)".into(), include: vec![0.0] },
            panels,
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// One metric, a line for each model.
fn by_model(
    table: &Table,
    metric: &str,
    title: &str,
    label: &str,
    include: Vec<f64>,
) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["model", "step"], &["value"], vec![Filter::Text("metric", metric.into())]).mean();
    let rows = pick.rows(table)?;
    lines(table, &pick, &rows, "value", [metric, title, label], include)
}

/// The mean over prompts and positions, and where in the prompt it is lost.
pub(super) fn tokens(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let pick = Pick::new(&["model", "step"], &["loss"], vec![]).mean_per("prompt_id");
    let rows = pick.rows(table)?;
    let words = ["mean", "Mean loss of all tokens", "loss (nats)"];
    let mut figures: Vec<Figure> = lines(table, &pick, &rows, "loss", words, vec![0.0])?.into_iter().collect();
    for model in table.models().into_iter().take(IN_FULL) {
        figures.extend(positions(table, model)?);
    }
    Ok(figures)
}

/// Positions × checkpoints.
fn positions(table: &Table, model: &str) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["pos", "step"], &["loss"], vec![]).of(model).mean();
    let rows = pick.rows(table)?;
    let (positions, steps, losses) = (rows.ints("pos")?, rows.ints("step")?, rows.floats("loss")?);
    let grid = super::grid::Grid::of(
        positions.iter().zip(&steps).zip(&losses).map(|((pos, step), loss)| (*pos, *step, *loss)),
    );
    if grid.rows.len() < 2 || grid.rows.len() > POSITIONS || grid.columns.len() < 2 {
        return Ok(None);
    }
    let (low, high) = grid.range();
    Ok(Some(Figure {
        id: format!("{}-{}-positions", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: loss by position × checkpoint"),
        caption: "Mean loss (nats) over prompts of the token at each position (rows) at every checkpoint (columns, in order).".into(),
        alt: format!("Loss of {model} at {} positions and {} checkpoints, between {} and {}.", grid.rows.len(), grid.columns.len(), words::number(Some(low)), words::number(Some(high))),
        chart: Chart::Map(Map {
            scale: ColorScale { label: "loss (nats)".into(), kind: ScaleKind::Sequential, low, high },
            frames: vec!["all checkpoints".into()],
            shown: 0,
            axes: ("position".into(), "step".into()),
            panels: vec![MapPanel { title: String::new(), rows: grid.row_names(), columns: grid.column_names(), values: grid.values }],
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

fn lines(
    table: &Table,
    pick: &Pick,
    rows: &Rows<'_>,
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
        points: bounded(super::points(points), &bounds),
        event: super::event(points).filter(|_| curves.len() == 1),
    });
    Ok(Some(Figure {
        id: format!("{}-{}", words::slug(&table.name), words::slug(word)),
        title: title.into(),
        caption: format!("{title} over training; bands are 1.96 standard errors over prompts on each side."),
        alt: ends(&curves, "").replacen("It", title, 1),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.common_tokens()? },
            y: Y { label: label.into(), include },
            panels: vec![LinePanel { title: String::new(), series: series.collect() }],
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// A share lies between 0 and 1, and so does its interval.
fn bounded(mut points: Vec<Point>, include: &[f64]) -> Vec<Point> {
    if let [low, high] = include {
        for point in &mut points {
            point.band = point.band.map(|(from, to)| (from.max(*low), to.min(*high)));
        }
    }
    points
}

/// A curve with the texts of its keys.
pub(super) type Keyed = (Vec<String>, Vec<CurvePoint>);

/// Curves of means with the interval of the mean, each with the texts of its keys, models in the order of their sizes.
pub(super) fn means(rows: &Rows<'_>, keys: &[&str], value: &str) -> Result<Vec<Keyed>, ResultsError> {
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
    let mut all: Vec<Keyed> =
        (0..curves.points.len()).map(|row| (key(row), with_band(&curves.points[row], &errors.points[row]))).collect();
    all.sort_by(|a, b| words::by_size(&a.0[0], &b.0[0]).then_with(|| a.0.cmp(&b.0)));
    Ok(all)
}

/// Where the curves begin and end, in words.
fn ends(curves: &[Keyed], metric: &str) -> String {
    let chosen = curves.iter().filter(|(keys, _)| metric.is_empty() || keys.get(1).is_some_and(|key| key == metric));
    let line = |(keys, points): &Keyed| {
        let values: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
        let (first, last) = (words::number(values.first().copied()), words::number(values.last().copied()));
        let what = if metric.is_empty() { "It" } else { "Loss on repeated tokens" };
        format!("{what} goes from {first} to {last} in {}.", keys[0])
    };
    chosen.map(line).collect::<Vec<_>>().join(" ")
}
