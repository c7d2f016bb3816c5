//! Losses on repeated random tokens.

use super::change::mark_in_words;
use super::means::{self, KeyedCurve, ends, means};
use super::over_steps::{event, has_steps, points};
use super::{IN_FULL, TOP, TableKind, blocks};
use crate::chart::{Chart, LinePanel, Lines, Series, Tone, X, Y};
use crate::listing::Listing;
use crate::page::{Block, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{ResultsError, Table};
use crate::words;

pub(super) const KIND: TableKind = TableKind {
    name: "induction_loss",
    title: "Loss on repeated random tokens",
    figures: "losses with intervals, their share of right answers",
    section,
    listing: Some(listing),
};

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    let accuracy = accuracy(table)?;
    Ok(blocks(halves(table)?.into_iter().chain(accuracy).collect(), Some(listing(table, TOP)?)))
}

/// Means over prompts of every metric.
fn listing(table: &Table, _top: usize) -> Result<Listing, ResultsError> {
    let title = format!("{}: losses on repeated random tokens", table.name);
    means::listing(table, Some("metric"), "value", title, |frame| frame)
}

/// Loss on both halves.
fn halves(table: &Table) -> Result<Option<Figure>, ResultsError> {
    let pick = Pick::new(&["model", "metric", "step"], &["value"], vec![]).mean();
    let rows = pick.rows(table)?;
    let curves = means(&rows, &["model", "metric"], "value")?;
    let mut panels: Vec<LinePanel> = table.models().into_iter().map(|model| panel(model, &curves)).collect();
    if let [only] = panels.as_mut_slice() {
        only.title.clear();
    }
    if !has_steps(curves.iter().map(|(_, points)| points.as_slice())) {
        return Ok(None);
    }
    let second: Vec<&KeyedCurve> = curves.iter().filter(|(keys, _)| keys[1] == "loss_second_half").collect();
    let mark = |(keys, points): &&KeyedCurve| match second.len() {
        1 => format!(" {}", mark_in_words(points, "the second half")),
        _ => format!(" {}", mark_in_words(points, &format!("the second half in {}", keys[0]))),
    };
    // With many models the marks alone tell where there is a change.
    let marks: Vec<String> = second.iter().filter(|_| second.len() <= IN_FULL).map(mark).collect();
    Ok(Some(Figure {
        id: format!("{}-halves", words::slug(&table.name)),
        title: "Loss on new and on repeated tokens".into(),
        caption: format!(
            "Mean loss (nats per token) over prompts [BOS] R R on the first R, which is random, and on the second, \
             which repeats it; bands are 1.96 standard errors over prompts on each side.{}",
            marks.join("")
        ),
        alt: ends(curves.iter().filter(|(keys, _)| keys[1] == "loss_second_half"), "Loss on repeated tokens"),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.common_tokens()? },
            y: Y { label: "loss (nats)".into(), include: vec![0.0] },
            panels,
        }),
        csv: rows.csv()?,
        code: pick.code(table),
    }))
}

/// Both halves of one model, with the change point of the second.
fn panel(model: &str, curves: &[KeyedCurve]) -> LinePanel {
    const NAMES: [(&str, &str); 2] =
        [("loss_first_half", "first half (new tokens)"), ("loss_second_half", "second half (repeated)")];
    let series = NAMES.iter().enumerate().filter_map(|(index, (metric, name))| {
        let (_, points) = curves.iter().find(|(keys, _)| keys[0] == model && keys[1] == *metric)?;
        Some(Series {
            name: (*name).into(),
            tone: Tone::Color(index),
            points: self::points(points),
            event: event(points).filter(|_| index == 1),
        })
    });
    LinePanel { title: model.to_owned(), series: series.collect() }
}

/// The share of tokens of the second half that are predicted, a line for each model.
fn accuracy(table: &Table) -> Result<Option<Figure>, ResultsError> {
    const METRIC: &str = "second_half_accuracy";
    let pick = Pick::new(&["model", "step"], &["value"], vec![Filter::Text("metric", METRIC.into())]).mean();
    let rows = pick.rows(table)?;
    let words = [METRIC, "Accuracy on the second half", "accuracy"];
    means::figure(table, &pick, &rows, "value", words, vec![0.0, 1.0])
}
