//! Layout that all charts share: small multiples in columns, the rules around them and the words at their sides.

use super::svg::Svg;
use super::text;

/// The width of every picture: a page's column.
pub(crate) const WIDTH: f64 = 860.0;
/// The size of most words.
pub(crate) const SMALL: f64 = 10.0;
/// The opacity of words at axes, of axes and of rules behind the data.
pub(crate) const QUIET: f64 = 0.72;
pub(crate) const AXIS: f64 = 0.45;
pub(crate) const RULE: f64 = 0.11;

/// What the module of a chart draws; the document around it is the same for all charts.
#[derive(Debug)]
pub(crate) struct Picture {
    pub body: Svg,
    /// How high the picture is; it is [`WIDTH`] wide.
    pub height: f64,
    /// What the page's script reads.
    pub data: Option<serde_json::Value>,
}

/// A rectangle in the units of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    /// Left side.
    pub x: f64,
    /// Upper side.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Area {
    /// Its right side.
    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }

    /// Its lower side.
    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }

    /// Its sides as the page's script reads them.
    pub(crate) fn sides(&self) -> [f64; 4] {
        [self.x, self.y, self.w, self.h].map(|side| (side * 100.0).round() / 100.0)
    }
}

/// How a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

impl Anchor {
    /// The attribute's value.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A word in a softer ink, cut to `room`, with its baseline at `(x, y)`.
pub(crate) fn word(svg: &mut Svg, (x, y): (f64, f64), anchor: Anchor, words: &str, room: f64) {
    if words.is_empty() {
        return;
    }
    let tag = svg.tag("text").at(x, y).attr("text-anchor", anchor.name()).num("font-size", SMALL);
    let tag = tag.attr("fill", "currentColor").num("fill-opacity", QUIET);
    tag.label(&text::fitted(words, SMALL, room), &text::shown(words));
}

/// The words at an upright axis, read from below, in the middle between two heights.
pub(crate) fn upright(svg: &mut Svg, x: f64, (top, bottom): (f64, f64), words: &str) {
    if words.is_empty() {
        return;
    }
    let middle = (top + bottom) / 2.0;
    let turn = format!("translate({} {}) rotate(-90)", super::svg::coord(x), super::svg::coord(middle));
    let tag = svg.tag("text").attr("transform", &turn).attr("text-anchor", "middle").num("font-size", 11.0);
    let tag = tag.attr("fill", "currentColor").num("fill-opacity", QUIET);
    tag.label(&text::fitted(words, 11.0, (bottom - top).max(48.0)), &text::shown(words));
}

/// The title of one of the small multiples, above its area.
pub(crate) fn title(svg: &mut Svg, (x, baseline): (f64, f64), words: &str, room: f64) {
    if !words.is_empty() {
        let tag = svg.tag("text").at(x, baseline).attr("font-weight", "600").attr("fill", "currentColor");
        tag.label(&text::fitted(words, 12.0, room * 0.93), &text::shown(words));
    }
}

/// What stands in an area without a value.
pub(crate) fn nothing(svg: &mut Svg, area: &Area) {
    let middle = (area.x + area.w / 2.0, area.y + area.h / 2.0 + 4.0);
    word(svg, middle, Anchor::Middle, "no values", area.w);
}

/// How many small multiples stand side by side.
pub(crate) fn columns(count: usize) -> usize {
    match count {
        0 | 1 => 1,
        2 | 4 => 2,
        _ => 3,
    }
}

/// Small multiples of one width, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PanelGrid {
    /// How many stand side by side.
    pub columns: usize,
    /// How many there are.
    pub count: usize,
    /// Left side of the first.
    pub left: f64,
    /// Width of one.
    pub width: f64,
    /// Between two.
    pub gap: f64,
}

impl PanelGrid {
    /// `count` multiples in `columns` between `left` and `right`, `gap` apart.
    pub(crate) fn new(count: usize, columns: usize, (left, right): (f64, f64), gap: f64) -> Self {
        let columns = columns.max(1);
        let width = (right - left - gap * (columns - 1) as f64) / columns as f64;
        Self { columns, count, left, width, gap }
    }

    /// The left side of a multiple.
    pub(crate) fn x(&self, index: usize) -> f64 {
        self.left + (index % self.columns) as f64 * (self.width + self.gap)
    }

    /// The right side of the last in a row.
    pub(crate) fn right(&self) -> f64 {
        self.x(self.columns - 1) + self.width
    }

    /// The row of a multiple.
    pub(crate) fn row(&self, index: usize) -> usize {
        index / self.columns
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.count.div_ceil(self.columns)
    }

    /// Whether a multiple is the first of its row.
    pub(crate) fn is_first(&self, index: usize) -> bool {
        index.is_multiple_of(self.columns)
    }

    /// Whether no multiple stands below.
    pub(crate) fn is_lowest(&self, index: usize) -> bool {
        index + self.columns >= self.count
    }
}

/// The labels that fit without touching, by their indices. Labels are tried in the order of `ranks` (lowest first, then
/// from the left). `half` is half the length of each label along the axis, including the gap it needs.
pub(crate) fn uncrowded(places: &[f64], half: &[f64], ranks: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|index| ranks[*index]);
    let mut kept: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
    let key = |place: f64| (place * 1024.0) as i64;
    for index in order {
        let clear = |other: Option<(&i64, &usize)>| {
            other.is_none_or(|(_, other)| (places[index] - places[*other]).abs() >= half[index] + half[*other])
        };
        let at = key(places[index]);
        if clear(kept.range(..=at).next_back()) && clear(kept.range(at..).next()) {
            kept.insert(at, index);
        }
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_fill_the_width() {
        let grid = PanelGrid::new(5, columns(5), (40.0, 840.0), 10.0);
        assert_eq!((grid.columns, grid.rows(), grid.width), (3, 2, 260.0));
        assert_eq!((grid.x(2) + grid.width, grid.row(3), grid.x(3)), (840.0, 1, 40.0));
        let lowest: Vec<bool> = (0..5).map(|index| grid.is_lowest(index)).collect();
        assert_eq!(lowest, [false, false, true, true, true]);
    }

    #[test]
    fn labels_never_touch_and_the_first_ranks_stay() {
        let places = [0.0, 5.0, 10.0, 15.0, 40.0];
        assert_eq!(uncrowded(&places, &[4.0; 5], &[1; 5]), [0, 2, 4]);
        assert_eq!(uncrowded(&places, &[4.0; 5], &[1, 1, 1, 0, 1]), [0, 3, 4]);
        assert_eq!(uncrowded(&[], &[], &[]), [0usize; 0]);
        assert_eq!(uncrowded(&[3.0, 3.0], &[1.0; 2], &[0; 2]), [0]);
    }
}
