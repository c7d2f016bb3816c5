//! Horizontal bars with intervals, over the range of random controls.

use super::color::series_color;
use super::frame::{
    AXIS, Anchor, Area, PanelGrid, Picture, QUIET, RULE, SMALL, WIDTH, nothing, title, uncrowded, word,
};
use super::numbers::brief;
use super::scale::{LinearAxis, drawable};
use super::svg::Svg;
use super::{Bar, Bars, text};

const KEY: f64 = 24.0;
const TITLE: f64 = 20.0;
const FLOOR: f64 = 22.0;
const LONGEST: f64 = 170.0;
/// The room for the number at a bar's end.
const NUMBER: f64 = 54.0;

/// Draws horizontal bars.
pub(crate) fn draw(bars: &Bars) -> Picture {
    let layout = BarLayout::new(bars);
    let mut svg = Svg::default();
    layout.draw_key(&mut svg);
    for (index, panel) in bars.panels.iter().enumerate() {
        let area = layout.areas[index];
        svg.group("panel");
        title(
            &mut svg,
            (layout.grid.x(index) - layout.names, area.y - 9.0),
            &panel.title,
            layout.grid.width + layout.names,
        );
        layout.draw_axis(&mut svg, &area);
        if panel.bars.is_empty() {
            nothing(&mut svg, &area);
        }
        for (row, bar) in panel.bars.iter().enumerate() {
            layout.draw_bar(&mut svg, bar, &area, area.y + (row as f64 + 0.5) * layout.pitch);
        }
        svg.end();
    }
    word(&mut svg, (WIDTH / 2.0, layout.height - 6.0), Anchor::Middle, &bars.label, WIDTH - 40.0);
    Picture { body: svg, height: layout.height, data: None }
}

/// Sizes and places, which must be known before the first element is written.
struct BarLayout {
    axis: LinearAxis,
    /// Room for numbers left of the axis if some bars are negative.
    before: f64,
    grid: PanelGrid,
    areas: Vec<Area>,
    names: f64,
    pitch: f64,
    controls: bool,
    intervals: bool,
    height: f64,
}

impl BarLayout {
    fn new(bars: &Bars) -> Self {
        let all = || bars.panels.iter().flat_map(|panel| &panel.bars);
        let widest = all().map(|bar| text::width(&text::shown(&bar.name), SMALL + 1.0)).fold(0.0, f64::max);
        let names = widest.min(LONGEST) + 10.0;
        let side_by_side = bars.panels.len().clamp(1, 2);
        let most = bars.panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
        let mut layout = Self {
            axis: LinearAxis::tight(all().flat_map(extent).chain([0.0]), if side_by_side > 1 { 4 } else { 6 }),
            before: if all().any(|bar| bar.value.is_some_and(|value| value < 0.0)) { NUMBER } else { 0.0 },
            grid: PanelGrid::new(bars.panels.len(), side_by_side, (names + 4.0, WIDTH - 8.0), names + 14.0),
            areas: Vec::new(),
            names,
            pitch: if most > 40 { 15.0 } else { 20.0 },
            controls: all().any(|bar| bar.control.and_then(whole).is_some()),
            intervals: all().any(|bar| bar.interval.and_then(whole).is_some()),
            height: 0.0,
        };
        layout.stack(bars);
        layout
    }

    fn stack(&mut self, bars: &Bars) {
        let titled = if bars.panels.iter().any(|panel| !panel.title.is_empty()) { TITLE } else { 4.0 };
        let mut y = if self.controls || self.intervals { KEY } else { 0.0 };
        for (row, panels) in bars.panels.chunks(self.grid.columns).enumerate() {
            let most = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
            for (column, panel) in panels.iter().enumerate() {
                let x = self.grid.x(row * self.grid.columns + column);
                let h = (panel.bars.len().max(1)) as f64 * self.pitch;
                self.areas.push(Area { x, y: y + titled, w: self.grid.width, h });
            }
            y += titled + most.max(1) as f64 * self.pitch + FLOOR + 8.0;
        }
        self.height = y + if bars.label.is_empty() { 0.0 } else { 12.0 };
    }

    fn axis(&self, area: &Area) -> LinearAxis {
        self.axis.between(area.x + self.before, area.right() - NUMBER)
    }

    /// What bands and whiskers mean, above all panels.
    fn draw_key(&self, svg: &mut Svg) {
        let mut x = self.grid.left;
        if self.controls {
            draw_control(svg, (x, x + 18.0), 10.0, 12.0);
            word(svg, (x + 24.0, 13.5), Anchor::Start, "random controls", f64::INFINITY);
            x += 130.0;
        }
        if self.intervals {
            draw_whisker(svg, (x, x + 18.0), 10.0);
            word(svg, (x + 24.0, 13.5), Anchor::Start, "interval", f64::INFINITY);
        }
    }

    fn draw_axis(&self, svg: &mut Svg, area: &Area) {
        let axis = self.axis(area);
        let ticks = axis.ticks();
        let places: Vec<f64> = ticks.iter().map(|tick| axis.at(tick.value)).collect();
        for (tick, x) in ticks.iter().zip(&places) {
            let strength = if tick.value == 0.0 { AXIS } else { RULE };
            svg.rule((*x, area.y), (*x, area.bottom()), strength);
        }
        let half: Vec<f64> = ticks.iter().map(|tick| text::width(&tick.label, SMALL) / 2.0 + 3.0).collect();
        for index in uncrowded(&places, &half, &vec![0; ticks.len()]) {
            word(svg, (places[index], area.bottom() + 13.0), Anchor::Middle, &ticks[index].label, f64::INFINITY);
        }
    }

    fn draw_bar(&self, svg: &mut Svg, bar: &Bar, area: &Area, middle: f64) {
        let axis = self.axis(area);
        let tag =
            svg.tag("text").at(area.x - 8.0, middle + 4.0).attr("text-anchor", "end").num("font-size", SMALL + 1.0);
        let tag = tag.attr("fill", "currentColor");
        tag.label(&text::fitted(&bar.name, SMALL + 1.0, LONGEST), &text::shown(&bar.name));
        let ends = |(low, high): (f64, f64)| (axis.at(low), axis.at(high));
        if let Some(control) = bar.control.and_then(whole) {
            draw_control(svg, ends(control), middle, self.pitch - 4.0);
        }
        let Some(value) = bar.value.and_then(drawable) else {
            let why = bar.value.map_or_else(|| "no value".to_owned(), brief);
            return word(svg, (axis.at(0.0) + 6.0, middle + 3.5), Anchor::Start, &why, f64::INFINITY);
        };
        let (zero, end) = (axis.at(0.0), axis.at(value));
        let thick = self.pitch * 0.5;
        let tag = svg.tag("rect").attr("class", "bar").at(zero.min(end), middle - thick / 2.0);
        let tag = tag.num("width", (end - zero).abs().max(0.75)).num("height", thick);
        tag.attr("fill", series_color(0)).num("fill-opacity", 0.85).empty();
        if let Some(interval) = bar.interval.and_then(whole) {
            draw_whisker(svg, ends(interval), middle);
        }
        let reach: Vec<f64> = extent(bar).filter_map(drawable).map(|value| axis.at(value)).collect();
        let (x, anchor) = match value < 0.0 {
            true => (reach.iter().copied().fold(zero, f64::min) - 6.0, Anchor::End),
            false => (reach.iter().copied().fold(zero, f64::max) + 6.0, Anchor::Start),
        };
        word(svg, (x, middle + 3.5), anchor, &brief(value), f64::INFINITY);
    }
}

/// The values at the ends of a bar, its interval and its controls.
fn extent(bar: &Bar) -> impl Iterator<Item = f64> + use<> {
    let pair = |ends: Option<(f64, f64)>| ends.and_then(whole).map_or([f64::NAN; 2], |(low, high)| [low, high]);
    [bar.value.unwrap_or(f64::NAN)].into_iter().chain(pair(bar.interval)).chain(pair(bar.control))
}

/// An interval of which both ends can be drawn.
fn whole((low, high): (f64, f64)) -> Option<(f64, f64)> {
    let (low, high) = (drawable(low)?, drawable(high)?);
    Some((low.min(high), high.max(low)))
}

fn draw_control(svg: &mut Svg, (low, high): (f64, f64), middle: f64, thick: f64) {
    let tag = svg.tag("rect").attr("class", "control").at(low, middle - thick / 2.0);
    let tag = tag.num("width", (high - low).max(1.0)).num("height", thick);
    tag.attr("fill", "currentColor").num("fill-opacity", 0.14).empty();
}

fn draw_whisker(svg: &mut Svg, (low, high): (f64, f64), middle: f64) {
    svg.rule((low, middle), (high, middle), QUIET);
    for end in [low, high] {
        svg.rule((end, middle - 3.0), (end, middle + 3.0), QUIET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::BarPanel;

    fn bar(value: Option<f64>) -> Bar {
        Bar { name: "L0H1".into(), value, interval: None, control: None }
    }

    fn drawn(bars: Vec<Bar>) -> String {
        let panels = vec![BarPanel { title: String::new(), bars }];
        crate::chart::Chart::Bars(Bars { label: "effect".into(), panels }).draw("b", "", "").svg
    }

    #[test]
    fn each_bar_has_its_number_or_says_why_not() {
        let svg =
            drawn(vec![bar(Some(0.5)), bar(Some(-0.25)), bar(None), bar(Some(f64::NAN)), bar(Some(f64::INFINITY))]);
        for text in [">0.5<", ">\u{2068}−0.25\u{2069}<", ">no value<", ">not a number<", ">\u{2068}∞\u{2069}<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert_eq!(svg.matches("class=\"bar\"").count(), 2);
    }

    #[test]
    fn bars_begin_at_zero_on_both_sides() {
        let layout = |values: &[f64]| {
            let bars = values.iter().map(|value| bar(Some(*value))).collect();
            BarLayout::new(&Bars { label: String::new(), panels: vec![BarPanel { title: String::new(), bars }] })
        };
        let (up, both) = (layout(&[2.0, 4.0]), layout(&[-1.0, 3.0]));
        assert_eq!((up.axis.low, up.axis.high, up.before), (0.0, 4.0, 0.0));
        assert_eq!((both.axis.low, both.axis.high, both.before), (-1.0, 3.0, NUMBER));
    }

    #[test]
    fn the_key_names_only_what_is_there() {
        assert!(!drawn(vec![bar(Some(1.0))]).contains("random controls"));
        let control = Bar { control: Some((0.2, -0.1)), interval: Some((f64::NAN, 1.0)), ..bar(Some(1.0)) };
        let svg = drawn(vec![control]);
        assert!(svg.contains("random controls") && !svg.contains(">interval<"));
    }
}
