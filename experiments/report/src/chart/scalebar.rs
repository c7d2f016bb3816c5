//! What is above charts whose colours are values: the colour bar and the name of the frame that is shown.

use super::color::{Palette, ends};
use super::frame::{AXIS, Anchor, QUIET, SMALL, WIDTH, uncrowded, word};
use super::numbers::brief;
use super::scale::{LinearAxis, Tick};
use super::svg::Svg;
use super::{ColorScale, text};
use serde_json::{Value, json};

/// The height of the bar with its numbers.
pub(crate) const HEIGHT: f64 = 36.0;
const LENGTH: f64 = 180.0;
const LABEL: f64 = 300.0;

/// What a bar is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColorBar<'a> {
    /// The document's id, with which the bar's own begins.
    pub id: &'a str,
    /// The words at it.
    pub label: &'a str,
    /// The values of its ends.
    pub ends: (f64, f64),
    pub palette: &'a Palette,
    /// Whether some cell has no value, which the bar then explains.
    pub missing: bool,
}

/// Draws the bar from `x` on, at the picture's upper side.
pub(crate) fn draw(svg: &mut Svg, bar: &ColorBar<'_>, x: f64) {
    let label = text::fitted(bar.label, 11.0, LABEL);
    let tag = svg.tag("text").at(x, 16.0).num("font-size", 11.0).attr("fill", "currentColor");
    tag.label(&label, &text::shown(bar.label));
    let left = x + if label.is_empty() { 8.0 } else { text::width(&label, 11.0) + 14.0 };
    gradient(svg, bar);
    let tag = svg.tag("rect").at(left, 7.0).num("width", LENGTH).num("height", 10.0);
    tag.attr("fill", &format!("url(#{}-scale)", bar.id)).empty();
    ticks(svg, bar.ends, left);
    if bar.missing {
        let tag = svg.tag("rect").at(left + LENGTH + 22.0, 7.0).num("width", 10.0).num("height", 10.0);
        let tag = tag.attr("fill", &bar.palette.css(0)).attr("stroke", "currentColor");
        tag.num("stroke-opacity", AXIS).num("stroke-width", 0.5).empty();
        word(svg, (left + LENGTH + 37.0, 15.5), Anchor::Start, "no value", f64::INFINITY);
    }
}

fn gradient(svg: &mut Svg, bar: &ColorBar<'_>) {
    const PARTS: u8 = 40;
    svg.tag("linearGradient").attr("id", &format!("{}-scale", bar.id)).open();
    for part in 0..=PARTS {
        let place = f64::from(part) / f64::from(PARTS);
        let color = bar.palette.css(1 + (place * 254.0).round() as u8);
        svg.tag("stop").attr("offset", &format!("{}%", place * 100.0)).attr("stop-color", &color).empty();
    }
    svg.end();
}

/// Ticks at both ends, which say what the colours span, and at round values between them.
fn ticks(svg: &mut Svg, ends: (f64, f64), left: f64) {
    let axis = LinearAxis::tight([ends.0, ends.1], 4).between(left, left + LENGTH);
    let between =
        axis.ticks().into_iter().filter(|tick| axis.at(tick.value) > left && axis.at(tick.value) < left + LENGTH);
    let outer = [ends.0, ends.1].map(|value| Tick { value, label: brief(value) });
    let ticks: Vec<Tick> = outer.into_iter().chain(between).collect();
    let ranks: Vec<usize> = (0..ticks.len()).map(|index| usize::from(index > 1)).collect();
    let places: Vec<f64> = ticks.iter().map(|tick| axis.at(tick.value)).collect();
    let half: Vec<f64> = ticks.iter().map(|tick| text::width(&tick.label, SMALL) / 2.0 + 4.0).collect();
    for index in uncrowded(&places, &half, &ranks) {
        svg.rule((places[index], 17.0), (places[index], 20.0), AXIS);
        word(svg, (places[index], 30.0), Anchor::Middle, &ticks[index].label, f64::INFINITY);
    }
}

/// Writes the name of the frame that is shown, at the right. The page's script keeps it up to date by its id,
/// `ID-frame`.
pub(crate) fn frame_name(svg: &mut Svg, id: &str, frames: &[String], shown: usize) {
    if let (Some(name), true) = (frames.get(shown), frames.len() > 1) {
        let tag = svg.tag("text").at(WIDTH - 12.0, 16.0).attr("id", &format!("{id}-frame")).attr("class", "frame");
        let tag = tag.attr("text-anchor", "end").attr("font-weight", "600").attr("fill", "currentColor");
        tag.num("fill-opacity", QUIET).label(&text::fitted(name, 12.0, 160.0), &text::shown(name));
    }
}

/// What the script needs of a scale.
pub(crate) fn data(scale: &ColorScale, palette: &Palette) -> serde_json::Map<String, Value> {
    let (low, high) = ends(scale);
    let fields = [
        ("label", json!(text::shown(&scale.label))),
        ("low", json!(low)),
        ("high", json!(high)),
        ("palette", json!(super::png::base64(palette.bytes()))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::ScaleKind;
    use crate::chart::svg::Heading;

    fn drawn(ends: (f64, f64)) -> String {
        let palette = Palette::of(ScaleKind::Sequential);
        let mut svg = Svg::default();
        draw(&mut svg, &ColorBar { id: "b", label: "", ends, palette: &palette, missing: false }, 0.0);
        svg.document(&Heading { id: "b", title: "", alt: "" }, 300.0, 40.0)
    }

    #[test]
    fn the_ends_are_always_named() {
        for ((low, high), names) in [
            ((0.0, 1.0), [">0<", ">1<"]),
            ((-0.47, 0.47), [">\u{2068}−0.47\u{2069}<", ">0.47<"]),
            ((0.1234, 123.4), [">0.123<", ">123<"]),
        ] {
            let svg = drawn((low, high));
            assert!(names.iter().all(|name| svg.contains(name)), "{low} {high}: {svg}");
        }
    }
}
