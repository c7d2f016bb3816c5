//! Colours: of curves, of values on a grid, and of what has no value.

use super::{ColorScale, ScaleKind};

/// Colours of curves: blue, red, green, purple, orange, magenta, indigo, brown. The first five have the hues of Okabe
/// and Ito (2008), whose colours are made for white paper alone. These were searched for a contrast of at least 3 on
/// white and on the background of the dark page, and for the largest distance from each other, for readers with and
/// without red-green blindness, the first five before the rest. The cyan of Okabe and Ito is left out: at that contrast
/// it looks like the blue.
const SERIES: [&str; 8] = ["#2090f6", "#b4391c", "#54a37f", "#83538b", "#d87f00", "#b418ba", "#4654fc", "#9d4c45"];

/// Colours of the palette.
pub(crate) const PALETTE: usize = SERIES.len();

/// Dashes of curves beyond the first eight, whose colours come again.
const DASHES: [Option<&str>; 3] = [None, Some("6 3"), Some("2 2.5")];

/// Looks that differ in colour or dashes.
pub(crate) const LOOKS: usize = SERIES.len() * DASHES.len();

/// The colour of the curve with this index, counted around.
pub(crate) fn series_color(index: usize) -> &'static str {
    SERIES[index % SERIES.len()]
}

/// The dashes of the curve with this index; they tell apart curves of the same colour.
pub(crate) fn series_dash(index: usize) -> Option<&'static str> {
    DASHES[index / SERIES.len() % DASHES.len()]
}

/// The ink of words on a pale colour; does not follow the page.
pub(crate) const WORD_INK: &str = "#1b1f24";

/// Anchors of viridis (van der Walt and Smith, 2015), evenly spaced.
const VIRIDIS: [u32; 9] = [0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725];

/// Anchors of ColorBrewer's RdBu (Brewer, 2003), from blue to red, with a middle that stands out from white paper.
const RED_BLUE: [u32; 11] =
    [0x053061, 0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xefefef, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b, 0x67001f];

/// Anchors of attention weights. Small weights are nearly white, so that a sheet of many patterns is easy to read.
const WEIGHTS: [u32; 9] = [0xf3f4f6, 0xdbe7f3, 0xb9d4ea, 0x8bbbde, 0x5a9dce, 0x3480bb, 0x1a62a3, 0x0b4583, 0x08295c];

/// The colours of a missing value: light grey differs from every colour of viridis. It is near the middle of the
/// diverging scale, which therefore has a darker grey.
const MISSING_SEQUENTIAL: u32 = 0xd9d9d9;
const MISSING_DIVERGING: u32 = 0xbcbcbc;
/// The colour of a missing value under words: beige, which colour-blind readers can tell from light blue.
const MISSING_UNDER_WORDS: u32 = 0xe6dccb;

/// 256 colours: the first stands for no value, the others go from low to high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    colors: [[u8; 3]; 256],
}

impl Palette {
    /// The colours of a scale.
    pub(crate) fn of(kind: ScaleKind) -> Self {
        match kind {
            ScaleKind::Sequential => Self::between(MISSING_SEQUENTIAL, &VIRIDIS),
            ScaleKind::Diverging => Self::between(MISSING_DIVERGING, &RED_BLUE),
        }
    }

    /// The colours of attention weights; their first is the weight 0, which is a value.
    pub(crate) fn weights() -> Self {
        Self::between(WEIGHTS[0], &WEIGHTS)
    }

    /// The colours of a scale below words: light enough for dark words on all of them.
    pub(crate) fn under_words(kind: ScaleKind) -> Self {
        match kind {
            ScaleKind::Sequential => Self::between(MISSING_UNDER_WORDS, &WEIGHTS[..5]),
            ScaleKind::Diverging => {
                let mut palette = Self::of(kind);
                let lighten = |part: &mut u8| *part = part.midpoint(u8::MAX);
                palette.colors.iter_mut().skip(1).flatten().for_each(lighten);
                palette
            }
        }
    }

    fn between(missing: u32, anchors: &[u32]) -> Self {
        let mut colors = [rgb(missing); 256];
        for (index, color) in colors.iter_mut().enumerate().skip(1) {
            *color = mix(anchors, (index - 1) as f64 / 254.0);
        }
        Self { colors }
    }

    /// The colour of a level as `#rrggbb`.
    pub(crate) fn css(&self, level: u8) -> String {
        let [red, green, blue] = self.colors[usize::from(level)];
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// All colours, three bytes each.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.colors.as_flattened()
    }
}

fn rgb(color: u32) -> [u8; 3] {
    let [_, red, green, blue] = color.to_be_bytes();
    [red, green, blue]
}

/// The colour at `place` (0 to 1) on a line through evenly spaced anchors.
fn mix(anchors: &[u32], place: f64) -> [u8; 3] {
    let along = place * (anchors.len() - 1) as f64;
    let index = (along.floor() as usize).min(anchors.len() - 2);
    let (from, to, part) = (rgb(anchors[index]), rgb(anchors[index + 1]), along - index as f64);
    std::array::from_fn(|i| (f64::from(from[i]) * (1.0 - part) + f64::from(to[i]) * part).round() as u8)
}

/// The ends of a scale; the first is below the second for any data.
pub(crate) fn ends(scale: &ColorScale) -> (f64, f64) {
    match (scale.low, scale.high) {
        (low, high) if low.is_finite() && high.is_finite() && high > low && (high - low).is_finite() => (low, high),
        (low, high) if low.is_finite() && low == high && low.abs() < 1e100 => {
            let around = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
            (low - around, low + around)
        }
        _ => (0.0, 1.0),
    }
}

/// The level of a value between two ends: 0 for none, else 1 to 255. Values beyond an end, also infinite
/// ones, have the level of the end.
pub(crate) fn level(ends: (f64, f64), value: Option<f64>) -> u8 {
    match value {
        Some(value) if !value.is_nan() => {
            let place = ((value - ends.0) / (ends.1 - ends.0)).clamp(0.0, 1.0);
            1 + (place * 254.0).round() as u8
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(part: u8) -> f64 {
        match f64::from(part) / 255.0 {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        }
    }

    fn luminance(color: [u8; 3]) -> f64 {
        let [red, green, blue] = color.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// WCAG 2.2, "contrast ratio".
    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn parse(color: &str) -> [u8; 3] {
        rgb(u32::from_str_radix(&color[1..], 16).unwrap())
    }

    #[test]
    fn curves_read_on_both_grounds() {
        for color in SERIES.map(parse) {
            assert!(contrast(color, rgb(0xffffff)) >= 3.0 && contrast(color, rgb(0x14171c)) >= 3.0, "{color:?}");
        }
        assert_eq!(series_color(8), series_color(0));
        assert_ne!(series_dash(8), series_dash(0));
    }

    /// Linear light as seen without a kind of cone: Machado, Oliveira and Fernandes (2009), severity 1.
    const VISION: [(&str, [[f64; 3]; 3]); 3] = [
        ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ("no L", [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        ("no M", [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    ];

    /// CIE L*a*b* for the white of sRGB.
    fn lab(color: [u8; 3], vision: &[[f64; 3]; 3]) -> [f64; 3] {
        let light = color.map(linear);
        let dot = |row: &[f64; 3], light: &[f64; 3]| row.iter().zip(light).map(|(a, b)| a * b).sum::<f64>();
        let seen: [f64; 3] = std::array::from_fn(|row| dot(&vision[row], &light).clamp(0.0, 1.0));
        let xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let white = [0.9505, 1.0, 1.089];
        let [x, y, z] = std::array::from_fn(|row| match dot(&xyz[row], &seen) / white[row] {
            part if part > 0.008856 => part.cbrt(),
            part => 7.787 * part + 16.0 / 116.0,
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Fails where two of the colours are nearer to each other than `least` of the later one's index.
    fn check_apart(name: &str, vision: &[[f64; 3]; 3], least: impl Fn(usize) -> f64) {
        for (index, color) in SERIES.iter().enumerate() {
            for (other_index, other) in SERIES.iter().enumerate().take(index) {
                let (a, b) = (lab(parse(color), vision), lab(parse(other), vision));
                let distance = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(distance > least(index), "{name}: {index} and {other_index} are {distance:.1} apart");
            }
        }
    }

    #[test]
    fn curves_are_told_apart_without_red_and_green() {
        for (name, vision) in &VISION {
            check_apart(name, vision, |index| if index < 5 { 27.0 } else { 20.0 });
        }
    }

    /// Readers with all cones name what they see: a blue and a cyan that were 32 apart were both blue to them.
    #[test]
    fn curves_have_different_names_to_readers_with_all_cones() {
        let (name, vision) = &VISION[0];
        check_apart(name, vision, |index| if index < 7 { 35.0 } else { 25.0 });
    }

    #[test]
    fn words_read_on_every_pale_colour() {
        for kind in [ScaleKind::Sequential, ScaleKind::Diverging] {
            for color in Palette::under_words(kind).colors {
                assert!(contrast(color, parse(WORD_INK)) >= 4.5, "{color:?}");
            }
        }
    }

    #[test]
    fn no_value_is_unlike_every_value() {
        for kind in [ScaleKind::Sequential, ScaleKind::Diverging] {
            let [missing, values @ ..] = Palette::of(kind).colors;
            let distance =
                |color: &[u8; 3]| (0..3).map(|i| (f64::from(color[i]) - f64::from(missing[i])).powi(2)).sum::<f64>();
            let nearest = values.iter().map(distance).fold(f64::INFINITY, f64::min).sqrt();
            assert!(nearest > 45.0, "{kind:?}: {nearest}");
        }
    }

    #[test]
    fn tables_begin_and_end_where_they_should() {
        let palette = Palette::of(ScaleKind::Sequential);
        assert_eq!(
            (palette.css(1), palette.css(128), palette.css(255)),
            ("#440154".into(), "#21918c".into(), "#fde725".into())
        );
        let palette = Palette::of(ScaleKind::Diverging);
        assert_eq!(
            (palette.css(1), palette.css(128), palette.css(255)),
            ("#053061".into(), "#efefef".into(), "#67001f".into())
        );
        assert_eq!(palette.bytes().len(), 768);
    }

    #[test]
    fn levels_of_strange_values() {
        let around = (-2.0, 2.0);
        let cases = [
            (None, 0),
            (Some(f64::NAN), 0),
            (Some(-2.0), 1),
            (Some(0.0), 128),
            (Some(2.0), 255),
            (Some(f64::INFINITY), 255),
            (Some(f64::NEG_INFINITY), 1),
            (Some(-9.0), 1),
        ];
        for (value, expected) in cases {
            assert_eq!(level(around, value), expected, "{value:?}");
        }
    }

    #[test]
    fn ends_are_always_apart() {
        for (low, high) in [(1.0, 1.0), (0.0, 0.0), (2.0, 1.0), (f64::NAN, 1.0), (f64::MIN, f64::MAX), (1e300, 1e300)] {
            let (low, high) = ends(&ColorScale { label: String::new(), kind: ScaleKind::Sequential, low, high });
            assert!(low < high && (high - low).is_finite(), "{low} {high}");
        }
    }
}
