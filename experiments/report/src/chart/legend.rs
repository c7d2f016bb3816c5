//! Legends: the names of colours and dashes.

use super::color::{PALETTE, series_color, series_dash};
use super::frame::QUIET;
use super::svg::{Svg, Tag};
use super::text;
use super::{LinePanel, Series, Tone};

const SIZE: f64 = 11.0;
const SWATCH: f64 = 16.0;
const BETWEEN: f64 = 12.0;
/// The height of a line of a legend.
pub(crate) const LINE: f64 = 16.0;

/// A name with the look of its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LegendEntry {
    pub name: String,
    pub tone: Tone,
}

/// Adds the look of a curve to an element.
pub(crate) fn look(tag: Tag<'_>, tone: Tone) -> Tag<'_> {
    match tone {
        Tone::Color(index) => tag
            .attr("stroke", series_color(index))
            .num("stroke-width", 1.7)
            .maybe("stroke-dasharray", series_dash(index)),
        Tone::Reference(index) => {
            let tag = tag.attr("stroke", series_color(index)).num("stroke-width", 1.6);
            tag.attr("stroke-dasharray", if index < PALETTE { "2 3" } else { "5 2 1.5 2" })
        }
        Tone::Muted | Tone::Note => {
            tag.attr("stroke", "currentColor").num("stroke-width", 1.0).num("stroke-opacity", 0.5)
        }
        Tone::Baseline => {
            let tag = tag.attr("stroke", "currentColor").num("stroke-width", 1.3).num("stroke-opacity", 0.6);
            tag.attr("stroke-dasharray", "4 3")
        }
    }
}

/// The named looks of curves in their order, each once.
pub(crate) fn entries<'a>(series: impl IntoIterator<Item = &'a Series>) -> Vec<LegendEntry> {
    let mut entries: Vec<LegendEntry> = Vec::new();
    for series in
        series.into_iter().filter(|series| !matches!(series.tone, Tone::Muted | Tone::Note) && !series.name.is_empty())
    {
        let entry = LegendEntry { name: series.name.clone(), tone: series.tone };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries
}

/// Whether a colour has the same name in all panels, so that they can share a legend.
pub(crate) fn is_shared(panels: &[LinePanel]) -> bool {
    let all = entries(panels.iter().flat_map(|panel| &panel.series));
    let colors = |entry: &&LegendEntry| matches!(entry.tone, Tone::Color(_) | Tone::Reference(_));
    let same = |a: &LegendEntry, b: &LegendEntry| a.tone == b.tone && a.name != b.name;
    all.iter().filter(colors).all(|a| !all.iter().any(|b| same(a, b)))
}

/// A legend in lines: entries with the places of their left ends, and how many lines there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    places: Vec<(LegendEntry, f64, usize)>,
    /// Lines.
    pub lines: usize,
    room: f64,
    left_out: usize,
}

impl Flow {
    /// Lays entries into at most `most` lines of a width; what does not fit is counted at the end.
    pub(crate) fn new(entries: Vec<LegendEntry>, width: f64, most: usize) -> Self {
        let room = (width - SWATCH - 6.0).min(190.0);
        let (mut x, mut line, total) = (0.0, 0, entries.len());
        let mut places: Vec<(LegendEntry, f64, usize)> = Vec::new();
        for entry in entries {
            let length = SWATCH + 5.0 + text::width(&text::fitted(&entry.name, SIZE, room), SIZE);
            // The last line keeps a place for the count of what is left out.
            let keep = if line + 1 == most && places.len() + 1 < total { 42.0 } else { 0.0 };
            if x > 0.0 && x + length > width - keep {
                (x, line) = (0.0, line + 1);
            }
            if line >= most {
                break;
            }
            places.push((entry, x, line));
            x += length + BETWEEN;
        }
        let lines = places.last().map_or(0, |(_, _, line)| line + 1);
        Self { lines, left_out: total - places.len(), places, room }
    }

    pub(crate) fn height(&self) -> f64 {
        self.lines as f64 * LINE
    }

    /// Draws it with its upper left corner at `(x, y)`.
    pub(crate) fn draw(&self, svg: &mut Svg, (x, y): (f64, f64)) {
        for (entry, dx, line) in &self.places {
            draw_entry(svg, entry, (x + dx, y + (*line as f64 + 0.5) * LINE), self.room);
        }
        if let (Some((entry, dx, line)), true) = (self.places.last(), self.left_out > 0) {
            let length = SWATCH + 5.0 + BETWEEN + text::width(&text::fitted(&entry.name, SIZE, self.room), SIZE);
            let tag = svg.tag("text").at(x + dx + length, y + (*line as f64 + 0.5) * LINE + 4.0);
            tag.num("font-size", SIZE)
                .attr("fill", "currentColor")
                .num("fill-opacity", QUIET)
                .text(&format!("+ {}", self.left_out));
        }
    }
}

/// How wide a column of entries is, at most `most`.
pub(crate) fn column_width(entries: &[LegendEntry], most: f64) -> f64 {
    let widest = entries.iter().map(|entry| text::width(&text::shown(&entry.name), SIZE)).fold(0.0, f64::max);
    (SWATCH + 5.0 + widest).min(most)
}

/// Draws an entry whose line is at the height `middle`, with its name cut to `room`.
pub(crate) fn draw_entry(svg: &mut Svg, entry: &LegendEntry, (x, middle): (f64, f64), room: f64) {
    let tag =
        svg.tag("path").attr("d", &format!("M{} {}h{}", super::svg::coord(x), super::svg::coord(middle), SWATCH - 2.0));
    look(tag, entry.tone).attr("fill", "none").empty();
    let tag = svg.tag("text").at(x + SWATCH + 3.0, middle + 4.0).num("font-size", SIZE).attr("fill", "currentColor");
    tag.label(&text::fitted(&entry.name, SIZE, room), &text::shown(&entry.name));
}

/// Places as near as possible to the wanted ones with `gap` between them, inside `low..high` if there is room.
pub(crate) fn spread(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut places = wanted.to_vec();
    let mut least = low;
    for index in &order {
        places[*index] = places[*index].max(least);
        least = places[*index] + gap;
    }
    let mut most = high;
    for index in order.iter().rev() {
        places[*index] = places[*index].min(most);
        most = places[*index] - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, color: usize) -> LegendEntry {
        LegendEntry { name: name.into(), tone: Tone::Color(color) }
    }

    #[test]
    fn names_beside_lines_keep_their_order_and_distance() {
        let places = spread(&[50.0, 10.0, 11.0, 49.0], 14.0, (0.0, 100.0));
        assert_eq!(places, [63.0, 10.0, 24.0, 49.0]);
        let crowded = spread(&[95.0, 96.0, 97.0], 14.0, (0.0, 100.0));
        assert_eq!(crowded, [72.0, 86.0, 100.0]);
        assert!(spread(&[], 14.0, (0.0, 1.0)).is_empty());
    }

    #[test]
    fn a_legend_says_how_many_it_leaves_out() {
        let many: Vec<LegendEntry> = (0..40).map(|index| entry(&format!("series {index}"), index)).collect();
        let flow = Flow::new(many, 260.0, 2);
        assert_eq!(flow.lines, 2);
        assert_eq!(flow.left_out + flow.places.len(), 40);
        assert!(flow.places.iter().all(|(_, x, _)| *x < 260.0));
        assert_eq!(Flow::new(vec![], 260.0, 2).lines, 0);
    }

    #[test]
    fn panels_share_a_legend_only_where_colours_mean_the_same() {
        let series = |name: &str| Series { name: name.into(), tone: Tone::Color(0), points: vec![], event: None };
        let panel = |name: &str| LinePanel { title: String::new(), series: vec![series(name)] };
        assert!(is_shared(&[panel("a"), panel("a")]));
        assert!(!is_shared(&[panel("a"), panel("b")]));
    }
}
