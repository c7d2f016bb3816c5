//! Curves in small multiples that share both axes.

use super::curve::{Axes, band, curve, whiskers};
use super::events::{self, Mark};
use super::frame::{
    AXIS, Anchor, Area, Grid, Picture, RULE, SMALL, WIDTH, columns, nothing, title, uncrowded, upright, word,
};
use super::legend::{Entry, Flow, LINE, column_width, draw_entry, entries, is_shared, look, spread};
use super::scale::{Across, Linear, Tick, count, drawable};
use super::series::data;
use super::svg::Svg;
use super::{LinePanel, Lines, Point, Series, Tone, X, text};

/// Draws the chart.
pub fn draw(lines: &Lines) -> Picture {
    let plan = Plan::new(lines);
    let mut svg = Svg::default();
    if let Key::Above(flow) = &plan.key {
        flow.draw(&mut svg, (plan.grid.left, 2.0));
    }
    let areas: Vec<Area> = (0..lines.panels.len()).map(|index| plan.area(index)).collect();
    for (index, panel) in lines.panels.iter().enumerate() {
        svg.group("panel");
        plan.draw_panel(&mut svg, lines, panel, index);
        svg.end();
    }
    if let (Some(first), Some(last)) = (areas.first(), areas.last()) {
        upright(&mut svg, 12.0, (first.y, last.bottom()), &lines.y.label);
    }
    if let X::Linear { label } = &lines.x {
        let middle = (plan.grid.left + plan.grid.left + plan.grid.width) / 2.0;
        let middle = if plan.grid.columns > 1 { (plan.grid.left + plan.right) / 2.0 } else { middle };
        word(&mut svg, (middle, plan.height - 6.0), Anchor::Middle, label, plan.grid.width);
    }
    Picture { body: svg, height: plan.height, data: Some(data(lines, &plan.x, &plan.y, &areas)) }
}

/// Where the names of the curves stand.
enum Key {
    /// Nowhere: there is nothing to tell apart.
    Absent,
    /// At the right ends of the curves of the only panel.
    Beside(Vec<Entry>),
    /// Once for all panels.
    Above(Flow),
    /// In each panel, whose colours have names of their own.
    Within(Vec<Flow>),
}

/// Everything that is settled before the first element is written.
struct Plan {
    x: Across,
    y: Linear,
    grid: Grid,
    key: Key,
    marks: Vec<Vec<Mark>>,
    /// The upper side of the first row of panels, titles and axis on top included.
    top: f64,
    /// What stands above each panel's area: title, names, lane of events.
    above: f64,
    panel: f64,
    right: f64,
    height: f64,
}

const GAP: f64 = 20.0;
const TITLE: f64 = 19.0;
const BESIDE: usize = 14;
const TOKENS: f64 = 18.0;

impl Plan {
    fn new(lines: &Lines) -> Self {
        let points = || lines.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let wide = columns(lines.panels.len());
        let panel = [300.0, 190.0, 140.0][wide.min(3) - 1];
        let y =
            Linear::around(points().flat_map(heights).chain(lines.y.include.iter().copied()), (panel / 45.0) as usize);
        let xs = points().map(|point| point.x);
        let x = Across::around(&lines.x, xs, if wide > 1 { 4 } else { 8 });
        let left = 30.0 + y.ticks().iter().map(|tick| text::width(&tick.label, SMALL)).fold(26.0, f64::max);
        let mut plan = Self {
            x,
            y,
            grid: Grid::new(lines.panels.len(), wide, (left, WIDTH - 12.0), GAP),
            key: Key::Absent,
            marks: Vec::new(),
            top: 4.0,
            above: 0.0,
            panel,
            right: WIDTH - 12.0,
            height: 0.0,
        };
        plan.place_names(&lines.panels);
        plan.place_marks(lines);
        plan.stack(lines);
        plan
    }

    fn place_names(&mut self, panels: &[LinePanel]) {
        let named = entries(panels.iter().flat_map(|panel| &panel.series));
        self.key = match panels {
            _ if named.is_empty() => Key::Absent,
            [_] if named.len() <= BESIDE => {
                self.right -= 8.0 + column_width(&named, 180.0);
                self.grid = Grid::new(1, 1, (self.grid.left, self.right), GAP);
                Key::Beside(named)
            }
            panels if is_shared(panels) => Key::Above(Flow::new(named, self.right - self.grid.left, 6)),
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
        let titles = if lines.panels.iter().any(|panel| !panel.title.is_empty()) { TITLE } else { 0.0 };
        let lane = self.marks.iter().map(|marks| events::rows(marks)).max().unwrap_or(0) as f64 * events::ROW;
        let names = match &self.key {
            Key::Above(flow) => {
                self.top += flow.height() + 6.0;
                0.0
            }
            Key::Within(flows) => flows.iter().map(Flow::height).fold(0.0, f64::max),
            Key::Absent | Key::Beside(_) => 0.0,
        };
        self.above = titles + names + lane + 6.0;
        let tokens = if tokens_per_step(&lines.x).is_some() { TOKENS } else { 0.0 };
        let rows = self.grid.rows() as f64;
        let label = if matches!(lines.x, X::Linear { .. }) { 36.0 } else { 22.0 };
        self.height = self.top + tokens + rows * (self.above + self.panel) + (rows - 1.0).max(0.0) * GAP + label;
        self.top += tokens;
    }

    fn area(&self, index: usize) -> Area {
        let row = self.grid.row(index) as f64;
        let y = self.top + row * (self.above + self.panel + GAP) + self.above;
        Area { x: self.grid.x(index), y, w: self.grid.width, h: self.panel }
    }

    fn draw_panel(&self, svg: &mut Svg, lines: &Lines, panel: &LinePanel, index: usize) {
        let area = self.area(index);
        let axes = Axes { x: self.x.between(area.x, area.right()), y: self.y.between(area.bottom(), area.y) };
        let tokens = tokens_per_step(&lines.x).filter(|_| self.grid.row(index) == 0);
        let head = area.y - self.above - if tokens.is_some() { TOKENS } else { 0.0 };
        title(svg, (area.x, head + 13.0), &panel.title, area.w);
        if let Key::Within(flows) = &self.key {
            let below = if lines.panels.iter().any(|panel| !panel.title.is_empty()) { TITLE } else { 0.0 };
            if let Some(flow) = flows.get(index) {
                flow.draw(svg, (area.x, head + below));
            }
        }
        self.draw_axes(svg, &axes, &area, index);
        if let Some(tokens) = tokens {
            let lane = events::ROW * self.marks.iter().map(|marks| events::rows(marks)).max().unwrap_or(0) as f64;
            draw_tokens(svg, &axes.x, &area, tokens, area.y - lane - 7.0, self.grid.is_first(index));
        }
        if let Some(marks) = self.marks.get(index) {
            events::draw(svg, marks, &area);
        }
        draw_series(svg, &axes, &panel.series);
        if let Key::Beside(named) = &self.key {
            draw_beside(svg, &axes, named, &panel.series, &area);
        }
        if !panel.series.iter().flat_map(|series| &series.points).any(|point| point.y.and_then(drawable).is_some()) {
            nothing(svg, &area);
        }
    }

    fn draw_axes(&self, svg: &mut Svg, axes: &Axes, area: &Area, index: usize) {
        for Tick { value, label } in axes.y.ticks() {
            let y = axes.y.at(value);
            let zero = value == 0.0 && y < area.bottom() - 12.0;
            svg.rule((area.x, y), (area.right(), y), if zero { 0.3 } else { RULE });
            if self.grid.is_first(index) {
                word(svg, (area.x - 6.0, y + 3.5), Anchor::End, &label, f64::INFINITY);
            }
        }
        draw_steps(svg, &axes.x, area, self.grid.is_lowest(index), self.grid.is_first(index));
    }
}

fn tokens_per_step(x: &X) -> Option<f64> {
    match x {
        X::Steps { tokens_per_step } => tokens_per_step.filter(|tokens| tokens.is_finite() && *tokens > 0.0),
        X::Linear { .. } => None,
    }
}

/// The heights a point needs: its value and its interval.
fn heights(point: &Point) -> impl Iterator<Item = f64> + use<> {
    let (low, high) = point.band.unwrap_or((f64::NAN, f64::NAN));
    [point.y.unwrap_or(f64::NAN), low, high].into_iter()
}

/// The axis below an area, with its labels where nothing else is below.
fn draw_steps(svg: &mut Svg, x: &Across, area: &Area, labelled: bool, first: bool) {
    let floor = area.bottom();
    let gap = match x {
        Across::Steps(steps) => steps.gap(),
        Across::Linear(_) => None,
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
    for value in x.minor() {
        svg.rule((x.at(value), floor), (x.at(value), floor + 2.5), AXIS * 0.6);
    }
    let ticks = x.ticks();
    for Tick { value, .. } in &ticks {
        svg.rule((x.at(*value), area.y), (x.at(*value), floor), RULE * 0.6);
        svg.rule((x.at(*value), floor), (x.at(*value), floor + 4.5), AXIS);
    }
    if labelled {
        let places: Vec<f64> = ticks.iter().map(|tick| label_place(x, area, tick)).collect();
        for index in fitting(&ticks, &places, 1) {
            word(svg, (places[index], floor + 15.0), Anchor::Middle, &ticks[index].label, f64::INFINITY);
        }
        if first && matches!(x, Across::Steps(_)) {
            let left = places.first().map_or(area.x, |place| place - text::width(&ticks[0].label, SMALL) / 2.0);
            word(svg, (left.min(area.x) - 6.0, floor + 15.0), Anchor::End, "step", f64::INFINITY);
        }
    }
}

/// The tokens seen at the ticks and at the axis' end, whose number goes before the others'.
fn draw_tokens(svg: &mut Svg, x: &Across, area: &Area, tokens: f64, baseline: f64, first: bool) {
    let mut ticks: Vec<Tick> = x.ticks().into_iter().filter(|tick| tick.value != x.end()).collect();
    ticks.push(Tick { value: x.end(), label: String::new() });
    for tick in &mut ticks {
        tick.label = count(tick.value * tokens);
    }
    let places: Vec<f64> = ticks.iter().map(|tick| label_place(x, area, tick)).collect();
    for index in fitting(&ticks, &places, ticks.len() - 1) {
        let at = x.at(ticks[index].value);
        svg.rule((at, area.y), (at, area.y - 3.5), AXIS);
        word(svg, (places[index], baseline), Anchor::Middle, &ticks[index].label, f64::INFINITY);
    }
    if first {
        let left = places[0] - text::width(&ticks[0].label, SMALL) / 2.0;
        word(svg, (left.min(area.x) - 6.0, baseline), Anchor::End, "tokens", f64::INFINITY);
    }
}

/// The middle of a tick's label: at the tick, but moved inside the panel where it would run into the next one.
fn label_place(x: &Across, area: &Area, tick: &Tick) -> f64 {
    let half = text::width(&tick.label, SMALL) / 2.0 - 4.0;
    x.at(tick.value).min(area.right() - half).max(area.x + half)
}

/// The ticks whose labels fit beside each other; that of `favoured` stays.
fn fitting(ticks: &[Tick], places: &[f64], favoured: usize) -> Vec<usize> {
    let half: Vec<f64> = ticks.iter().map(|tick| text::width(&tick.label, SMALL) / 2.0 + 3.0).collect();
    let ranks: Vec<usize> = (0..ticks.len()).map(|index| usize::from(index != favoured)).collect();
    uncrowded(places, &half, &ranks)
}

/// Bands below all curves, then those that stand back, then the others in their order.
fn draw_series(svg: &mut Svg, axes: &Axes, series: &[Series]) {
    for series in series.iter().filter(|series| series.tone != Tone::Muted) {
        draw_band(svg, axes, series);
    }
    let rank = |series: &&Series| match series.tone {
        Tone::Muted => 0,
        Tone::Baseline => 1,
        Tone::Color(_) => 2,
    };
    let mut ordered: Vec<&Series> = series.iter().collect();
    ordered.sort_by_key(rank);
    let (muted, named) = ordered.split_at(ordered.partition_point(|series| series.tone == Tone::Muted));
    // The group's own opacity keeps a crowd of grey curves grey where they lie on each other.
    svg.tag("g").attr("class", "muted").num("opacity", 0.38).open();
    muted.iter().for_each(|series| draw_curve(svg, axes, series));
    svg.end();
    named.iter().for_each(|series| draw_curve(svg, axes, series));
}

fn fill(tone: Tone) -> &'static str {
    match tone {
        Tone::Color(index) => super::series_color(index),
        Tone::Muted | Tone::Baseline => "currentColor",
    }
}

fn draw_band(svg: &mut Svg, axes: &Axes, series: &Series) {
    let path = band(axes, &series.points);
    if !path.is_empty() {
        svg.tag("path")
            .attr("class", "band")
            .attr("d", &path)
            .attr("fill", fill(series.tone))
            .num("fill-opacity", 0.15)
            .empty();
    }
    for (x, low, high) in whiskers(axes, &series.points) {
        let tag = svg.tag("line").num("x1", x).num("y1", low).num("x2", x).num("y2", high);
        tag.attr("stroke", fill(series.tone)).num("stroke-width", 3.0).num("stroke-opacity", 0.25).empty();
    }
}

fn draw_curve(svg: &mut Svg, axes: &Axes, series: &Series) {
    let drawn = curve(axes, &series.points);
    if !drawn.path.is_empty() {
        let tag = look(svg.tag("path").attr("class", "line"), series.tone).attr("fill", "none");
        tag.attr("stroke-linejoin", "round").attr("d", &drawn.path).empty();
    }
    for (x, y) in drawn.lone {
        let (radius, opacity) = if series.tone == Tone::Muted { (1.2, 0.6) } else { (2.2, 1.0) };
        let tag = svg.tag("circle").num("cx", x).num("cy", y).num("r", radius);
        tag.attr("fill", fill(series.tone)).num("fill-opacity", opacity).empty();
    }
}

/// The names of the only panel's curves at their right ends, in the order of the ends.
fn draw_beside(svg: &mut Svg, axes: &Axes, named: &[Entry], series: &[Series], area: &Area) {
    let end = |entry: &Entry| {
        let of = series.iter().find(|series| series.name == entry.name && series.tone == entry.tone);
        let last = of.and_then(|series| series.points.iter().rev().find_map(|point| point.y.and_then(drawable)));
        last.map_or(area.bottom(), |last| axes.y.at(last))
    };
    let wanted: Vec<f64> = named.iter().map(end).collect();
    let places = spread(&wanted, LINE - 1.0, (area.y + 4.0, area.bottom() - 4.0));
    for (entry, y) in named.iter().zip(places) {
        draw_entry(svg, entry, (area.right() + 8.0, y), WIDTH - area.right() - 34.0);
    }
}
