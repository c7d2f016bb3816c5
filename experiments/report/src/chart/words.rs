//! Words on a grid over a colour, such as the prediction at each layer and position.

use super::color::{Palette, WORD_INK, ends, level};
use super::frame::{Anchor, Area, Picture, SMALL, WIDTH, nothing, upright, word};
use super::labels::beside_width;
use super::scalebar::{self, ColorBar};
use super::svg::Svg;
use super::{Words, png, text};
use serde_json::json;
use std::collections::BTreeMap;

const CELL: f64 = 19.0;
/// Narrower cells would cut most words, so columns that do not fit continue below.
const NARROWEST: f64 = 50.0;
const WIDEST: f64 = 96.0;
/// More elements would make a page slow; a line says how many columns are left out.
const MOST_CELLS: usize = 6000;
const HEAD: f64 = 18.0;
const BLOCK_GAP: f64 = 14.0;

/// Draws a grid of words.
pub(crate) fn draw(words: &Words, id: &str) -> Picture {
    let palette = Palette::under_words(words.scale.kind);
    let layout = WordLayout::new(words);
    let table = WordTable::new(words, &layout);
    let mut svg = Svg::default();
    let bar = ColorBar {
        id,
        label: &words.scale.label,
        ends: ends(&words.scale),
        palette: &palette,
        missing: table.levels.contains(&0),
    };
    scalebar::draw(&mut svg, &bar, 24.0);
    scalebar::frame_name(&mut svg, id, &words.frames, table.shown);
    layout.draw_names(&mut svg, words);
    layout.draw_cells(&mut svg, &table, &palette);
    let mut data = scalebar::data(&words.scale, &palette);
    data.insert("type".to_owned(), json!("words"));
    data.insert("frames".to_owned(), words.frames.iter().map(|name| text::shown(name)).collect());
    data.insert("shown".to_owned(), json!(table.shown));
    data.insert("rows".to_owned(), words.rows.iter().map(|name| text::shown(name)).collect());
    data.insert("columns".to_owned(), words.columns[..layout.columns].iter().map(|name| text::shown(name)).collect());
    table.add_to(&mut data);
    Picture { body: svg, height: layout.height, data: Some(data.into()) }
}

/// Where the cells are: blocks of columns below each other.
struct WordLayout {
    rows: usize,
    /// Columns that are drawn, of those there are.
    columns: usize,
    block: usize,
    left: f64,
    width: f64,
    height: f64,
}

impl WordLayout {
    fn new(words: &Words) -> Self {
        let rows = words.rows.len();
        let columns = words.columns.len().min(MOST_CELLS / rows.max(1));
        let left = 24.0 + beside_width(&words.rows) + 8.0;
        let room = WIDTH - 12.0 - left;
        let fitting = (room / NARROWEST).floor().max(1.0) as usize;
        let blocks = columns.div_ceil(fitting).max(1);
        let block = columns.div_ceil(blocks).max(1);
        let mut layout = Self { rows, columns, block, left, width: (room / block as f64).min(WIDEST), height: 0.0 };
        let left_out = if columns < words.columns.len() { 16.0 } else { 0.0 };
        let body = if layout.is_empty() { 40.0 } else { blocks as f64 * layout.stride() - BLOCK_GAP };
        layout.height = layout.top(0) + body - HEAD + left_out + if words.axes.1.is_empty() { 6.0 } else { 24.0 };
        layout
    }

    fn is_empty(&self) -> bool {
        self.rows == 0 || self.columns == 0
    }

    fn stride(&self) -> f64 {
        HEAD + self.rows as f64 * CELL + BLOCK_GAP
    }

    /// The upper side of a block's cells.
    fn top(&self, block: usize) -> f64 {
        scalebar::HEIGHT + 4.0 + HEAD + block as f64 * self.stride()
    }

    fn cell(&self, row: usize, column: usize) -> Area {
        let x = self.left + (column % self.block) as f64 * self.width;
        Area { x, y: self.top(column / self.block) + row as f64 * CELL, w: self.width, h: CELL }
    }

    /// The axes' words, the tokens above the columns and the names beside the rows of each block.
    fn draw_names(&self, svg: &mut Svg, words: &Words) {
        let bottom = self.top(self.columns.saturating_sub(1) / self.block) + self.rows as f64 * CELL;
        upright(svg, 13.0, (self.top(0), bottom.max(self.top(0) + 40.0)), &words.axes.0);
        let wide = self.block.min(self.columns.max(1)) as f64 * self.width;
        word(svg, (self.left + wide / 2.0, self.height - 6.0), Anchor::Middle, &words.axes.1, wide.max(200.0));
        if self.columns < words.columns.len() {
            let left_out = format!("{} more columns are left out", words.columns.len() - self.columns);
            word(svg, (self.left, bottom + 14.0), Anchor::Start, &left_out, wide);
        }
        if self.is_empty() {
            return nothing(svg, &Area { x: self.left, y: self.top(0) - HEAD, w: self.width, h: 40.0 });
        }
        for (column, name) in words.columns[..self.columns].iter().enumerate() {
            let cell = self.cell(0, column);
            word(svg, (cell.x + cell.w / 2.0, cell.y - 5.0), Anchor::Middle, name, cell.w - 4.0);
        }
        for first in (0..self.columns).step_by(self.block) {
            for (row, name) in words.rows.iter().enumerate() {
                word(
                    svg,
                    (self.left - 6.0, self.cell(row, first).y + CELL * 0.68),
                    Anchor::End,
                    name,
                    self.left - 32.0,
                );
            }
        }
    }

    fn draw_cells(&self, svg: &mut Svg, table: &WordTable, palette: &Palette) {
        let size = self.rows * self.columns;
        for index in 0..size {
            let (row, column) = (index / self.columns, index % self.columns);
            let (cell, at) = (self.cell(row, column), table.shown * size + index);
            svg.group("word");
            let tag = svg.tag("rect").at(cell.x, cell.y).num("width", cell.w - 1.0).num("height", cell.h - 1.0);
            tag.attr("fill", &palette.css(table.levels[at])).empty();
            let tag = svg.tag("text").at(cell.x + (cell.w - 1.0) / 2.0, cell.y + cell.h * 0.66);
            let tag = tag.attr("text-anchor", "middle").num("font-size", SMALL).attr("fill", WORD_INK);
            let (cut, whole) = &table.texts[usize::from(table.cells[at])];
            tag.label(cut, whole);
            svg.end();
        }
    }
}

/// The words of all frames, each text once.
struct WordTable {
    /// Each text as a cell shows it, and whole.
    texts: Vec<(String, String)>,
    cells: Vec<u16>,
    levels: Vec<u8>,
    shown: usize,
}

impl WordTable {
    fn new(words: &Words, layout: &WordLayout) -> Self {
        let (frames, all) = (words.frames.len().max(1), words.columns.len());
        let (ends, nothing) = (ends(&words.scale), (String::new(), None));
        let mut known: BTreeMap<&str, u16> = BTreeMap::new();
        // Index 0 stands for all texts beyond 65,535, which is the largest index.
        let mut texts = vec![("…".to_owned(), "…".to_owned())];
        let (mut cells, mut levels) = (Vec::new(), Vec::new());
        for line in 0..frames * layout.rows {
            for column in 0..layout.columns {
                let (word, value) = words.cells.get(line * all + column).unwrap_or(&nothing);
                let index = *known.entry(word.as_str()).or_insert_with(|| {
                    let Ok(index) = u16::try_from(texts.len()) else { return 0 };
                    texts.push((text::fitted(word, SMALL, layout.width - 5.0), text::shown(word)));
                    index
                });
                cells.push(index);
                levels.push(level(ends, *value));
            }
        }
        Self { texts, cells, levels, shown: words.shown.min(frames - 1) }
    }

    fn add_to(&self, data: &mut serde_json::Map<String, serde_json::Value>) {
        let indices: Vec<u8> = self.cells.iter().flat_map(|index| index.to_le_bytes()).collect();
        let (cut, whole): (Vec<&str>, Vec<&str>) =
            self.texts.iter().map(|(cut, whole)| (cut.as_str(), whole.as_str())).unzip();
        data.insert("texts".to_owned(), json!(cut));
        data.insert("names".to_owned(), json!(whole));
        data.insert("cells".to_owned(), json!(png::base64(&indices)));
        data.insert("levels".to_owned(), json!(png::base64(&self.levels)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Chart, ColorScale, ScaleKind};
    use base64::Engine as _;

    fn words(rows: usize, columns: usize, frames: usize) -> Words {
        Words {
            scale: ColorScale { label: "p".into(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 },
            frames: (0..frames).map(|frame| format!("step {frame}")).collect(),
            shown: frames.saturating_sub(1),
            axes: ("layer".into(), "token".into()),
            rows: (0..rows).map(|row| row.to_string()).collect(),
            columns: (0..columns).map(|column| format!(" t{column}")).collect(),
            cells: (0..rows * columns * frames).map(|index| (format!(" w{}", index % 3), Some(index as f64))).collect(),
        }
    }

    fn bytes(value: &serde_json::Value) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_last_frame_is_drawn_and_all_are_in_the_data() {
        let drawing = Chart::Words(words(2, 3, 4)).draw("w", "", "");
        let data = drawing.data.unwrap();
        assert_eq!(drawing.svg.matches("class=\"word\"").count(), 6);
        assert_eq!((bytes(&data["cells"]).len(), bytes(&data["levels"]).len()), (2 * 24, 24));
        assert_eq!(bytes(&data["cells"])[..6], [1, 0, 2, 0, 3, 0]);
        assert_eq!(data["names"][1], "\u{2068}·w0\u{2069}");
        assert_eq!(data["shown"], 3);
        assert!(drawing.svg.contains("id=\"w-frame\""));
    }

    #[test]
    fn cells_stay_row_after_row_in_blocks() {
        let layout = WordLayout::new(&words(3, 40, 1));
        assert!(layout.block < 40 && layout.width >= NARROWEST);
        assert!(layout.cell(2, 39).right() <= WIDTH && layout.cell(2, 39).bottom() <= layout.height);
        assert!(layout.cell(0, layout.block).y > layout.cell(2, 0).bottom(), "blocks are below each other");
    }

    #[test]
    fn too_many_columns_are_left_out_and_counted() {
        let drawing = Chart::Words(words(12, 10_000, 1)).draw("w", "", "");
        assert!(drawing.svg.contains(">9500 more columns are left out<"));
        assert_eq!(drawing.data.unwrap()["columns"].as_array().unwrap().len(), 500);
        for (rows, columns, frames) in [(0, 3, 1), (3, 0, 1), (0, 0, 0), (7000, 2, 1)] {
            assert!(Chart::Words(words(rows, columns, frames)).draw("w", "", "").svg.ends_with("</svg>\n"));
        }
    }
}
