//! Curves in small multiples that share both axes.

use super::axis::{self, Sides};
use super::curve::{self, PanelAxes};
use super::events::{self, Mark};
use super::frame::{Anchor, Area, PanelGrid, Picture, SMALL, WIDTH, columns, nothing, title, upright, word};
use super::legend::{Flow, LINE, LegendEntry, column_width, draw_entry, entries, is_shared, spread};
use super::scale::{LinearAxis, XAxis, drawable};
use super::series::data;
use super::svg::Svg;
use super::{LinePanel, Lines, Point, Series, X, text};

/// Draws curves.
pub(crate) fn draw(lines: &Lines) -> Picture {
    let layout = LineLayout::new(lines);
    let mut svg = Svg::default();
    if let Key::Above(flow) = &layout.key {
        flow.draw(&mut svg, (layout.grid.left, 2.0));
    }
    let areas: Vec<Area> = (0..lines.panels.len()).map(|index| layout.area(index)).collect();
    for (index, panel) in lines.panels.iter().enumerate() {
        svg.group("panel");
        layout.draw_panel(&mut svg, lines, panel, index);
        svg.end();
    }
    if let (Some(first), Some(last)) = (areas.first(), areas.last()) {
        let own =
            if layout.free { format!("{} (a scale for each panel)", lines.y.label) } else { lines.y.label.clone() };
        upright(&mut svg, 12.0, (first.y, last.bottom()), &own);
    }
    if let X::Linear { label } = &lines.x {
        let middle = (layout.grid.left + layout.grid.right()) / 2.0;
        word(&mut svg, (middle, layout.height - 6.0), Anchor::Middle, label, layout.grid.right() - layout.grid.left);
    }
    Picture { body: svg, height: layout.height, data: Some(data(lines, &layout.x, &layout.y, &areas)) }
}

/// Where the names of the curves stand.
enum Key {
    /// Nowhere, because there is only one curve to name.
    Absent,
    /// At the right ends of the curves of the only panel.
    Beside(Vec<LegendEntry>),
    /// Once for all panels.
    Above(Flow),
    /// In each panel, whose colours have names of their own.
    Within(Vec<Flow>),
}

/// Sizes and places, which must be known before the first element is written.
struct LineLayout {
    x: XAxis,
    /// The axis of each panel.
    y: Vec<LinearAxis>,
    /// Whether each panel has a scale of its own.
    free: bool,
    grid: PanelGrid,
    key: Key,
    marks: Vec<Vec<Mark>>,
    /// The upper side of the first row of panels, below the axis on top.
    top: f64,
    above: Above,
    /// The height of a panel.
    panel: f64,
    height: f64,
}

/// What stands above each panel's area.
#[derive(Default)]
struct Above {
    title: f64,
    names: f64,
    /// The lane of events.
    lane: f64,
}

impl Above {
    fn height(&self) -> f64 {
        self.title + self.names + self.lane + 6.0
    }
}

const GAP: f64 = 20.0;
const TITLE: f64 = 19.0;
const BESIDE: usize = 14;
const TOKENS: f64 = 18.0;

impl LineLayout {
    fn new(lines: &Lines) -> Self {
        let points = || lines.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let wide = columns(lines.panels.len());
        let panel = [300.0, 190.0, 140.0][wide.min(3) - 1];
        let (y, free) = heights_of(lines, (panel / 45.0) as usize);
        let xs = points().map(|point| point.x);
        let x = XAxis::around(&lines.x, xs, if wide > 1 { 4 } else { 8 });
        let widths = y.iter().flat_map(LinearAxis::ticks).map(|tick| text::width(&tick.label, SMALL));
        let labels = widths.fold(26.0, f64::max);
        let (left, gap) = (30.0 + labels, if free { GAP + labels } else { GAP });
        let mut layout = Self {
            x,
            y,
            free,
            grid: PanelGrid::new(lines.panels.len(), wide, (left, WIDTH - 12.0), gap),
            key: Key::Absent,
            marks: Vec::new(),
            top: 4.0,
            above: Above::default(),
            panel,
            height: 0.0,
        };
        layout.place_names(&lines.panels);
        layout.place_marks(lines);
        layout.stack(lines);
        layout
    }

    fn place_names(&mut self, panels: &[LinePanel]) {
        let named = entries(panels.iter().flat_map(|panel| &panel.series));
        self.key = match panels {
            _ if named.is_empty() => Key::Absent,
            [_] if named.len() <= BESIDE => {
                let right = self.grid.right() - 8.0 - column_width(&named, 180.0);
                self.grid = PanelGrid::new(1, 1, (self.grid.left, right), GAP);
                Key::Beside(named)
            }
            panels if is_shared(panels) => Key::Above(Flow::new(named, self.grid.right() - self.grid.left, 6)),
            panels => {
                Key::Within(panels.iter().map(|panel| Flow::new(entries(&panel.series), self.grid.width, 3)).collect())
            }
        };
    }

    fn place_marks(&mut self, lines: &Lines) {
        let marks = |(index, panel): (usize, &LinePanel)| {
            let (left, right) = (self.grid.x(index), self.grid.x(index) + self.grid.width);
            events::marks(panel, &lines.x, &self.x.between(left, right), (left, right))
        };
        self.marks = lines.panels.iter().enumerate().map(marks).collect();
    }

    fn stack(&mut self, lines: &Lines) {
        let rows = self.marks.iter().map(|marks| events::rows(marks)).max().unwrap_or(0);
        self.above.lane = rows as f64 * events::ROW;
        if lines.panels.iter().any(|panel| !panel.title.is_empty()) {
            self.above.title = TITLE;
        }
        match &self.key {
            Key::Above(flow) => self.top += flow.height() + 6.0,
            Key::Within(flows) => self.above.names = flows.iter().map(Flow::height).fold(0.0, f64::max),
            Key::Absent | Key::Beside(_) => {}
        }
        if tokens_per_step(&lines.x).is_some() {
            self.top += TOKENS;
        }
        let rows = self.grid.rows() as f64;
        let label = if matches!(lines.x, X::Linear { .. }) { 36.0 } else { 22.0 };
        self.height = self.top + rows * (self.above.height() + self.panel + GAP) - GAP + label;
    }

    fn area(&self, index: usize) -> Area {
        let row = self.grid.row(index) as f64;
        let y = self.top + row * (self.above.height() + self.panel + GAP) + self.above.height();
        Area { x: self.grid.x(index), y, w: self.grid.width, h: self.panel }
    }

    fn draw_panel(&self, svg: &mut Svg, lines: &Lines, panel: &LinePanel, index: usize) {
        let area = self.area(index);
        let axes =
            PanelAxes { x: self.x.between(area.x, area.right()), y: self.y[index].between(area.bottom(), area.y) };
        let first = self.grid.is_first(index);
        let sides = Sides { first, scale: first || self.free, lowest: self.grid.is_lowest(index) };
        let tokens = tokens_per_step(&lines.x).filter(|_| self.grid.row(index) == 0);
        let top = area.y - self.above.height() - if tokens.is_some() { TOKENS } else { 0.0 };
        title(svg, (area.x, top + 13.0), &panel.title, area.w);
        if let Key::Within(flows) = &self.key {
            flows[index].draw(svg, (area.x, top + self.above.title));
        }
        axis::draw(svg, &axes, &area, sides);
        if let Some(tokens) = tokens {
            axis::draw_tokens(svg, &axes.x, &area, (tokens, area.y - self.above.lane - 7.0), sides.first);
        }
        events::draw(svg, &self.marks[index], &area);
        curve::draw(svg, &axes, &panel.series);
        if let Key::Beside(named) = &self.key {
            draw_beside(svg, &axes, named, &panel.series, &area);
        }
        if !panel.series.iter().flat_map(|series| &series.points).any(|point| point.y.and_then(drawable).is_some()) {
            nothing(svg, &area);
        }
    }
}

/// A panel whose values take less than this share of the common axis would be a flat line on it.
const FLAT: f64 = 0.3;

/// The y axes of all panels, and whether they differ. Panels share one axis unless it would flatten one of them.
fn heights_of(lines: &Lines, ticks: usize) -> (Vec<LinearAxis>, bool) {
    let values = |panel: &LinePanel| -> Vec<f64> {
        let points = panel.series.iter().flat_map(|series| &series.points);
        points.flat_map(heights).filter(|value| drawable(*value).is_some()).collect()
    };
    let each: Vec<Vec<f64>> = lines.panels.iter().map(values).collect();
    let around = |values: &mut dyn Iterator<Item = f64>| {
        LinearAxis::around(values.chain(lines.y.include.iter().copied()), ticks)
    };
    let common = around(&mut each.iter().flatten().copied());
    let own: Vec<LinearAxis> = each.iter().map(|values| around(&mut values.iter().copied())).collect();
    let flat = |(values, axis): (&Vec<f64>, &LinearAxis)| {
        !values.is_empty() && axis.high - axis.low < FLAT * (common.high - common.low)
    };
    let free = own.len() > 1 && each.iter().zip(&own).any(flat);
    (if free { own } else { vec![common; each.len()] }, free)
}

/// The largest plausible number of tokens in a step; larger ones are mistakes in the data and have no axis.
const MOST_TOKENS: f64 = 1e12;

fn tokens_per_step(x: &X) -> Option<f64> {
    match x {
        X::Steps { tokens_per_step } => tokens_per_step.filter(|tokens| (1.0..MOST_TOKENS).contains(tokens)),
        X::Linear { .. } => None,
    }
}

/// The heights a point needs: its value and its interval.
fn heights(point: &Point) -> impl Iterator<Item = f64> + use<> {
    let (low, high) = point.band.unwrap_or((f64::NAN, f64::NAN));
    [point.y.unwrap_or(f64::NAN), low, high].into_iter()
}

/// The names of the only panel's curves at their right ends, in the order of the ends.
fn draw_beside(svg: &mut Svg, axes: &PanelAxes, named: &[LegendEntry], series: &[Series], area: &Area) {
    let end = |entry: &LegendEntry| {
        let of = series.iter().find(|series| series.name == entry.name && series.tone == entry.tone);
        let last = of.and_then(|series| series.points.iter().rev().find_map(|point| point.y.and_then(drawable)));
        last.map_or(area.bottom(), |last| axes.y.at(last))
    };
    let wanted: Vec<f64> = named.iter().map(end).collect();
    let places = spread(&wanted, LINE - 1.0, (area.y + 4.0, area.bottom() - 4.0));
    for (entry, y) in named.iter().zip(places) {
        draw_entry(svg, entry, (area.right() + 8.0, y), WIDTH - area.right() - 32.0);
    }
}
