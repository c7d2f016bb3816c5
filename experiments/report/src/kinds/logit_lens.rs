//! The logit lens: which token the model would predict after each layer.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::col;

use super::over_steps::{frames, steps_of};
use super::{IN_FULL, TOP, TableKind, blocks, means};
use crate::chart::{Chart, ColorScale, ScaleKind, Words};
use crate::listing::Listing;
use crate::page::{Block, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{FrameRows, ResultsError, Table};
use crate::words;

/// Frames of a slider.
const FRAMES: usize = 12;
/// Prompts with a figure of their own.
const PROMPTS: i64 = 2;
/// Positions in a figure: words must be readable.
const POSITIONS: i64 = 24;

pub(super) const KIND: TableKind = TableKind {
    name: "logit_lens",
    title: "Logit lens",
    figures: "the most probable next token after each layer, layers × tokens",
    section,
    listing: Some(listing),
};

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    Ok(blocks(figures(table)?, Some(listing(table, TOP)?)))
}

/// The mean probability of the prompt's own next token, layer by layer.
fn listing(table: &Table, _top: usize) -> Result<Listing, ResultsError> {
    let title = format!("{}: probability of the prompt's next token, layer by layer", table.name);
    means::listing(table, Some("layer"), "target_prob", title, |frame| frame.filter(col("target_prob").is_not_null()))
}

/// A figure for each model and each of its first prompts.
fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let mut figures = Vec::new();
    for model in table.models().into_iter().take(IN_FULL) {
        let chosen = steps_of(table, model, vec![Filter::Int("prompt_id", 0), Filter::Int("pos", 0)], FRAMES)?;
        for prompt in 0..PROMPTS {
            figures.extend(figure(table, model, prompt, &chosen)?);
        }
    }
    Ok(figures)
}

fn figure(table: &Table, model: &str, prompt: i64, chosen: &[i64]) -> Result<Option<Figure>, ResultsError> {
    const KEYS: [&str; 3] = ["layer", "pos", "step"];
    const VALUES: [&str; 7] = ["token_id", "token", "top_id", "top_token", "top_prob", "target_token", "target_prob"];
    let mut filters = vec![Filter::Int("prompt_id", prompt)];
    if !chosen.is_empty() {
        filters.push(Filter::Ints("step", chosen.to_vec()));
    }
    let pick = Pick::new(&KEYS, &VALUES, filters).of(model);
    let rows = pick.rows(table)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let frames = frames(chosen);
    let (chart, positions) = chart(&rows, &frames)?;
    Ok(Some(Figure {
        id: words::slug(&format!("{} {model} prompt {prompt}", table.name)),
        title: format!("{model}: logit lens of prompt {prompt}"),
        caption: format!(
            "The most probable next token after each layer (rows, the model's output at the top) at each of the first \
             {} of the prompt (columns): the residual stream through the final layer norm and the unembedding \
             (nostalgebraist 2020). Colour: its probability.",
            words::plural(positions, "position")
        ),
        alt: agreement(&rows, model, frames.last().copied().flatten())?,
        chart: Chart::Words(chart),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// `(step, layer, position)`.
type CellKey = (Option<i64>, i64, i64);

fn chart(rows: &FrameRows<'_>, frames: &[Option<i64>]) -> Result<(Words, usize), ResultsError> {
    let (layers, positions, steps) = (rows.ints("layer")?, rows.ints("pos")?, rows.ints("step")?);
    let (ids, tokens) = (rows.ints("token_id")?, rows.texts("token")?);
    let (top_ids, tops, probabilities) = (rows.ints("top_id")?, rows.texts("top_token")?, rows.floats("top_prob")?);
    let mut cells: BTreeMap<CellKey, (String, Option<f64>)> = BTreeMap::new();
    let mut inputs: BTreeMap<i64, String> = BTreeMap::new();
    for row in 0..rows.len() {
        let Some((layer, position)) = layers[row].zip(positions[row]).filter(|(_, position)| *position < POSITIONS)
        else {
            continue;
        };
        inputs.entry(position).or_insert_with(|| words::token(&tokens[row], ids[row]));
        cells.insert((steps[row], layer, position), (words::token(&tops[row], top_ids[row]), probabilities[row]));
    }
    let layers: Vec<i64> =
        cells.keys().map(|(_, layer, _)| *layer).collect::<BTreeSet<_>>().into_iter().rev().collect();
    let all = frames
        .iter()
        .flat_map(|frame| layers.iter().flat_map(|layer| inputs.keys().map(|position| (*frame, *layer, *position))));
    let cells = all.map(|key| cells.get(&key).cloned().unwrap_or_default()).collect();
    let name = |layer: &i64| if *layer == 0 { "embed".to_owned() } else { layer.to_string() };
    let chart = Words {
        scale: ColorScale { label: "probability".into(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 },
        frames: frames.iter().map(|step| words::step(*step)).collect(),
        shown: frames.len() - 1,
        axes: ("after layer".into(), "token of the prompt".into()),
        rows: layers.iter().map(name).collect(),
        columns: inputs.values().cloned().collect(),
        cells,
    };
    Ok((chart, inputs.len()))
}

/// How probable the prompt's own next token is after the first and after the last layer, in words.
fn agreement(rows: &FrameRows<'_>, model: &str, step: Option<i64>) -> Result<String, ResultsError> {
    let (layers, steps, targets) = (rows.ints("layer")?, rows.ints("step")?, rows.floats("target_prob")?);
    let mean = |layer: Option<i64>| {
        let own =
            (0..rows.len()).filter(|row| layers[*row] == layer && steps[*row] == step).filter_map(|row| targets[row]);
        let values: Vec<f64> = own.collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let (first, last) = (layers.iter().flatten().min().copied(), layers.iter().flatten().max().copied());
    Ok(format!(
        "In {model} at {} the prompt's own next token has a mean probability of {} from the embedding and of {} at \
         the output.",
        words::step(step),
        words::number(mean(first)),
        words::number(mean(last))
    ))
}
