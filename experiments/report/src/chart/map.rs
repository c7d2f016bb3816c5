//! Colours on grids: an image of one pixel for each cell, with names at its sides.

use super::color::{Palette, ends, level};
use super::frame::{AXIS, Anchor, Area, PanelGrid, Picture, WIDTH, nothing, title, upright, word};
use super::labels::{Under, beside_width, draw_beside, draw_under, under};
use super::scalebar::{self, ColorBar};
use super::svg::Svg;
use super::{Map, MapPanel, png, text};
use serde_json::{Value, json};

const GAP: f64 = 22.0;
const TITLE: f64 = 20.0;

/// Draws grids of colours.
pub(crate) fn draw(map: &Map, id: &str) -> Picture {
    let palette = Palette::of(map.scale.kind);
    let levels = Levels::new(map);
    let layout = MapLayout::new(map);
    let mut svg = Svg::default();
    let bar =
        ColorBar { id, label: &map.scale.label, ends: ends(&map.scale), palette: &palette, missing: levels.missing };
    scalebar::draw(&mut svg, &bar, layout.grid.left - layout.names);
    scalebar::frame_name(&mut svg, id, &map.frames, levels.shown);
    for (index, panel) in map.panels.iter().enumerate() {
        svg.group("panel");
        layout.draw_panel(&mut svg, panel, index, levels.frame(panel, index), &palette);
        svg.end();
    }
    layout.draw_axes(&mut svg, map);
    let panels = map
        .panels
        .iter()
        .enumerate()
        .map(|(index, panel)| panel_data(panel, &layout.areas[index], &levels.cells[index]));
    let mut data = scalebar::data(&map.scale, &palette);
    data.insert("type".to_owned(), json!("map"));
    data.insert("frames".to_owned(), map.frames.iter().map(|name| text::shown(name)).collect());
    data.insert("shown".to_owned(), json!(levels.shown));
    data.insert("panels".to_owned(), panels.collect());
    Picture { body: svg, height: layout.height, data: Some(data.into()) }
}

fn panel_data(panel: &MapPanel, area: &Area, cells: &[u8]) -> Value {
    let names = |names: &[String]| names.iter().map(|name| text::shown(name)).collect::<Value>();
    json!({
        "title": text::shown(&panel.title), "rows": names(&panel.rows), "columns": names(&panel.columns),
        "box": area.sides(), "cells": png::base64(cells),
    })
}

/// The values as levels of the palette: `frames × rows × columns` per panel, also if a panel has more or fewer values.
struct Levels {
    cells: Vec<Vec<u8>>,
    shown: usize,
    missing: bool,
}

impl Levels {
    fn new(map: &Map) -> Self {
        let (ends, frames) = (ends(&map.scale), map.frames.len().max(1));
        let of = |panel: &MapPanel| {
            let values = panel.values.iter().copied().chain(std::iter::repeat(None));
            values.take(frames * panel.rows.len() * panel.columns.len()).map(|value| level(ends, value)).collect()
        };
        let cells: Vec<Vec<u8>> = map.panels.iter().map(of).collect();
        let missing = cells.iter().flatten().any(|level| *level == 0);
        Self { cells, shown: map.shown.min(frames - 1), missing }
    }

    fn frame(&self, panel: &MapPanel, index: usize) -> &[u8] {
        let size = panel.rows.len() * panel.columns.len();
        self.cells.get(index).and_then(|cells| cells.get(self.shown * size..(self.shown + 1) * size)).unwrap_or(&[])
    }
}

/// Sizes and places, which must be known before the first element is written.
struct MapLayout {
    grid: PanelGrid,
    areas: Vec<Area>,
    unders: Vec<Under>,
    /// The room that names beside rows take, and whether only the first panel of a row has them.
    names: f64,
    shared: bool,
    height: f64,
}

impl MapLayout {
    fn new(map: &Map) -> Self {
        let panels = &map.panels;
        let names = panels.iter().map(|panel| beside_width(&panel.rows)).fold(0.0, f64::max) + 8.0;
        let shared = panels.windows(2).all(|pair| pair[0].rows == pair[1].rows);
        let left = 24.0 + names;
        let gap = if shared { GAP } else { GAP + names };
        let grid = PanelGrid::new(panels.len(), side_by_side(panels), (left, WIDTH - 12.0), gap);
        let mut layout = Self { grid, areas: Vec::new(), unders: Vec::new(), names, shared, height: 0.0 };
        layout.stack(map);
        layout
    }

    /// Places the panels under each other, each row of them as high as its highest.
    fn stack(&mut self, map: &Map) {
        let titled = if map.panels.iter().any(|panel| !panel.title.is_empty()) { TITLE } else { 0.0 };
        let mut y = scalebar::HEIGHT + 8.0;
        for (row, panels) in map.panels.chunks(self.grid.columns).enumerate() {
            let mut lowest: f64 = y;
            for (column, panel) in panels.iter().enumerate() {
                let x = self.grid.x(row * self.grid.columns + column);
                let (w, h) = self.size(panel);
                let area = Area { x, y: y + titled, w, h };
                let under = under(&panel.columns, w / panel.columns.len().max(1) as f64, x - 4.0);
                lowest = lowest.max(area.bottom() + under.height);
                self.areas.push(area);
                self.unders.push(under);
            }
            y = lowest + GAP * 0.6;
        }
        self.height = y + if map.axes.1.is_empty() { 0.0 } else { 12.0 };
    }

    fn size(&self, panel: &MapPanel) -> (f64, f64) {
        let (rows, columns) = (panel.rows.len(), panel.columns.len());
        let target = if self.grid.columns == 1 { 480.0 } else { 320.0 };
        let width = self.grid.width.min(columns.max(1) as f64 * 36.0);
        let height = match rows {
            0 => 40.0,
            rows => (rows as f64 * (target / rows as f64).clamp(1.0, 22.0)).min(1600.0),
        };
        (if columns == 0 { self.grid.width.min(200.0) } else { width }, height)
    }

    fn draw_panel(&self, svg: &mut Svg, panel: &MapPanel, index: usize, levels: &[u8], palette: &Palette) {
        let area = self.areas[index];
        title(svg, (area.x, area.y - 7.0), &panel.title, self.grid.width);
        draw_cells(svg, &area, (panel.rows.len(), panel.columns.len()), levels, palette.bytes());
        if self.grid.is_first(index) || !self.shared {
            draw_beside(svg, &panel.rows, &area);
        }
        draw_under(svg, &self.unders[index], &panel.columns, &area);
        if let Some(column) = spacing_break(&panel.columns) {
            let x = area.x + area.w * column as f64 / panel.columns.len() as f64;
            for side in [x - 1.5, x + 1.5] {
                svg.rule((side - 1.5, area.bottom() + 4.0), (side + 1.5, area.bottom() - 4.0), 0.9);
            }
        }
    }

    fn draw_axes(&self, svg: &mut Svg, map: &Map) {
        let (Some(first), Some(last)) = (self.areas.first(), self.areas.last()) else { return };
        let right = self.areas.iter().map(Area::right).fold(first.right(), f64::max);
        upright(svg, 13.0, (first.y, last.bottom()), &map.axes.0);
        let middle = ((first.x + right) / 2.0, self.height - 6.0);
        let broken = map.panels.iter().any(|panel| spacing_break(&panel.columns).is_some());
        let words = if broken { format!("{} (// evenly spaced from here on)", map.axes.1) } else { map.axes.1.clone() };
        word(svg, middle, Anchor::Middle, &words, WIDTH - 2.0 * (WIDTH / 2.0 - middle.0).abs());
    }
}

/// The first of the columns that are evenly spaced, where those before are not: steps such as 0, 1, 2, 4, …, 512, 1000,
/// 2000, 3000, whose axis changes its scale.
fn spacing_break(columns: &[String]) -> Option<usize> {
    const EVEN: usize = 4;
    let steps = columns.iter().map(|name| name.parse::<u64>().ok()).collect::<Option<Vec<u64>>>()?;
    let gaps = steps.windows(2).map(|pair| pair[1].checked_sub(pair[0])).collect::<Option<Vec<u64>>>()?;
    let last = *gaps.last()?;
    let even = gaps.iter().rev().skip(1).take_while(|gap| **gap == last).count() + 1;
    // The last gap is often cut off by the end of the training.
    let even = if even > 1 {
        even
    } else {
        gaps.iter().rev().skip(2).take_while(|gap| **gap == gaps[gaps.len() - 2]).count() + 2
    };
    let first = steps.len().checked_sub(even + 1)?;
    (even >= EVEN && first >= 2).then_some(first)
}

/// How many grids stand side by side, so that a cell is some units wide.
fn side_by_side(panels: &[MapPanel]) -> usize {
    let widest = panels.iter().map(|panel| panel.columns.len()).max().unwrap_or(0);
    let most = match widest {
        0..=40 => 3,
        41..=200 => 2,
        _ => 1,
    };
    super::frame::columns(panels.len()).min(most)
}

/// Draws levels as an image that fills an area, with a thin frame: on paper the middle of a scale may be next to white.
pub(crate) fn draw_cells(svg: &mut Svg, area: &Area, (rows, columns): (usize, usize), levels: &[u8], palette: &[u8]) {
    match png::image(columns, rows, levels, palette) {
        Some(address) => {
            // Where a cell is smaller than a pixel, the mean of several cells shows more than any one of them.
            let crowded = area.w < columns as f64 || area.h < rows as f64;
            let tag =
                svg.tag("image").attr("class", "cells").at(area.x, area.y).num("width", area.w).num("height", area.h);
            let tag = tag.attr("preserveAspectRatio", "none");
            tag.attr("image-rendering", if crowded { "auto" } else { "pixelated" }).attr("href", &address).empty();
        }
        None => nothing(svg, area),
    }
    let tag = svg.tag("rect").at(area.x, area.y).num("width", area.w).num("height", area.h).attr("fill", "none");
    tag.attr("stroke", "currentColor").num("stroke-opacity", AXIS * 0.7).num("stroke-width", 0.5).empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_break_is_where_steps_begin_to_be_evenly_spaced() {
        let names = |steps: &[u64]| steps.iter().map(u64::to_string).collect::<Vec<_>>();
        let suite: Vec<u64> =
            [0].into_iter().chain((0..10).map(|k| 1 << k)).chain((1..=143).map(|k| k * 1000)).collect();
        assert_eq!(spacing_break(&names(&suite)).map(|column| suite[column]), Some(1000));
        assert_eq!(spacing_break(&names(&[0, 1, 2, 4, 8, 16, 26, 36, 46, 50])), Some(5));
        assert_eq!(spacing_break(&names(&[0, 10, 20, 30, 40, 50])), None);
        assert_eq!(spacing_break(&names(&[0, 1, 2, 4, 8, 16, 32])), None);
        assert_eq!(spacing_break(&["a".to_owned(), "b".to_owned()]), None);
        assert_eq!(spacing_break(&[]), None);
    }
}
