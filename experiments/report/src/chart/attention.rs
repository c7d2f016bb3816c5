//! Attention patterns: a grid of thumbnails, layers down and heads across.

use super::color::Palette;
use super::frame::{Anchor, Area, Picture, WIDTH, nothing, upright, word};
use super::map::draw_cells;
use super::scalebar::{self, ColorBar};
use super::svg::Svg;
use super::{AttendedPrompt, Attention, png, text};
use serde_json::{Value, json};

const GAP: f64 = 4.0;
const LARGEST: f64 = 92.0;
const TOP: f64 = scalebar::HEIGHT + 32.0;
/// The most pixels along a thumbnail's side.
const FINEST: usize = 96;
/// The most weights of a prompt that a page can hold at all.
const MOST_WEIGHTS: usize = 1 << 28;

/// Draws the chart: the first prompt in the frame that is shown. In the data, 0 is the weight 0 and not a missing
/// value.
pub(crate) fn draw(attention: &Attention, id: &str) -> Picture {
    let palette = Palette::weights();
    let grid = ThumbnailGrid::new(attention);
    let mut svg = Svg::default();
    let bar = ColorBar { id, label: "attention weight", ends: (0.0, 1.0), palette: &palette, missing: false };
    scalebar::draw(&mut svg, &bar, 24.0);
    scalebar::frame_name(&mut svg, id, &attention.frames, grid.shown);
    match attention.prompts.first() {
        Some(prompt) if attention.layers > 0 && attention.heads > 0 => grid.draw(&mut svg, prompt, &palette),
        _ => nothing(&mut svg, &Area { x: 0.0, y: TOP, w: WIDTH, h: 40.0 }),
    }
    let data = json!({
        "type": "attention", "frames": attention.frames.iter().map(|name| text::shown(name)).collect::<Value>(),
        "shown": grid.shown, "layers": attention.layers, "heads": attention.heads,
        "open": if attention.open < attention.layers * attention.heads { attention.open } else { 0 },
        "palette": png::base64(palette.bytes()),
        "prompts": attention.prompts.iter().map(|prompt| grid.prompt_data(prompt)).collect::<Value>(),
    });
    Picture { body: svg, height: grid.height(), data: Some(data) }
}

/// Where the thumbnails are.
struct ThumbnailGrid {
    frames: usize,
    shown: usize,
    layers: usize,
    heads: usize,
    left: f64,
    /// The side of a thumbnail.
    side: f64,
}

impl ThumbnailGrid {
    fn new(attention: &Attention) -> Self {
        let frames = attention.frames.len().max(1);
        let left = 50.0;
        let pitch = (WIDTH - 12.0 - left) / attention.heads.max(1) as f64;
        let side = (pitch - GAP).max(pitch * 0.8).min(LARGEST);
        Self {
            frames,
            shown: attention.shown.min(frames - 1),
            layers: attention.layers,
            heads: attention.heads,
            left,
            side,
        }
    }

    fn pitch(&self) -> f64 {
        self.side + GAP.min(self.side * 0.25)
    }

    fn height(&self) -> f64 {
        TOP + (self.layers as f64 * self.pitch()).max(40.0) + 22.0
    }

    fn thumbnail(&self, layer: usize, head: usize) -> Area {
        let x = self.left + head as f64 * self.pitch();
        Area { x, y: TOP + layer as f64 * self.pitch(), w: self.side, h: self.side }
    }

    fn draw(&self, svg: &mut Svg, prompt: &AttendedPrompt, palette: &Palette) {
        let coarse: Vec<u8> =
            (0..16u8).flat_map(|step| palette.bytes()[usize::from(step) * 51..][..3].to_vec()).collect();
        self.draw_names(svg);
        self.draw_prompt(svg, prompt);
        let size = prompt.tokens.len();
        for index in 0..self.layers * self.heads {
            let from = (self.shown * self.layers * self.heads + index) * size * size;
            let pattern = prompt.patterns.get(from..from + size * size).unwrap_or(&[]);
            let (side, pixels) = thumbnail(pattern, size);
            draw_cells(svg, &self.thumbnail(index / self.heads, index % self.heads), (side, side), &pixels, &coarse);
        }
    }

    /// Writes how a thumbnail is read and which prompt it shows.
    fn draw_prompt(&self, svg: &mut Svg, prompt: &AttendedPrompt) {
        let words = format!("queries down, keys across: {}", prompt.tokens.concat());
        // The viewer of the page hides this line, because it names the chosen prompt itself.
        svg.group("prompt");
        word(svg, (self.left, self.height() - 6.0), Anchor::Start, &words, WIDTH - 12.0 - self.left);
        svg.end();
    }

    fn draw_names(&self, svg: &mut Svg) {
        let bottom = self.thumbnail(self.layers - 1, 0).bottom();
        upright(svg, 13.0, (TOP, bottom), "layer");
        word(svg, (self.left, TOP - 19.0), Anchor::Start, "head", f64::INFINITY);
        let every = (14.0 / self.pitch()).ceil() as usize;
        for head in (0..self.heads).step_by(every) {
            let area = self.thumbnail(0, head);
            word(svg, (area.x + area.w / 2.0, TOP - 5.0), Anchor::Middle, &head.to_string(), f64::INFINITY);
        }
        for layer in (0..self.layers).step_by(every) {
            let area = self.thumbnail(layer, 0);
            word(svg, (area.x - 6.0, area.y + area.h / 2.0 + 3.5), Anchor::End, &layer.to_string(), f64::INFINITY);
        }
    }

    fn prompt_data(&self, prompt: &AttendedPrompt) -> Value {
        let tokens = prompt.tokens.len();
        let sides = [self.frames, self.layers, self.heads, tokens, tokens];
        let size = sides.into_iter().fold(1usize, usize::saturating_mul).min(MOST_WEIGHTS);
        let mut cells = prompt.patterns.clone();
        cells.resize(size, 0);
        let tokens: Value = prompt.tokens.iter().map(|token| text::shown(token)).collect();
        json!({"tokens": tokens, "cells": png::base64(&cells)})
    }
}

/// A pattern in 16 levels and at most [`FINEST`] pixels along its side. Where several weights share a pixel, it shows
/// the largest, so that a thin line stays visible. The reduction keeps a grid of a thousand heads small.
fn thumbnail(pattern: &[u8], size: usize) -> (usize, Vec<u8>) {
    let side = size.min(FINEST);
    let mut pixels = vec![0; side * side];
    for (index, weight) in pattern.iter().enumerate() {
        let (row, column) = (index / size * side / size, index % size * side / size);
        let pixel = &mut pixels[row * side + column];
        *pixel = (*pixel).max((u16::from(*weight) * 15 + 127).wrapping_div(255) as u8);
    }
    (side, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn attention(layers: usize, heads: usize, tokens: usize) -> Attention {
        let patterns = (0..2 * layers * heads * tokens * tokens).map(|index| (index % 256) as u8).collect();
        let tokens = (0..tokens).map(|index| format!(" t{index}")).collect();
        let frames = vec!["step 0".into(), "step 1".into()];
        Attention { frames, shown: 1, layers, heads, open: 0, prompts: vec![AttendedPrompt { tokens, patterns }] }
    }

    #[test]
    fn each_head_has_a_thumbnail() {
        let drawing = Chart::Attention(attention(3, 4, 5)).draw("a", "", "");
        assert_eq!(drawing.svg.matches("class=\"cells\"").count(), 12);
        let data = drawing.data.unwrap();
        assert_eq!((&data["layers"], &data["heads"], &data["shown"]), (&json!(3), &json!(4), &json!(1)));
        assert_eq!(data["prompts"][0]["cells"].as_str().unwrap().len(), (2usize * 12 * 25).div_ceil(3) * 4);
    }

    #[test]
    fn weights_become_steps_and_lines_stay_lines() {
        assert_eq!(thumbnail(&[0, 8, 9, 255], 2), (2, vec![0, 0, 1, 15]));
        let size = 400;
        let diagonal: Vec<u8> =
            (0..size * size).map(|index| if index / size == index % size { 255 } else { 0 }).collect();
        let (side, pixels) = thumbnail(&diagonal, size);
        assert!((0..side).all(|place| pixels[place * side + place] == 15));
    }

    #[test]
    fn a_thousand_heads_stay_small_and_nothing_is_no_error() {
        let large = Chart::Attention(attention(36, 40, 16)).draw("a", "", "");
        assert!(large.svg.len() < 1_200_000, "{}", large.svg.len());
        for (layers, heads, tokens) in [(0, 4, 3), (4, 0, 3), (2, 2, 0)] {
            assert!(Chart::Attention(attention(layers, heads, tokens)).draw("a", "", "").svg.ends_with("</svg>\n"));
        }
        let short = Attention {
            prompts: vec![AttendedPrompt { tokens: vec!["a".into(); 3], patterns: vec![1] }],
            ..attention(2, 2, 3)
        };
        assert!(Chart::Attention(short).draw("a", "", "").svg.ends_with("</svg>\n"));
    }
}
