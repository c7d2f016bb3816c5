//! Models beside each other: sizes, seeds, and one measure against another.

use std::collections::BTreeMap;

use super::heads::title_of;
use super::{has_steps, losses, points};
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::frame::{CurvePoint, Rows};
use crate::page::{Block, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{Results, ResultsError, Table};
use crate::summary::definition;
use crate::words;

/// Curves by model.
type ByModel = BTreeMap<String, Vec<CurvePoint>>;

/// Comparisons of models, where there are several, and of the induction score with the loss.
pub(super) fn blocks(results: &Results) -> Result<Vec<Block>, ResultsError> {
    let mut figures = Vec::new();
    let heads = results.of_kind("head_scores").next();
    if let Some(table) = heads.filter(|table| table.parts.len() > 1) {
        figures.extend(highest_heads(table)?);
    }
    if let Some((heads, losses)) = heads.zip(results.of_kind("induction_loss").next()) {
        figures.extend(score_against_loss(heads, losses)?);
    }
    Ok(figures.into_iter().map(Block::Figure).collect())
}

/// The highest head of every score, a line for each model.
fn highest_heads(table: &Table) -> Result<Option<Figure>, ResultsError> {
    let scores = definition(table)?;
    let mut panels = Vec::new();
    for (score, definition) in &scores {
        let by_model = highest(table, score, definition)?.1;
        panels.push(LinePanel { title: title_of(score), series: series(&by_model) });
    }
    let Some((score, definition)) = scores.first() else {
        return Ok(None);
    };
    let (rows, by_model) = highest(table, score, definition)?;
    if !has_steps(by_model.values().map(Vec::as_slice)) {
        return Ok(None);
    }
    let first = table.models().first().copied().unwrap_or_default();
    Ok(Some(Figure {
        id: words::slug(&format!("across {}", table.name)),
        title: "The highest head of each score, by model".into(),
        caption: "At every checkpoint the highest score among all heads of a model; models that differ in their seed alone share a colour. \
                  The data and the lines of Polars are those of the first panel."
            .into(),
        alt: peaks(&by_model, score),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.tokens_per_step(first)? },
            y: Y { label: "highest score".into(), include: vec![0.0] },
            panels,
        }),
        csv: rows.csv()?,
        code: pick(score, definition).code(table),
    }))
}

fn pick(score: &str, definition: &str) -> Pick {
    let filters = vec![Filter::Text("score", score.into()), Filter::Text("definition", definition.into())];
    Pick::new(&["model", "step", "value"], filters).max("value")
}

fn highest<'a>(table: &'a Table, score: &str, definition: &str) -> Result<(Rows<'a>, ByModel), ResultsError> {
    let rows = pick(score, definition).rows(table)?;
    let curves = rows.curves(&["model"], "value", None)?;
    let by_model = curves.keys.texts("model")?.into_iter().zip(curves.points).collect();
    Ok((rows, by_model))
}

/// A line for each model, in the order of sizes; seeds of one model share a colour.
fn series(by_model: &ByModel) -> Vec<Series> {
    let mut models: Vec<(&String, &Vec<CurvePoint>)> = by_model.iter().collect();
    models.sort_by(|a, b| words::by_size(a.0, b.0));
    let mut families: Vec<&str> = Vec::new();
    let mut series = Vec::new();
    for (model, curve) in models {
        let family = words::family(model);
        if !families.contains(&family) {
            families.push(family);
        }
        let index = families.iter().position(|other| *other == family).unwrap_or(0);
        series.push(Series { name: model.clone(), tone: Tone::Color(index), points: points(curve), event: None });
    }
    series
}

/// Induction score against loss on repeated tokens, along training.
fn score_against_loss(heads: &Table, losses: &Table) -> Result<Option<Figure>, ResultsError> {
    let scores = definition(heads)?;
    let Some((score, definition)) = scores.first().filter(|(score, _)| score == "induction") else {
        return Ok(None);
    };
    let (_, by_model) = highest(heads, score, definition)?;
    let filters = vec![Filter::Text("metric", "loss_second_half".into())];
    let loss_pick = Pick::new(&["model", "step", "value"], filters).mean("value");
    let rows = loss_pick.rows(losses)?;
    let loss_of: ByModel = losses::means(&rows, &["model"], "value")?
        .into_iter()
        .map(|(keys, points)| (keys[0].clone(), points))
        .collect();
    let joined: ByModel = by_model.iter().map(|(model, curve)| (model.clone(), curve.clone())).collect();
    let mut lines = series(&joined);
    for line in &mut lines {
        let by_step: BTreeMap<i64, Option<f64>> = loss_of
            .get(&line.name)
            .into_iter()
            .flatten()
            .filter_map(|point| Some((point.step?, point.value)))
            .collect();
        line.points = line
            .points
            .iter()
            .filter_map(|point| {
                let loss = by_step.get(&(point.x as i64)).copied().flatten();
                Some(Point { x: point.y?, y: Some(loss?), band: None })
            })
            .collect();
    }
    lines.retain(|line| line.points.len() > 1);
    if lines.is_empty() {
        return Ok(None);
    }
    Ok(Some(Figure {
        id: "induction-against-loss".into(),
        title: "Induction score against loss on repeated tokens".into(),
        caption: "Each model's way through training: the score of its highest induction head along x, its mean loss on the repeated half of \
                  the prompts along y, checkpoint after checkpoint. The lines of Polars give the losses; the scores are those of the figures \
                  above."
            .into(),
        alt: format!("{} As the score rises, the loss on repeated tokens goes from the upper left to its end.", peaks(&by_model, score)),
        chart: Chart::Lines(Lines {
            x: X::Linear { label: format!("highest induction score ({definition})") },
            y: Y { label: "loss on the second half (nats)".into(), include: vec![0.0] },
            panels: vec![LinePanel { title: String::new(), series: lines }],
        }),
        csv: rows.csv()?,
        code: loss_pick.code(losses),
    }))
}

fn peaks(by_model: &ByModel, score: &str) -> String {
    let one =
        |(model, points): (&String, &Vec<CurvePoint>)| format!("{model} {}", words::number(crate::frame::peak(points)));
    format!("Highest {score} scores: {}.", by_model.iter().map(one).collect::<Vec<_>>().join(", "))
}
