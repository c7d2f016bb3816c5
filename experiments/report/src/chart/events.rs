//! Events on curves: thin marks with their intervals, and their steps written in a lane above the panel.

use super::color::series_color;
use super::frame::{Anchor, Area, SMALL, word};
use super::numbers::brief;
use super::scale::{XAxis, drawable};
use super::svg::Svg;
use super::{Event, LinePanel, Tone, X, text};

/// The height of a row of the lane.
pub(crate) const ROW: f64 = 11.0;
const MOST_ROWS: usize = 5;
/// How far a flag may reach into the gap beside its panel.
const OVERHANG: f64 = 8.0;

/// A mark in its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    x: f64,
    interval: (f64, f64),
    tone: Tone,
    label: String,
    /// Where its label is; none where there is no room.
    flag: Option<Flag>,
}

/// The place of a label that hangs at its mark's line like a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Flag {
    /// The row of the lane, the lowest being 0.
    row: usize,
    /// The ends of the label.
    start: f64,
    end: f64,
}

impl Flag {
    fn covers(&self, x: f64) -> bool {
        x > self.start - 1.0 && x < self.end + 1.0
    }
}

/// How many rows the lane needs for these marks.
pub(crate) fn rows(marks: &[Mark]) -> usize {
    marks.iter().map(|mark| mark.flag.map_or(0, |flag| flag.row + 1)).max().unwrap_or(0)
}

/// The marks of a panel's curves, without those of muted curves. Labels neither touch each other nor are crossed by the
/// line of another mark.
pub(crate) fn marks(panel: &LinePanel, kind: &X, x: &XAxis, area: (f64, f64)) -> Vec<Mark> {
    let named = panel.series.iter().filter(|series| series.tone != Tone::Muted);
    let mut marks: Vec<Mark> = named.filter_map(|series| mark(series.event?, series.tone, kind, x)).collect();
    // From the right, so that the flags of neighbouring marks rise to the left.
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|a, b| marks[*b].x.total_cmp(&marks[*a].x));
    for (place, index) in order.iter().enumerate() {
        let before: Vec<&Mark> = order[..place].iter().map(|index| &marks[*index]).collect();
        marks[*index].flag = flag(&marks[*index], &before, area.1);
    }
    marks
}

fn mark(event: Event, tone: Tone, kind: &X, x: &XAxis) -> Option<Mark> {
    let at = drawable(event.at)?;
    let place = |value: f64| x.at(if value.is_nan() { at } else { value });
    // A step is written out; a number too large to be a step is shortened.
    let label = match kind {
        X::Steps { .. } if at.abs() < 1e9 => format!("{at:.0}"),
        X::Steps { .. } | X::Linear { .. } => brief(at),
    };
    Some(Mark { x: x.at(at), interval: (place(event.interval.0), place(event.interval.1)), tone, label, flag: None })
}

/// The flag in the lowest row with room for it: right of its line, or left of it at the panel's end. Marks at the same
/// place share a flag.
fn flag(mark: &Mark, before: &[&Mark], right: f64) -> Option<Flag> {
    if before.iter().any(|other| other.label == mark.label && (other.x - mark.x).abs() < 0.5) {
        return None;
    }
    let width = text::width(&mark.label, SMALL) * 0.95;
    let start = if mark.x + width + 3.0 <= right + OVERHANG { mark.x + 3.0 } else { mark.x - 3.0 - width };
    let free = |flag: &Flag| {
        before.iter().filter_map(|other| Some((other.x, other.flag?))).all(|(x, other)| {
            let apart = other.row != flag.row || other.end + 3.0 <= flag.start || flag.end + 3.0 <= other.start;
            apart && !(other.row >= flag.row && flag.covers(x)) && !(other.row <= flag.row && other.covers(mark.x))
        })
    };
    (0..MOST_ROWS).map(|row| Flag { row, start, end: start + width }).find(free)
}

/// Draws the marks across a panel and into the lane above it.
pub(crate) fn draw(svg: &mut Svg, marks: &[Mark], area: &Area) {
    // The more intervals there are, the fainter each: many at one place are still translucent.
    let strength = 0.13 / (marks.len().max(1) as f64).sqrt();
    for mark in marks {
        svg.group("event");
        let color = match mark.tone {
            Tone::Color(index) | Tone::Reference(index) => series_color(index),
            Tone::Muted | Tone::Baseline | Tone::Note => "currentColor",
        };
        let (low, high) = (mark.interval.0.min(mark.interval.1), mark.interval.0.max(mark.interval.1));
        if high - low > 0.5 {
            let tag = svg.tag("rect").at(low, area.y).num("width", high - low).num("height", area.h);
            tag.attr("fill", color).num("fill-opacity", strength).empty();
        }
        let top = area.y - mark.flag.map_or(0.0, |flag| (flag.row + 1) as f64 * ROW);
        let tag = svg.tag("line").num("x1", mark.x).num("y1", top).num("x2", mark.x).num("y2", area.bottom());
        tag.attr("stroke", color).num("stroke-width", 1.0).num("stroke-opacity", 0.85).empty();
        if let Some(Flag { row, start, .. }) = mark.flag {
            word(svg, (start, area.y - row as f64 * ROW - 2.5), Anchor::Start, &mark.label, f64::INFINITY);
        }
        svg.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Series;

    fn placed(steps: &[f64]) -> Vec<Mark> {
        let series = |(index, at): (usize, &f64)| Series {
            name: String::new(),
            tone: Tone::Color(index),
            points: vec![],
            event: Some(Event { at: *at, interval: (at / 2.0, at * 2.0) }),
        };
        let panel = LinePanel { title: String::new(), series: steps.iter().enumerate().map(series).collect() };
        let kind = X::Steps { tokens_per_step: None };
        let axis = XAxis::around(&kind, [0.0, 1.0, 100_000.0], 5).between(0.0, 600.0);
        marks(&panel, &kind, &axis, (0.0, 600.0))
    }

    #[test]
    fn flags_of_near_events_make_stairs_that_no_line_crosses() {
        let marks = placed(&[512.0, 560.0, 600.0, 10_000.0, 100_000.0]);
        let rows: Vec<usize> = marks.iter().map(|mark| mark.flag.unwrap().row).collect();
        assert_eq!(rows, [2, 1, 0, 0, 0]);
        for (index, mark) in marks.iter().enumerate() {
            let flag = mark.flag.unwrap();
            assert!(flag.start >= 0.0 && flag.end <= 600.0 + OVERHANG, "{mark:?}");
            for (_, other) in marks.iter().enumerate().filter(|(i, _)| *i != index) {
                assert!(other.flag.unwrap().row < flag.row || !flag.covers(other.x), "{other:?} crosses {mark:?}");
            }
        }
    }

    #[test]
    fn a_crowd_loses_labels_but_no_marks() {
        let marks = placed(&[512.0; 30]);
        assert_eq!(marks.len(), 30);
        assert_eq!(marks.iter().filter(|mark| mark.flag.is_some()).count(), 1);
        assert!(placed(&[f64::NAN]).is_empty());
    }
}
