//! How the scores of heads emerge over training.

use std::collections::BTreeSet;

use super::scores::{HeadCurve, Scored, csv_of, peak_of, pick};
use super::{finding, title_of};
use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::kinds::change::mark_in_words;
use crate::kinds::over_steps::{event, points};
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, ResultsError, Table, peak};
use crate::words;

/// Heads in colour.
const COLORED: usize = 5;
/// Heads in grey behind them, where there are few models.
const MUTED: usize = 40;

/// The curves of a model's heads under its first score.
pub(super) fn emergence(table: &Table, model: &str, main: &Scored, full: bool) -> Result<Figure, ResultsError> {
    let series = series(main, full);
    let shown = &main.heads[..main.heads.len().min(COLORED)];
    let Scored { score, definition, .. } = main;
    let (id, name) = (format!("{}-{}-emergence", words::slug(&table.name), words::slug(model)), title_of(score));
    Ok(Figure {
        title: format!("{model}: how {} emerges", name.to_lowercase()),
        caption: format!(
            "{name} score ({definition}) of the {} with the highest peaks over training{}{}. {} Dashed: the score \
             under uniform attention.",
            words::plural(shown.len(), "head"),
            greys(main.heads.len(), full),
            if shown.iter().any(HeadCurve::is_above_uniform) { "" } else { "; none is above uniform attention" },
            mark_in_words(shown.first().map_or(&[], |head| &head.points), "the highest head"),
        ),
        alt: finding(model, main),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.tokens_per_step(model)? },
            y: Y { label: format!("{name} score"), include: vec![0.0] },
            panels: vec![LinePanel { title: String::new(), series }],
        }),
        csv: csv(shown),
        code: pick(model, main, peak_of(shown.iter())).code(table),
        id,
    })
}

/// The first heads in colour, the mark of the first one's change point, and behind them others in grey where `full`
/// asks for them.
fn series(main: &Scored, full: bool) -> Vec<Series> {
    let colored = main.heads.iter().take(COLORED).enumerate().map(|(index, head)| Series {
        name: head.name(),
        tone: Tone::Color(index),
        points: points(&head.points),
        event: if index == 0 { event(&head.points) } else { None },
    });
    let muted = main.heads.iter().skip(COLORED).take(if full { MUTED } else { 0 }).map(|head| Series {
        name: head.name(),
        tone: Tone::Muted,
        points: points(&head.points),
        event: None,
    });
    muted.chain(baseline(main)).chain(colored).collect()
}

/// How the caption mentions the heads in grey.
fn greys(heads: usize, full: bool) -> String {
    match heads.saturating_sub(COLORED) {
        0 => String::new(),
        _ if !full => String::new(),
        others if others <= MUTED => ", the others in grey".into(),
        _ => format!(", the next {MUTED} in grey"),
    }
}

/// The score under uniform attention, which depends only on the prompts.
fn baseline(main: &Scored) -> Option<Series> {
    let (uniform, head) = main.heads.iter().find_map(|head| Some((head.uniform?, head)))?;
    let at = |point: &CurvePoint| Some(Point { x: point.step? as f64, y: Some(uniform), band: None });
    let points = head.points.iter().filter_map(at).collect();
    Some(Series { name: "uniform attention".into(), tone: Tone::Baseline, points, event: None })
}

/// Heads in a panel of another score.
const RANKS: usize = 3;

/// The three highest heads under every other score, in small multiples.
pub(super) fn other_scores(table: &Table, model: &str, others: &[Scored]) -> Result<Figure, ResultsError> {
    let panel = |scored: &Scored| {
        let series = scored.heads.iter().take(RANKS).enumerate().map(|(index, head)| Series {
            name: head.name(),
            tone: Tone::Color(index),
            points: points(&head.points),
            event: None,
        });
        LinePanel { title: title_of(&scored.score), series: baseline(scored).into_iter().chain(series).collect() }
    };
    let lines: Vec<String> = others.iter().map(|scored| finding(model, scored)).collect();
    let definitions: BTreeSet<&str> = others.iter().map(|scored| scored.definition.as_str()).collect();
    Ok(Figure {
        id: format!("{}-{}-others", words::slug(&table.name), words::slug(model)),
        title: format!("{model}: the other scores"),
        caption: format!(
            "The three heads with the highest peaks under each score ({}); dashed, the score under uniform attention. \
             A head has one colour in all figures.",
            definitions.into_iter().collect::<Vec<_>>().join(", ")
        ),
        alt: lines.join(" "),
        chart: Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: table.tokens_per_step(model)? },
            y: Y { label: "score".into(), include: vec![0.0] },
            panels: others.iter().map(panel).collect(),
        }),
        csv: csv_of_scores(others, RANKS),
        code: pick_of_scores(model, others, RANKS as u32).code(table),
    })
}

/// The highest heads of several scores.
fn pick_of_scores(model: &str, scores: &[Scored], most: u32) -> Pick {
    let texts = |text: fn(&Scored) -> &String| {
        let distinct: BTreeSet<&String> = scores.iter().map(text).collect();
        distinct.into_iter().cloned().collect()
    };
    let filters = vec![
        Filter::Texts("score", texts(|scored| &scored.score)),
        Filter::Texts("definition", texts(|scored| &scored.definition)),
        Filter::Top { within: "score", by: &["layer", "head"], value: "value", most },
    ];
    Pick::new(&["score", "layer", "head", "step"], &["value"], filters).of(model)
}

/// The rows that [`pick`] gives, of curves that were read already.
fn csv(heads: &[HeadCurve]) -> String {
    let mut sorted: Vec<&HeadCurve> = heads.iter().collect();
    sorted.sort_by_key(|head| (head.layer, head.head));
    csv_of(sorted.into_iter())
}

fn csv_of_scores(scores: &[Scored], top: usize) -> String {
    let mut text = String::from("score,");
    for (index, scored) in scores.iter().enumerate() {
        let defined = scored.heads.iter().filter(|head| peak(&head.points).is_some()).count();
        let rows = csv(&scored.heads[..defined.min(top)]);
        let mut lines = rows.lines();
        let header = lines.next().unwrap_or_default();
        if index == 0 {
            text.push_str(header);
            text.push('\n');
        }
        for line in lines {
            text.push_str(&format!("{},{line}\n", scored.score));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{definitions, scored};
    use super::*;
    use crate::chart::Event;
    use crate::kinds::head_scores::{map, section};
    use crate::page::Block;
    use crate::results::Results;
    use crate::testing::{PLANTED, Scratch, head_scores, suite_steps};

    fn figures(results: &Results) -> Vec<Figure> {
        let blocks = section(&results.tables["head_scores"]).expect("figures");
        blocks
            .into_iter()
            .filter_map(|block| if let Block::Figure(figure) = block { Some(figure) } else { None })
            .collect()
    }

    #[test]
    fn the_planted_step_is_marked_and_the_map_has_every_head() {
        let scratch = Scratch::new("figure-heads");
        let steps = suite_steps();
        head_scores(&scratch.0, "pythia-70m", (6, 8), &steps);
        let results = Results::open(&scratch.0).expect("results");
        let figures = figures(&results);
        let [emergence, map] = figures.as_slice() else { panic!("{figures:?}") };
        let Chart::Lines(lines) = &emergence.chart else { panic!("{emergence:?}") };
        assert_eq!(lines.x, X::Steps { tokens_per_step: Some(2048.0) });
        let first = lines.panels[0].series.iter().find(|series| series.tone == Tone::Color(0)).expect("a first head");
        let at = PLANTED.2 as f64;
        assert_eq!((first.name.as_str(), first.event), ("L2H3", Some(Event { at, interval: (at, at) })));
        assert!(
            emergence.alt.contains("highest in head L2H3") && emergence.alt.contains("change point at step 64"),
            "{}",
            emergence.alt
        );
        let Chart::Map(map) = &map.chart else { panic!("{map:?}") };
        assert_eq!((map.panels[0].rows.len(), map.panels[0].columns.len()), (48, steps.len()));
        let planted = (PLANTED.0 * 8 + PLANTED.1) as usize * steps.len();
        assert_eq!(
            map.panels[0].values[planted..][..9],
            [Some(0.05), Some(0.05), Some(0.05), Some(0.05), Some(0.05), Some(0.05), Some(0.05), Some(0.9), Some(0.9)]
        );
        assert_eq!(map.panels[0].values[0], None);
    }

    /// The lines of Polars under a figure give the data beside it.
    #[test]
    fn the_data_are_those_of_the_lines_of_polars() {
        let scratch = Scratch::new("figure-lines");
        head_scores(&scratch.0, "m", (3, 8), &[0, 1, 2, 4, 8, 16, 32, 64, 128]);
        let results = Results::open(&scratch.0).expect("results");
        let table = &results.tables["head_scores"];
        let main = &scored(table, "m", &definitions(table).expect("scores")).expect("curves")[0];
        let values = |text: &str| -> Vec<Vec<Option<f64>>> {
            text.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse().ok()).collect()).collect()
        };
        for (figure, least) in [
            (emergence(table, "m", main, true).expect("a figure"), peak_of(main.heads[..COLORED].iter())),
            (map::figure(table, "m", main, (100_000, (0.0, 1.0))), None),
        ] {
            let rows = pick("m", main, least).rows(table).expect("rows");
            // Ties at the bound may bring more rows than the figure has, never fewer.
            let (have, all) = (values(&figure.csv), values(&rows.csv().expect("csv")));
            assert!(!have.is_empty() && have.iter().all(|row| all.contains(row)), "{}", figure.id);
            assert_eq!(figure.code, pick("m", main, least).code(table));
        }
        assert_eq!(
            values(&map::figure(table, "m", main, (100_000, (0.0, 1.0))).csv),
            values(&pick("m", main, None).rows(table).expect("rows").csv().expect("csv"))
        );
    }

    #[test]
    fn a_model_without_steps_has_a_map_and_no_curve() {
        let scratch = Scratch::new("figure-single");
        let own = vec![
            crate::testing::ints("layer", vec![Some(0)]),
            crate::testing::ints("head", vec![Some(0)]),
            crate::testing::texts("score", vec!["induction".into()]),
            crate::testing::texts("definition", vec!["strict".into()]),
            crate::testing::floats("value", vec![Some(0.5)]),
            crate::testing::floats("uniform", vec![None]),
        ];
        crate::testing::part(&scratch.0, "head_scores", "head_scores", "single", None, own);
        let figures = figures(&Results::open(&scratch.0).expect("results"));
        assert_eq!(figures.len(), 1);
        let Chart::Map(map) = &figures[0].chart else { panic!("{figures:?}") };
        assert_eq!(map.panels[0].columns, ["model"]);
    }
}
