//! Attention patterns of chosen prompts.

use std::collections::{BTreeMap, BTreeSet};

use super::over_steps::{frames, steps_of};
use super::{IN_FULL, TableKind, blocks};
use crate::chart::{AttendedPrompt, Attention, Chart};
use crate::page::{Block, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{FrameRows, ResultsError, Table};
use crate::words;

/// Frames of a slider.
const FRAMES: usize = 6;
/// Prompts in a viewer.
const PROMPTS: i64 = 3;
/// Weights in a page; each takes a byte, and base64 adds a third.
const WEIGHTS: usize = 300_000;

/// Whole patterns have no short answer: what heads attend to is summarised by their scores.
pub(super) const KIND: TableKind = TableKind {
    name: "attention_patterns",
    title: "Attention patterns",
    figures: "a viewer: prompts, thumbnails of heads, one head with its tokens, at first the highest induction head",
    section,
    listing: None,
};

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    Ok(blocks(figures(table)?, None))
}

/// A viewer for each model.
fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let models = table.models();
    let share = WEIGHTS / models.len().clamp(1, IN_FULL);
    let figures = models.into_iter().take(IN_FULL).map(|model| figure(table, model, share));
    Ok(figures.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn figure(table: &Table, model: &str, share: usize) -> Result<Option<Figure>, ResultsError> {
    let first = ["prompt_id", "key", "query"].map(|column| Filter::Int(column, 0)).to_vec();
    let chosen = steps_of(table, model, first, FRAMES)?;
    let pick = pick(model, &chosen, (0..PROMPTS).collect());
    let rows = pick.rows(table)?;
    let frames = frames(&chosen);
    let Some(patterns) = Patterns::of(&rows)? else {
        return Ok(None);
    };
    let (mut attention, left_out) = patterns.chart(&frames, share);
    let highest = patterns.highest(frames.last().copied().flatten());
    let open = highest.map_or(String::new(), |at| {
        let (layer, head) = (patterns.layers[at / patterns.heads.len()], patterns.heads[at % patterns.heads.len()]);
        let head = words::head(layer, head);
        format!(" The viewer opens on {head}, which attends most to what followed a token before.")
    });
    attention.open = highest.unwrap_or(0);
    let Some(first) = attention.prompts.first() else {
        return Ok(None);
    };
    let (layers, heads, tokens) = (attention.layers, attention.heads, first.tokens.len());
    let missing = if left_out > 0 {
        format!(" {} did not fit into the page; the table has them.", words::plural(left_out, "prompt"))
    } else {
        String::new()
    };
    Ok(Some(Figure {
        id: words::slug(&format!("{} {model}", table.name)),
        title: format!("{model}: attention patterns"),
        caption: format!(
            "Attention patterns of each head: queries from top to bottom, keys from left to right, darker for more \
             weight. Each row of thumbnails is a layer.{open}{missing}"
        ),
        alt: format!(
            "Attention patterns of {} of {} of {model} on a prompt of {}.",
            words::plural(layers, "layer"),
            words::plural(heads, "head"),
            words::plural(tokens, "token")
        ),
        chart: Chart::Attention(attention),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

fn pick(model: &str, chosen: &[i64], prompts: Vec<i64>) -> Pick {
    const KEYS: [&str; 6] = ["prompt_id", "step", "layer", "head", "query", "key"];
    const VALUES: [&str; 4] = ["key_id", "query_token", "key_token", "weight"];
    let mut filters = vec![Filter::Ints("prompt_id", prompts)];
    if !chosen.is_empty() {
        filters.push(Filter::Ints("step", chosen.to_vec()));
    }
    Pick::new(&KEYS, &VALUES, filters).of(model)
}

/// `(step, layer, head, query, key)`.
type PatternIndex = (Option<i64>, i64, i64, i64, i64);

/// The patterns of a table, prompt by prompt.
struct Patterns {
    layers: Vec<i64>,
    heads: Vec<i64>,
    prompts: BTreeMap<i64, PromptPatterns>,
}

#[derive(Default)]
struct PromptPatterns {
    tokens: BTreeMap<i64, String>,
    weights: BTreeMap<PatternIndex, u8>,
}

impl Patterns {
    fn of(rows: &FrameRows<'_>) -> Result<Option<Self>, ResultsError> {
        let (prompts, steps, layers, heads) =
            (rows.ints("prompt_id")?, rows.ints("step")?, rows.ints("layer")?, rows.ints("head")?);
        let (queries, keys, weights) = (rows.ints("query")?, rows.ints("key")?, rows.floats("weight")?);
        let (ids, tokens) = (rows.ints("key_id")?, rows.texts("key_token")?);
        let mut by_prompt: BTreeMap<i64, PromptPatterns> = BTreeMap::new();
        for row in 0..rows.len() {
            let place = || Some((steps[row], layers[row]?, heads[row]?, queries[row]?, keys[row]?));
            let Some((entry, prompt)) = place().zip(prompts[row]) else { continue };
            let prompt = by_prompt.entry(prompt).or_default();
            prompt.tokens.entry(entry.4).or_insert_with(|| words::token(&tokens[row], ids[row]));
            // A weight is between 0 and 1; an undefined one is drawn as none.
            prompt.weights.insert(entry, (weights[row].unwrap_or(0.0).clamp(0.0, 1.0) * 255.0).round() as u8);
        }
        let sorted =
            |numbers: &[Option<i64>]| numbers.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let patterns = Self { layers: sorted(&layers), heads: sorted(&heads), prompts: by_prompt };
        Ok((!patterns.prompts.is_empty()).then_some(patterns))
    }

    /// The head that attends most, on the first prompt at a step, from each token to the one behind an earlier
    /// occurrence of it: `layer × heads + head`, counted in the table's order. None if no token occurs twice.
    fn highest(&self, step: Option<i64>) -> Option<usize> {
        let prompt = self.prompts.values().next()?;
        let token = |position: i64| prompt.tokens.get(&position);
        let after = |query: i64| -> Vec<(i64, i64)> {
            let same = |key: &i64| *key < query && token(*key) == token(query);
            prompt.tokens.keys().copied().filter(same).map(|key| (query, key + 1)).collect()
        };
        let pairs: Vec<(i64, i64)> = prompt.tokens.keys().flat_map(|query| after(*query)).collect();
        let of = |layer: i64, head: i64| -> u64 {
            let weight = |(query, key): &(i64, i64)| prompt.weights.get(&(step, layer, head, *query, *key));
            pairs.iter().filter_map(weight).map(|weight| u64::from(*weight)).sum()
        };
        let all = self.layers.iter().flat_map(|layer| self.heads.iter().map(|head| of(*layer, *head)));
        // Of equal heads the first.
        let best = all.enumerate().max_by_key(|(at, sum)| (*sum, std::cmp::Reverse(*at)));
        best.filter(|(_, sum)| *sum > 0).map(|(at, _)| at)
    }

    /// The chart of as many prompts as fit into `share` weights, and how many did not.
    fn chart(&self, frames: &[Option<i64>], share: usize) -> (Attention, usize) {
        let mut room = share;
        let mut prompts = Vec::new();
        for prompt in self.prompts.values() {
            let n = prompt.tokens.len();
            let size = frames.len() * self.layers.len() * self.heads.len() * n * n;
            if size <= room {
                room -= size;
                prompts.push(self.attended(prompt, frames));
            }
        }
        let left_out = self.prompts.len() - prompts.len();
        let frames: Vec<String> = frames.iter().map(|step| words::step(*step)).collect();
        let shown = frames.len() - 1;
        (Attention { frames, shown, layers: self.layers.len(), heads: self.heads.len(), open: 0, prompts }, left_out)
    }

    fn attended(&self, prompt: &PromptPatterns, frames: &[Option<i64>]) -> AttendedPrompt {
        let positions: Vec<i64> = prompt.tokens.keys().copied().collect();
        let mut patterns = Vec::new();
        for (frame, layer, head) in frames.iter().flat_map(|frame| {
            self.layers.iter().flat_map(move |layer| self.heads.iter().map(move |head| (*frame, *layer, *head)))
        }) {
            for query in &positions {
                patterns.extend(
                    positions
                        .iter()
                        .map(|key| prompt.weights.get(&(frame, layer, head, *query, *key)).copied().unwrap_or(0)),
                );
            }
        }
        AttendedPrompt { tokens: prompt.tokens.values().cloned().collect(), patterns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, floats, ints, part, texts};

    #[test]
    fn the_viewer_opens_on_the_head_that_repeats() {
        let scratch = Scratch::new("attention-open");
        // a b a: from the second a, head 1 of layer 0 attends to b.
        let cells: Vec<(i64, i64, i64)> = (0..2)
            .flat_map(|head| (0..3).flat_map(move |query| (0..=query).map(move |key| (head, query, key))))
            .collect();
        let weight = |cell: &(i64, i64, i64)| if matches!(cell, (1, 2, 1) | (0, 2, 0)) { 0.9 } else { 0.05 };
        let token = |at: i64| if at == 1 { "b" } else { "a" }.to_owned();
        let own = vec![
            ints("prompt_id", vec![Some(0); cells.len()]),
            ints("layer", vec![Some(0); cells.len()]),
            ints("head", cells.iter().map(|cell| Some(cell.0)).collect()),
            ints("query", cells.iter().map(|cell| Some(cell.1)).collect()),
            ints("key", cells.iter().map(|cell| Some(cell.2)).collect()),
            ints("key_id", cells.iter().map(|cell| Some(cell.2 % 2)).collect()),
            texts("query_token", cells.iter().map(|cell| token(cell.1)).collect()),
            texts("key_token", cells.iter().map(|cell| token(cell.2)).collect()),
            floats("weight", cells.iter().map(|cell| Some(weight(cell))).collect()),
        ];
        part(&scratch.0, "attention_patterns", "attention_patterns", "m", Some(0), own);
        let results = Results::open(&scratch.0).expect("results");
        let figures = figures(&results.tables["attention_patterns"]).expect("figures");
        let Chart::Attention(attention) = &figures[0].chart else { panic!("{figures:?}") };
        assert_eq!(attention.open, 1);
        assert!(figures[0].caption.contains("opens on L0H1,"), "{}", figures[0].caption);
    }
}
