//! Comparisons of models: sizes, seeds, and one measure against another.

use std::collections::{BTreeMap, BTreeSet};

use super::sample;
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::kinds::{compared, definitions, has_steps, means, points, title_of};
use crate::listing::csv_line;
use crate::page::{Block, Code, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, FrameRows, Results, ResultsError, Table, peak};
use crate::words;

/// Curves by model.
type ByModel = BTreeMap<String, Vec<CurvePoint>>;

/// Comparisons of models, where there are several, and of the induction score with the loss.
pub(super) fn blocks(results: &Results) -> Result<Vec<Block>, ResultsError> {
    let mut figures = Vec::new();
    let [heads, losses] = compared(results);
    if let Some(table) = heads.filter(|table| table.parts.len() > 1) {
        let mut figure = highest_heads(table)?;
        figure.iter_mut().for_each(|figure| sample::state(figure, None));
        figures.extend(figure);
    }
    if let Some((heads, losses)) = heads.zip(losses) {
        figures.extend(score_against_loss(heads, losses)?);
    }
    Ok(figures.into_iter().map(Block::Figure).collect())
}

/// The highest head of every score, a line for each model.
fn highest_heads(table: &Table) -> Result<Option<Figure>, ResultsError> {
    let scores = definitions(table)?;
    let read = scores.iter().map(|(score, definition)| highest(table, score, definition));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let Some(((score, definition), (rows, by_model))) = scores.first().zip(read.first()) else {
        return Ok(None);
    };
    let panel = |(score, by_model)| LinePanel { title: title_of(score), series: series(by_model) };
    let panels = scores.iter().map(|(score, _)| score.as_str()).zip(read.iter().map(|(_, by_model)| by_model));
    if !has_steps(by_model.values().map(Vec::as_slice)) {
        return Ok(None);
    }
    Ok(Some(Figure {
        id: words::slug(&format!("across {}", table.name)),
        title: "The highest head of each score, by model".into(),
        caption: "The highest score among all heads of a model, at every checkpoint. Models that differ only in their \
                  seed share a colour. Data and code are those of the first panel."
            .into(),
        alt: peaks(by_model, score),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.common_tokens()? },
            y: Y { label: "highest score".into(), include: vec![0.0] },
            panels: panels.map(panel).collect(),
        }),
        csv: rows.csv()?,
        code: pick(score, definition).code(table),
    }))
}

fn pick(score: &str, definition: &str) -> Pick {
    let filters = vec![Filter::Text("score", score.into()), Filter::Text("definition", definition.into())];
    Pick::new(&["model", "step"], &["value"], filters).max()
}

fn highest<'a>(table: &'a Table, score: &str, definition: &str) -> Result<(FrameRows<'a>, ByModel), ResultsError> {
    let rows = pick(score, definition).rows(table)?;
    let curves = rows.curves(&["model"], "value", None)?;
    let by_model = curves.keys.texts("model")?.into_iter().zip(curves.points).collect();
    Ok((rows, by_model))
}

/// A line for each model, in the order of sizes; seeds of one model share a colour.
fn series(by_model: &ByModel) -> Vec<Series> {
    let mut models: Vec<(&String, &Vec<CurvePoint>)> = by_model.iter().collect();
    models.sort_by(|a, b| words::by_size(a.0, b.0));
    let mut names: Vec<&str> = Vec::new();
    let mut series = Vec::new();
    for (model, curve) in models {
        let name = words::without_seed(model);
        if !names.contains(&name) {
            names.push(name);
        }
        let index = names.iter().position(|other| *other == name).unwrap_or(0);
        series.push(Series { name: model.clone(), tone: Tone::Color(index), points: points(curve), event: None });
    }
    series
}

/// Induction score against loss on repeated tokens, along training.
fn score_against_loss(heads: &Table, losses: &Table) -> Result<Option<Figure>, ResultsError> {
    let scores = definitions(heads)?;
    let Some((score, definition)) = scores.first().filter(|(score, _)| score == "induction") else {
        return Ok(None);
    };
    let (_, by_model) = highest(heads, score, definition)?;
    let of_losses =
        Pick::new(&["model", "step"], &["value"], vec![Filter::Text("metric", "loss_second_half".into())]).mean();
    let rows = of_losses.rows(losses)?;
    let means = means(&rows, &["model"], "value")?;
    let loss_of: ByModel = means.into_iter().map(|(keys, points)| (keys[0].clone(), points)).collect();
    let joined = joined(&by_model, &loss_of);
    let mut lines = series(&by_model);
    for line in &mut lines {
        let own = joined.iter().filter(|row| row.model == line.name);
        line.points = own.map(|row| Point { x: row.score, y: Some(row.loss), band: None }).collect();
    }
    lines.retain(|line| line.points.len() > 1);
    if lines.is_empty() {
        return Ok(None);
    }
    let notes: Vec<Series> = lines.iter().flat_map(|line| path_ends(&joined, &line.name)).collect();
    lines.extend(notes);
    Ok(Some(Figure {
        id: "induction-against-loss".into(),
        title: "Induction score against loss on repeated tokens".into(),
        caption: format!(
            "A line for each model and a point for each checkpoint: x is the score of its highest induction head, y \
             its mean loss on the repeated half of the prompts. Its first and its last step are named. {}.",
            words::plural(joined.iter().map(|row| row.step).collect::<BTreeSet<_>>().len(), "checkpoint")
        ),
        alt: format!("{} {}", peaks(&by_model, score), ends(&joined)),
        chart: Chart::Lines(Lines {
            x: X::Linear { label: format!("highest induction score ({definition})") },
            y: Y { label: "loss on the second half (nats)".into(), include: vec![0.0] },
            panels: vec![LinePanel { title: String::new(), series: lines }],
        }),
        csv: csv(&joined),
        code: join(&pick(score, definition).code(heads), &of_losses.code(losses)),
    }))
}

/// The first and the last checkpoint of a model's path, with their steps.
fn path_ends(joined: &[ScoreAndLoss<'_>], model: &str) -> Vec<Series> {
    let own: Vec<&ScoreAndLoss<'_>> = joined.iter().filter(|row| row.model == model).collect();
    let note = |row: &&ScoreAndLoss<'_>| Series {
        name: words::step(Some(row.step)),
        tone: Tone::Note,
        points: vec![Point { x: row.score, y: Some(row.loss), band: None }],
        event: None,
    };
    own.first().into_iter().chain(own.last()).map(note).collect()
}

/// A checkpoint with both measures.
struct ScoreAndLoss<'a> {
    model: &'a str,
    step: i64,
    score: f64,
    loss: f64,
}

fn joined<'a>(scores: &'a ByModel, losses: &ByModel) -> Vec<ScoreAndLoss<'a>> {
    let of = |model: &'a String, points: &'a Vec<CurvePoint>| {
        let losses: BTreeMap<Option<i64>, Option<f64>> =
            losses.get(model).into_iter().flatten().map(|point| (point.step, point.value)).collect();
        points.iter().filter_map(move |point| {
            let loss = losses.get(&point.step).copied().flatten()?;
            Some(ScoreAndLoss { model, step: point.step?, score: point.value?, loss })
        })
    };
    scores.iter().flat_map(|(model, points)| of(model, points).collect::<Vec<_>>()).collect()
}

fn csv(rows: &[ScoreAndLoss<'_>]) -> String {
    let line = |row: &ScoreAndLoss<'_>| {
        csv_line([row.model, &row.step.to_string(), &row.score.to_string(), &row.loss.to_string()].into_iter())
    };
    let header = csv_line(["model", "step", "score", "loss"].into_iter());
    [header].into_iter().chain(rows.iter().map(line)).collect()
}

/// The code that joins the two frames.
fn join(scores: &Code, losses: &Code) -> Code {
    let (import, both) = ("import polars as pl\n\n", [&scores.python, &losses.python]);
    let [scores_py, losses_py] = both.map(|lines| lines.strip_prefix(import).unwrap_or(lines).to_owned());
    let python = format!(
        "{import}scores = {scores_py}.rename({{\"value\": \"score\"}})\nlosses = {losses_py}.select(\"model\", \
         \"step\", loss=\"value\")\nscores.join(losses, on=[\"model\", \"step\"]).sort(\"model\", \"step\")"
    );
    let (usage, both) = ("use polars::prelude::*;\n\n", [&scores.rust, &losses.rust]);
    let [scores_rs, losses_rs] =
        both.map(|lines| lines.strip_prefix(usage).unwrap_or(lines).replace("    .collect()?", "    "));
    let rust = format!(
        "{usage}let scores = {}\n    .rename([\"value\"], [\"score\"], true);\nlet losses = {}\n    \
         .select([col(\"model\"), col(\"step\"), col(\"value\").alias(\"loss\")]);\nlet on = [col(\"model\"), \
         col(\"step\")];\nscores\n    .join(losses, on.clone(), on, JoinArgs::new(JoinType::Inner))\n    \
         .sort([\"model\", \"step\"], Default::default())\n    .collect()?",
        scores_rs.trim_end(),
        losses_rs.trim_end()
    );
    Code { python, rust }
}

/// The first and the last point of each model, in words.
fn ends(rows: &[ScoreAndLoss<'_>]) -> String {
    let mut models: Vec<&str> = rows.iter().map(|row| row.model).collect();
    models.dedup();
    let one = |model: &&str| {
        let own: Vec<&ScoreAndLoss<'_>> = rows.iter().filter(|row| row.model == *model).collect();
        let (first, last) = (own.first()?, own.last()?);
        let text = |row: &ScoreAndLoss<'_>| {
            format!("score {}, loss {}", words::number(Some(row.score)), words::number(Some(row.loss)))
        };
        Some(format!("{model} goes from {} to {}.", text(first), text(last)))
    };
    models.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

fn peaks(by_model: &ByModel, score: &str) -> String {
    let one = |(model, points): (&String, &Vec<CurvePoint>)| format!("{model} {}", words::number(peak(points)));
    format!("Highest {score} scores: {}.", by_model.iter().map(one).collect::<Vec<_>>().join(", "))
}
