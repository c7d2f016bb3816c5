//! What holds for every picture: a well-formed document whose ids are its own, with nothing that a strict page forbids,
//! of a reasonable size, the same each time; and what small pictures of each kind look like, as snapshots.

use super::gallery::{gallery, head_map, sixteen_models, steps};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Goes through a document and fails at what is not well-formed or not allowed; gives the number of elements.
fn check(svg: &str, id: &str) -> usize {
    let (mut rest, mut open, mut ids, mut elements) = (svg, Vec::new(), BTreeSet::new(), 0);
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        let end = rest[start..].find('>').expect("each tag ends") + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "elements close in order");
            continue;
        }
        elements += 1;
        let (name, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        assert!(ELEMENTS.contains(&name), "{name} is no element of ours");
        for own in check_attributes(attributes) {
            assert!(own.starts_with(&format!("{id}-")) && ids.insert(own.to_owned()), "{own} is not its own");
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest == "\n");
    elements
}

const ELEMENTS: [&str; 12] =
    ["svg", "title", "desc", "rect", "g", "path", "line", "text", "circle", "image", "linearGradient", "stop"];

fn check_text(text: &str) {
    let forbidden =
        |c: char| (c < ' ' && c != '\n') || ('\u{7f}'..'\u{a0}').contains(&c) || "\u{fffe}\u{ffff}>\"".contains(c);
    assert!(!text.contains(forbidden), "{text:?}");
    let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#10;", "&#9;"];
    for (place, _) in text.match_indices('&') {
        assert!(entities.iter().any(|entity| text[place..].starts_with(entity)), "{text:?}");
    }
    assert!(!text.contains(['\u{202e}', '\u{200f}', '\u{61c}']), "{text:?}");
}

/// Checks attributes and gives the ids among them.
fn check_attributes(mut attributes: &str) -> Vec<&str> {
    let mut ids = Vec::new();
    while let Some((name, rest)) = attributes.split_once("=\"") {
        let (value, rest) = rest.split_once('"').expect("values end");
        let name = name.trim();
        assert!(name != "style" && !name.starts_with("on"), "{name}");
        assert!(name != "href" || value.starts_with("data:image/png;base64,"), "{value}");
        if ["x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r"].contains(&name) {
            let number: f64 = value.parse().expect("a number");
            assert!((-1.0..100_000.0).contains(&number), "{name}={value}");
            assert!(value.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2), "{name}={value}");
        }
        if ["width", "x", "x1", "x2"].contains(&name) {
            assert!(value.parse::<f64>().unwrap() <= 860.0, "{name}={value}");
        }
        if name == "id" {
            ids.push(value);
        }
        attributes = rest;
    }
    assert!(attributes.trim().is_empty(), "{attributes}");
    ids
}

#[test]
fn the_gallery_is_well_formed_and_the_same_each_time() {
    for (name, chart) in gallery() {
        let first = chart.draw(name, "a <title>\u{202e}", "an \"alternative\"\0\u{61c}");
        assert!(check(&first.svg, name) > 5, "{name}");
        assert_eq!(first, chart.draw(name, "a <title>\u{202e}", "an \"alternative\"\0\u{61c}"), "{name}");
    }
}

#[test]
fn large_charts_stay_small_enough() {
    let size = |chart: &Chart| chart.draw("size", "", "").svg.len();
    assert!(size(&sixteen_models()) < 350_000, "{}", size(&sixteen_models()));
    assert!(size(&head_map(24, 16)) < 90_000, "{}", size(&head_map(24, 16)));
    assert!(size(&head_map(36, 40)) < 300_000, "{}", size(&head_map(36, 40)));
}

#[test]
fn charts_without_panels_are_pictures_too() {
    let scale = ColorScale { label: String::new(), kind: ScaleKind::Sequential, low: f64::NAN, high: 0.0 };
    let axes = (String::new(), String::new());
    let charts = [
        Chart::Lines(Lines {
            x: X::Steps { tokens_per_step: Some(0.0) },
            y: Y { label: String::new(), include: vec![] },
            panels: vec![],
        }),
        Chart::Map(Map { scale: scale.clone(), frames: vec![], shown: 9, axes: axes.clone(), panels: vec![] }),
        Chart::Bars(Bars { label: String::new(), panels: vec![] }),
        Chart::Words(Words { scale, frames: vec![], shown: 9, axes, rows: vec![], columns: vec![], cells: vec![] }),
        Chart::Attention(Attention { frames: vec![], shown: 9, layers: 0, heads: 0, open: 0, prompts: vec![] }),
    ];
    for chart in charts {
        check(&chart.draw("none", "", "").svg, "none");
    }
}

/// The values of the shown frame are those of the image, and all frames are in the data.
#[test]
fn a_map_shows_its_frame() {
    let panel = |values: Vec<Option<f64>>| MapPanel {
        title: String::new(),
        rows: vec!["r".into()],
        columns: vec!["a".into(), "b".into()],
        values,
    };
    let map = |shown: usize, values: Vec<Option<f64>>| {
        Chart::Map(Map {
            scale: ColorScale { label: String::new(), kind: ScaleKind::Diverging, low: -1.0, high: 1.0 },
            frames: vec!["f0".into(), "f1".into()],
            shown,
            axes: (String::new(), String::new()),
            panels: vec![panel(values)],
        })
        .draw("m", "", "")
    };
    let drawn = map(1, vec![Some(-1.0), Some(0.0), Some(1.0), None]);
    let data = drawn.data.unwrap();
    assert_eq!(data["panels"][0]["cells"], png::base64(&[1, 128, 255, 0]));
    assert_eq!(data["shown"], 1);
    let palette = color::Palette::of(ScaleKind::Diverging);
    let image = png::image(2, 1, &[255, 0], palette.bytes()).unwrap();
    assert!(drawn.svg.contains(&image), "the second frame is drawn");
    assert!(drawn.svg.contains(">f1</text>"));
    let short = map(7, vec![Some(1.0)]);
    assert_eq!(
        short.data.unwrap()["panels"][0]["cells"],
        png::base64(&[255, 0, 0, 0]),
        "what is not there has no value"
    );
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -1e6..1e6, 0.0..1.0, Just(f64::NAN), Just(f64::INFINITY), Just(0.0)]
}

fn lines() -> impl Strategy<Value = Chart> {
    let point = (number(), proptest::option::of(number()), proptest::option::of((number(), number())));
    let points = proptest::collection::vec(point.prop_map(|(x, y, band)| Point { x, y, band }), 0..6);
    let event = proptest::option::of((number(), number(), number()));
    let tone = prop_oneof![
        any::<usize>().prop_map(Tone::Color),
        any::<usize>().prop_map(Tone::Reference),
        Just(Tone::Muted),
        Just(Tone::Baseline),
        Just(Tone::Note)
    ];
    let series = (any::<String>(), tone, points, event).prop_map(|(name, tone, points, event)| Series {
        name,
        tone,
        points,
        event: event.map(|(at, low, high)| Event { at, interval: (low, high) }),
    });
    let panel = (any::<String>(), proptest::collection::vec(series, 0..5))
        .prop_map(|(title, series)| LinePanel { title, series });
    let steps = proptest::option::of(number()).prop_map(|tokens_per_step| X::Steps { tokens_per_step });
    let x = prop_oneof![steps, any::<String>().prop_map(|label| X::Linear { label })];
    let y =
        (any::<String>(), proptest::collection::vec(number(), 0..3)).prop_map(|(label, include)| Y { label, include });
    (x, y, proptest::collection::vec(panel, 0..5)).prop_map(|(x, y, panels)| Chart::Lines(Lines { x, y, panels }))
}

fn map() -> impl Strategy<Value = Chart> {
    let names = || proptest::collection::vec(any::<String>(), 0..8);
    let values = proptest::collection::vec(proptest::option::of(number()), 0..40);
    let panel = (any::<String>(), names(), names(), values).prop_map(|(title, rows, columns, values)| MapPanel {
        title,
        rows,
        columns,
        values,
    });
    (number(), number(), names(), 0..5usize, proptest::collection::vec(panel, 0..4)).prop_map(
        |(low, high, frames, shown, panels)| {
            let scale = ColorScale { label: "l".into(), kind: ScaleKind::Diverging, low, high };
            Chart::Map(Map { scale, frames, shown, axes: ("r".into(), "c".into()), panels })
        },
    )
}

fn bars() -> impl Strategy<Value = Chart> {
    let pair = || proptest::option::of((number(), number()));
    let bar = (any::<String>(), proptest::option::of(number()), pair(), pair())
        .prop_map(|(name, value, interval, control)| Bar { name, value, interval, control });
    let panel =
        (any::<String>(), proptest::collection::vec(bar, 0..6)).prop_map(|(title, bars)| BarPanel { title, bars });
    proptest::collection::vec(panel, 0..4).prop_map(|panels| Chart::Bars(Bars { label: "l".into(), panels }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_data_the_document_is_well_formed(chart in prop_oneof![lines(), map(), bars()], words: String) {
        check(&chart.draw("any", &words, &words).svg, "any");
    }
}

fn few_points(name: &str, tone: Tone, top: f64) -> Series {
    let point = |(index, step): (usize, f64)| {
        let y = top * index as f64 / 10.0;
        Point { x: step, y: (index != 7).then_some(y), band: (tone == Tone::Color(0)).then_some((y - 0.05, y + 0.05)) }
    };
    let points = steps().into_iter().take(11).enumerate().map(point).collect();
    let event = (tone == Tone::Color(0)).then_some(Event { at: 16.0, interval: (8.0, 32.0) });
    Series { name: name.into(), tone, points, event }
}

#[test]
fn snapshot_of_lines() {
    let series = vec![
        few_points("L0H1", Tone::Color(0), 1.0),
        few_points("base", Tone::Baseline, 0.3),
        few_points("", Tone::Muted, 0.2),
    ];
    let chart = Chart::Lines(Lines {
        x: X::Steps { tokens_per_step: Some(2_097_152.0) },
        y: Y { label: "score".into(), include: vec![0.0, 1.0] },
        panels: vec![LinePanel { title: "nano".into(), series }],
    });
    insta::assert_snapshot!(chart.draw("lines", "Scores", "They rise.").svg);
}

#[test]
fn snapshot_of_a_map() {
    let values = (0..12).map(|index| (index != 5).then_some(f64::from(index) / 6.0 - 1.0)).collect();
    let names = |names: [&str; 3]| names.map(String::from).to_vec();
    let panel = MapPanel {
        title: "stream".into(),
        rows: vec!["0".into(), "1".into()],
        columns: names(["<s>", " a", "\n"]),
        values,
    };
    let chart = Chart::Map(Map {
        scale: ColorScale { label: "effect".into(), kind: ScaleKind::Diverging, low: -1.0, high: 1.0 },
        frames: vec!["step 0".into(), "step 1".into()],
        shown: 0,
        axes: ("layer".into(), "token".into()),
        panels: vec![panel],
    });
    insta::assert_snapshot!(chart.draw("map", "Effects", "At the end.").svg);
}

#[test]
fn snapshot_of_bars() {
    let bar = |name: &str, value: f64| Bar {
        name: name.into(),
        value: Some(value),
        interval: Some((value - 0.2, value + 0.1)),
        control: Some((-0.1, 0.1)),
    };
    let panel = BarPanel { title: "zero".into(), bars: vec![bar("L0H0", 1.25), bar("L0H1", -0.5)] };
    let chart = Chart::Bars(Bars { label: "change of the loss".into(), panels: vec![panel] });
    insta::assert_snapshot!(chart.draw("bars", "Ablation", "One matters.").svg);
}

#[test]
fn snapshot_of_words() {
    let cells = [" the", "\u{202e}", "</script>", ""].map(|word| (word.to_owned(), Some(0.5)));
    let chart = Chart::Words(Words {
        scale: ColorScale { label: "probability".into(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 },
        frames: vec!["step 0".into()],
        shown: 0,
        axes: ("layer".into(), "token".into()),
        rows: vec!["0".into(), "1".into()],
        columns: vec!["<s>".into(), " a".into()],
        cells: cells.to_vec(),
    });
    insta::assert_snapshot!(chart.draw("words", "Lens", "It reads.").svg);
}

#[test]
fn snapshot_of_attention() {
    let prompt =
        AttendedPrompt { tokens: vec!["<s>".into(), " a".into()], patterns: vec![255, 0, 51, 204, 255, 0, 128, 127] };
    let chart = Chart::Attention(Attention {
        frames: vec!["step 0".into()],
        shown: 0,
        layers: 1,
        heads: 2,
        open: 0,
        prompts: vec![prompt],
    });
    insta::assert_snapshot!(chart.draw("attention", "Patterns", "They look back.").svg);
}
