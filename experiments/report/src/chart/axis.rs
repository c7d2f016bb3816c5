//! The axes of a panel: ticks, their labels and the rules behind the curves.

use super::curve::PanelAxes;
use super::frame::{AXIS, Anchor, Area, RULE, SMALL, uncrowded, word};
use super::scale::{Tick, XAxis};
use super::svg::Svg;
use super::text;

/// The sides of a panel at which something is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    /// Whether no panel is at its left.
    pub first: bool,
    /// Whether the scale is written at its left.
    pub scale: bool,
    /// Whether no panel is below.
    pub lowest: bool,
}

/// Both axes of a panel.
pub(crate) fn draw(svg: &mut Svg, axes: &PanelAxes, area: &Area, sides: Sides) {
    for Tick { value, label } in axes.y.ticks() {
        let y = axes.y.at(value);
        let zero = value == 0.0 && y < area.bottom() - 12.0;
        svg.rule((area.x, y), (area.right(), y), if zero { 0.3 } else { RULE });
        if sides.scale {
            word(svg, (area.x - 6.0, y + 3.5), Anchor::End, &label, f64::INFINITY);
        }
    }
    floor(svg, &axes.x, area);
    let ticks = axes.x.ticks();
    let places: Vec<f64> = ticks.iter().map(|tick| axes.x.at(tick.value)).collect();
    svg.uprights(&places, (area.y, area.bottom()), RULE * 0.6);
    svg.uprights(&places, (area.bottom(), area.bottom() + 4.5), AXIS);
    if sides.lowest {
        let unit = if matches!(axes.x, XAxis::Steps(_)) && sides.first { "step" } else { "" };
        let favoured = ticks.len().saturating_sub(1);
        labels(svg, &axes.x, area, &ticks, LabelRow { baseline: area.bottom() + 15.0, favoured, unit });
    }
}

/// The line below an area, with the break after step 0 and the ticks without labels.
fn floor(svg: &mut Svg, x: &XAxis, area: &Area) {
    let floor = area.bottom();
    let gap = match x {
        XAxis::Steps(steps) => steps.gap(),
        XAxis::Linear(_) => None,
    };
    match gap {
        Some(gap) => {
            svg.rule((area.x, floor), (gap - 2.0, floor), AXIS);
            svg.rule((gap + 2.0, floor), (area.right(), floor), AXIS);
            for edge in [gap - 2.0, gap + 2.0] {
                svg.rule((edge - 1.5, floor + 3.5), (edge + 1.5, floor - 3.5), AXIS);
            }
        }
        None => svg.rule((area.x, floor), (area.right(), floor), AXIS),
    }
    let minor: Vec<f64> = x.minor().into_iter().map(|value| x.at(value)).collect();
    svg.uprights(&minor, (floor, floor + 2.5), AXIS * 0.6);
}

/// The axis on top: round numbers of tokens, and those seen at the end of the axis, whose label takes precedence.
pub(crate) fn draw_tokens(svg: &mut Svg, x: &XAxis, area: &Area, (tokens, baseline): (f64, f64), first: bool) {
    let ticks = x.token_ticks(tokens);
    let places: Vec<f64> = ticks.iter().map(|tick| x.at(tick.value)).collect();
    svg.uprights(&places, (area.y - 3.5, area.y), AXIS);
    let unit = if first { "tokens" } else { "" };
    labels(svg, x, area, &ticks, LabelRow { baseline, favoured: ticks.len().saturating_sub(1), unit });
}

/// A row of labels.
struct LabelRow {
    baseline: f64,
    /// The tick whose label is kept where not all have room.
    favoured: usize,
    /// What is counted, written before the first label.
    unit: &'static str,
}

fn labels(svg: &mut Svg, x: &XAxis, area: &Area, ticks: &[Tick], row: LabelRow) {
    let half: Vec<f64> = ticks.iter().map(|tick| text::width(&tick.label, SMALL) / 2.0).collect();
    // Labels at the ends are moved inside, because they could run into those of the next panel.
    let inside = |(tick, half): (&Tick, &f64)| x.at(tick.value).min(area.right() + 4.0 - half).max(area.x - 4.0 + half);
    let places: Vec<f64> = ticks.iter().zip(&half).map(inside).collect();
    let ranks: Vec<usize> = (0..ticks.len()).map(|index| usize::from(index != row.favoured)).collect();
    let spaced: Vec<f64> = half.iter().map(|half| half + 3.0).collect();
    for index in uncrowded(&places, &spaced, &ranks) {
        word(svg, (places[index], row.baseline), Anchor::Middle, &ticks[index].label, f64::INFINITY);
    }
    if !row.unit.is_empty() {
        let left = places.first().zip(half.first()).map_or(area.x, |(place, half)| place - half);
        word(svg, (left.min(area.x) - 6.0, row.baseline), Anchor::End, row.unit, f64::INFINITY);
    }
}
