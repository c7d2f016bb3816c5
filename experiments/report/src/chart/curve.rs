//! Curves with gaps and bands around them, as short SVG paths.

use super::color::series_color;
use super::frame::{Anchor, word};
use super::legend::look;
use super::scale::{LinearAxis, XAxis, drawable};
use super::svg::Svg;
use super::{Point, Series, Tone};

/// A place in tenths of a unit, which is finer than can be seen.
type Tenths = (i64, i64);

/// Where values lie in a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanelAxes {
    /// The axis along x.
    pub x: XAxis,
    /// The axis along y.
    pub y: LinearAxis,
}

impl PanelAxes {
    fn place(&self, x: f64, y: f64) -> Option<Tenths> {
        let tenths = |place: f64| (place * 10.0).round() as i64;
        Some((tenths(self.x.at(drawable(x)?)), tenths(self.y.at(drawable(y)?))))
    }

    fn end(&self, x: f64, end: f64) -> Option<Tenths> {
        // An interval that is infinite on one side reaches to the end of the axis.
        self.place(x, if end.is_infinite() { end.clamp(self.y.low, self.y.high) } else { end })
    }
}

/// A curve as it is drawn.
#[derive(Debug, Default, PartialEq)]
struct Curve {
    /// The path through the points that have neighbours.
    path: String,
    /// The points that have none, in units.
    lone: Vec<(f64, f64)>,
}

/// The curve through points; a missing value breaks it.
fn curve(axes: &PanelAxes, points: &[Point]) -> Curve {
    let places: Vec<Option<Tenths>> = points.iter().map(|point| axes.place(point.x, point.y?)).collect();
    let mut curve = Curve::default();
    for run in places.split(Option::is_none) {
        let run: Vec<Tenths> = run.iter().flatten().copied().collect();
        match run.as_slice() {
            [] => {}
            [(x, y)] => curve.lone.push((*x as f64 / 10.0, *y as f64 / 10.0)),
            _ => trace(&run, &mut curve.path),
        }
    }
    curve
}

/// The path around the intervals of points; empty where there is none.
fn band(axes: &PanelAxes, points: &[Point]) -> String {
    let side = |point: &Point| {
        let (low, high) = point.band?;
        Some((axes.end(point.x, low)?, axes.end(point.x, high)?))
    };
    let sides: Vec<Option<(Tenths, Tenths)>> = points.iter().map(side).collect();
    let mut path = String::new();
    for run in sides.split(Option::is_none) {
        let lower = run.iter().flatten().map(|(low, _)| *low);
        let around: Vec<Tenths> = lower.chain(run.iter().rev().flatten().map(|(_, high)| *high)).collect();
        if run.len() > 1 {
            trace(&around, &mut path);
            path.push('z');
        }
    }
    path
}

/// The areas of bands that are one point wide, which a path does not show: its place and both ends.
fn whiskers(axes: &PanelAxes, points: &[Point]) -> Vec<(f64, f64, f64)> {
    let has =
        |index: Option<usize>| index.and_then(|index| points.get(index)).is_some_and(|point| point.band.is_some());
    let lone = |(index, point): (usize, &Point)| {
        let (low, high) = point.band?;
        let alone = !has(index.checked_sub(1)) && !has(index.checked_add(1));
        let ((x, low), (_, high)) = (axes.end(point.x, low)?, axes.end(point.x, high)?);
        alone.then_some((x as f64 / 10.0, low as f64 / 10.0, high as f64 / 10.0))
    };
    points.iter().enumerate().filter_map(lone).collect()
}

/// Appends a path through places: the first one absolute, the others relative to their predecessor.
fn trace(places: &[Tenths], path: &mut String) {
    let mut last = None;
    for place in places {
        let (x, y) = *place;
        match last {
            None => {
                path.push('M');
                number(x, path);
                number(y, path);
                path.push('l');
            }
            Some((before_x, before_y)) if place != &(before_x, before_y) => {
                number(x - before_x, path);
                number(y - before_y, path);
            }
            Some(_) => {}
        }
        last = Some((x, y));
    }
    if path.ends_with('l') {
        path.push_str("0 0");
    }
}

/// Appends tenths as a number, after a space only where it would run into the one before.
fn number(tenths: i64, path: &mut String) {
    let (whole, part) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if tenths < 0 {
        path.push('-');
    } else if path.ends_with(|last: char| last.is_ascii_digit()) && (whole > 0 || part == 0 || !ends_with_point(path)) {
        path.push(' ');
    }
    if whole > 0 || part == 0 {
        path.push_str(&whole.to_string());
    }
    if part > 0 {
        path.push('.');
        path.push_str(&part.to_string());
    }
}

/// Whether the last number has a point: a second point then begins the next number.
fn ends_with_point(path: &str) -> bool {
    path.trim_end_matches(|last: char| last.is_ascii_digit()).ends_with('.')
}

/// Draws all bands, over them the muted curves, over them the others in their order.
pub(crate) fn draw(svg: &mut Svg, axes: &PanelAxes, series: &[Series]) {
    for series in series.iter().filter(|series| !matches!(series.tone, Tone::Muted | Tone::Note)) {
        draw_band(svg, axes, series);
    }
    let rank = |series: &&Series| match series.tone {
        Tone::Muted => 0,
        Tone::Baseline | Tone::Reference(_) => 1,
        Tone::Color(_) => 2,
        Tone::Note => 3,
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
        Tone::Color(index) | Tone::Reference(index) => series_color(index),
        Tone::Muted | Tone::Baseline | Tone::Note => "currentColor",
    }
}

fn draw_band(svg: &mut Svg, axes: &PanelAxes, series: &Series) {
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

/// Up to this number of points, each has a mark: a line alone hides where it was measured.
const SPARSE: usize = 30;

fn is_sparse(series: &Series) -> bool {
    let points = series.points.iter().filter(|point| point.y.and_then(drawable).is_some()).count();
    matches!(series.tone, Tone::Color(_)) && points <= SPARSE
}

/// The places of the points that have a value.
fn placed(axes: &PanelAxes, points: &[Point]) -> Vec<(f64, f64)> {
    let places = points.iter().filter_map(|point| axes.place(point.x, point.y?));
    places.map(|(x, y)| (x as f64 / 10.0, y as f64 / 10.0)).collect()
}

/// A ring at each point with the name beside it, where the panel has room.
fn draw_note(svg: &mut Svg, axes: &PanelAxes, series: &Series) {
    let middle = axes.x.middle();
    for (x, y) in placed(axes, &series.points) {
        let tag = svg.tag("circle").num("cx", x).num("cy", y).num("r", 4.0).attr("fill", "none");
        tag.attr("stroke", "currentColor").num("stroke-width", 1.2).empty();
        let (at, anchor) = if x < middle { (x + 8.0, Anchor::Start) } else { (x + 8.0, Anchor::End) };
        // A path that comes from the left leaves room below its end. At the top of the panel there is none above.
        let below = y < 17.0 || (x >= middle && y + 18.0 < axes.y.at(axes.y.low));
        word(svg, (at, if below { y + 15.0 } else { y - 7.0 }), anchor, &series.name, f64::INFINITY);
    }
}

fn draw_curve(svg: &mut Svg, axes: &PanelAxes, series: &Series) {
    if series.tone == Tone::Note {
        return draw_note(svg, axes, series);
    }
    let drawn = curve(axes, &series.points);
    if !drawn.path.is_empty() {
        let tag = look(svg.tag("path").attr("class", "line"), series.tone).attr("fill", "none");
        tag.attr("stroke-linejoin", "round").attr("d", &drawn.path).empty();
    }
    let marks = if is_sparse(series) { placed(axes, &series.points) } else { drawn.lone };
    for (x, y) in marks {
        let (radius, opacity) = if series.tone == Tone::Muted { (1.2, 0.6) } else { (2.2, 1.0) };
        let tag = svg.tag("circle").num("cx", x).num("cy", y).num("r", radius);
        tag.attr("fill", fill(series.tone)).num("fill-opacity", opacity).empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::X;

    fn axes() -> PanelAxes {
        let x = XAxis::around(&X::Linear { label: String::new() }, [0.0, 10.0], 5).between(0.0, 100.0);
        PanelAxes { x, y: LinearAxis::around([0.0, 1.0], 5).between(50.0, 0.0) }
    }

    fn points(values: &[(f64, Option<f64>)]) -> Vec<Point> {
        values.iter().map(|(x, y)| Point { x: *x, y: *y, band: y.map(|y| (y - 0.1, y + 0.1)) }).collect()
    }

    #[test]
    fn a_curve_is_relative_and_breaks_at_gaps() {
        let values = [
            (0.0, Some(0.0)),
            (1.0, Some(0.5)),
            (2.0, Some(0.25)),
            (3.0, None),
            (4.0, Some(1.0)),
            (5.0, Some(f64::NAN)),
        ];
        let drawn = curve(&axes(), &points(&values));
        assert_eq!(drawn, Curve { path: "M0 50l10-25 10 12.5".into(), lone: vec![(40.0, 0.0)] });
    }

    #[test]
    fn numbers_have_no_more_between_them_than_they_need() {
        let mut path = String::new();
        [12, 3, 4, -5, 60, 7, 0, 8].into_iter().for_each(|tenths| number(tenths, &mut path));
        assert_eq!(path, "1.2.3.4-.5 6 .7 0 .8");
    }

    #[test]
    fn a_band_goes_there_and_back() {
        let drawn = band(&axes(), &points(&[(0.0, Some(0.5)), (2.0, Some(0.5))]));
        assert_eq!(drawn, "M0 30l20 0 0-10-20 0z");
        let lone = points(&[(0.0, None), (2.0, Some(0.5)), (3.0, None)]);
        assert_eq!((band(&axes(), &lone), whiskers(&axes(), &lone)), (String::new(), vec![(20.0, 30.0, 20.0)]));
    }

    #[test]
    fn few_points_have_marks_and_many_have_none() {
        let circles = |count: usize, tone: Tone| {
            let values: Vec<(f64, Option<f64>)> = (0..count).map(|at| (at as f64 / 10.0, Some(0.5))).collect();
            let mut svg = Svg::default();
            let series = Series { name: "a".into(), tone, points: points(&values), event: None };
            draw(&mut svg, &axes(), &[series]);
            svg.document(&crate::chart::svg::Heading { id: "a", title: "", alt: "" }, 10.0, 10.0)
                .matches("<circle")
                .count()
        };
        assert_eq!([30, 31].map(|count| circles(count, Tone::Color(0))), [30, 0]);
        assert_eq!((circles(30, Tone::Muted), circles(2, Tone::Reference(0))), (0, 0));
    }

    #[test]
    fn points_at_one_place_are_one() {
        let drawn = curve(&axes(), &points(&[(1.0, Some(0.5)), (1.0, Some(0.5))]));
        assert_eq!(drawn.path, "M10 25l0 0");
    }
}
