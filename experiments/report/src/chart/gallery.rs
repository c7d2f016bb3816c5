//! Pictures of all kinds, to be looked at and to be kept as snapshots. `CHART_GALLERY=folder cargo test gallery --
//! --ignored` writes them as files.

use super::*;

/// The 154 steps of Pythia's checkpoints.
pub(super) fn steps() -> Vec<f64> {
    let powers = (0..10).map(|power| f64::from(1 << power));
    std::iter::once(0.0).chain(powers).chain((1..=143).map(|step| f64::from(step) * 1000.0)).collect()
}

/// A number from 0 to 1 that is always the same for the same seed (splitmix64).
fn noise(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// A score that rises to `top` around a step.
fn rise(step: f64, at: f64, top: f64, seed: u64) -> f64 {
    let along = ((step + 1.0).ln() - at.ln()) * 3.0;
    top / (1.0 + (-along).exp()) + 0.02 + 0.02 * noise(seed ^ step.to_bits())
}

fn series(name: &str, tone: Tone, at: f64, top: f64, wide: f64) -> Series {
    let seed = at.to_bits() ^ top.to_bits();
    let point = |x: f64| {
        let y = rise(x, at, top, seed);
        Point { x, y: Some(y), band: (wide > 0.0).then_some((y - wide, y + wide)) }
    };
    Series { name: name.into(), tone, points: steps().into_iter().map(point).collect(), event: None }
}

fn with_event(mut series: Series, at: f64) -> Series {
    series.event = Some(Event { at, interval: (at * 0.7, at * 1.4) });
    series
}

fn step_axis() -> X {
    X::Steps { tokens_per_step: Some(2_097_152.0) }
}

fn scores(panels: Vec<LinePanel>) -> Chart {
    Chart::Lines(Lines { x: step_axis(), y: Y { label: "induction score".into(), include: vec![0.0, 1.0] }, panels })
}

fn emergence() -> Chart {
    let mut all: Vec<Series> = (0..40)
        .map(|head| series(&format!("muted {head}"), Tone::Muted, 3e4 + f64::from(head) * 4e3, 0.15, 0.0))
        .collect();
    let heads = [
        ("L5H0", 620.0, 0.95),
        ("L4H6", 800.0, 0.88),
        ("L3H2", 1500.0, 0.7),
        ("L5H7", 4000.0, 0.55),
        ("L2H1", 2e4, 0.3),
    ];
    for (index, (name, at, top)) in heads.into_iter().enumerate() {
        all.push(with_event(series(name, Tone::Color(index), at, top, 0.04), at));
    }
    all.push(series("mean of all heads", Tone::Baseline, 3000.0, 0.12, 0.0));
    scores(vec![LinePanel { title: String::new(), series: all }])
}

pub(super) fn sixteen_models() -> Chart {
    let panel = |index: u32| {
        let head = |head: u32| {
            let at = 500.0 * (1.0 + f64::from(head) * 0.7 + f64::from(index) * 0.2);
            series(&format!("rank {}", head + 1), Tone::Color(head as usize), at, 1.0 - f64::from(head) * 0.07, 0.0)
        };
        LinePanel { title: format!("pythia-{}m", 70 * (index + 1)), series: (0..12).map(head).collect() }
    };
    scores((0..16).map(panel).collect())
}

fn own_names() -> Chart {
    let panel = |index: u32| {
        let head = |head: u32| {
            let at = 500.0 * (1.0 + f64::from(head) * 0.9 + f64::from(index));
            let name = format!("L{}H{}", index + head, (head * 5 + index) % 8);
            with_event(series(&name, Tone::Color(head as usize), at, 1.0 - f64::from(head) * 0.15, 0.03), at.round())
        };
        LinePanel { title: format!("pythia-{}m", 70 * (index + 1)), series: (0..4).map(head).collect() }
    };
    scores((0..3).map(panel).collect())
}

fn against_loss() -> Chart {
    let panel = |title: &str, shift: f64| {
        let model = |index: usize| {
            let point = |step: f64| {
                let loss = 11.0 - 1.6 * (step + 1.0).ln() / (1.3 - 0.1 * index as f64) * 0.75;
                Point {
                    x: loss + shift,
                    y: Some(rise(step, 900.0, 0.9 - 0.1 * index as f64, index as u64)),
                    band: None,
                }
            };
            let mut points: Vec<Point> = steps().into_iter().step_by(6).map(point).collect();
            points.reverse();
            let name = format!("pythia-{}", ["70m", "160m", "410m"][index]);
            Series { name, tone: Tone::Color(index), points, event: None }
        };
        LinePanel { title: title.into(), series: (0..3).map(model).collect() }
    };
    Chart::Lines(Lines {
        x: X::Linear { label: "loss on the second half (nats per token)".into() },
        y: Y { label: "induction score".into(), include: vec![0.0] },
        panels: vec![panel("standard", 0.0), panel("deduplicated", 0.4)],
    })
}

fn hostile() -> Chart {
    let names = [
        "</script><img src=x onerror=alert(1)>",
        "\u{202e}gnirts\0",
        "名前名前名前名前名前名前名前名前名前名前",
        "  two  ",
        "",
    ];
    let mut all: Vec<Series> =
        (0..200).map(|index| series("muted", Tone::Muted, 500.0 + 300.0 * f64::from(index), 0.9, 0.0)).collect();
    for (index, name) in names.into_iter().enumerate() {
        let mut one = series(name, Tone::Color(index), 100.0 * (index + 1) as f64, 0.8, 0.1);
        one.points[20 + index].y = Some(f64::NAN);
        one.points[60].band = Some((f64::NEG_INFINITY, 0.9));
        one.event = Some(Event { at: 512.0, interval: (f64::NAN, f64::INFINITY) });
        all.push(one);
    }
    scores(vec![LinePanel { title: names[0].into(), series: all }])
}

fn heads(layers: usize, heads: usize) -> Vec<String> {
    (0..layers).flat_map(|layer| (0..heads).map(move |head| format!("L{layer}H{head}"))).collect()
}

fn scale(label: &str, kind: ScaleKind, low: f64, high: f64) -> ColorScale {
    ColorScale { label: label.into(), kind, low, high }
}

pub(super) fn head_map(layers: usize, in_each: usize) -> Chart {
    let (rows, steps) = (heads(layers, in_each), steps());
    let value = |row: usize, column: usize| {
        let top = noise(row as u64).powi(6);
        let missing = column == 77 || noise((row * 1000 + column) as u64) < 0.0005;
        (!missing).then(|| rise(steps[column], 300.0 + 4e4 * noise(row as u64 + 9).powi(3), top, row as u64))
    };
    let values =
        (0..rows.len()).flat_map(|row| (0..154).map(move |column| (row, column))).map(|(r, c)| value(r, c)).collect();
    let columns = steps.iter().map(|step| step.to_string()).collect();
    Chart::Map(Map {
        scale: scale("induction score", ScaleKind::Sequential, 0.0, 1.0),
        frames: vec!["all".into()],
        shown: 0,
        axes: ("head".into(), "step".into()),
        panels: vec![MapPanel { title: String::new(), rows, columns, values }],
    })
}

fn tokens() -> Vec<String> {
    let text = "<|endoftext|>|When| Mary| and| John| went| to| the| store|,| John| gave| a| drink| to";
    text.split('|')
        .collect::<Vec<_>>()
        .join("|")
        .replace("<|endoftext|>", "<endoftext>")
        .split('|')
        .map(str::to_owned)
        .collect()
}

fn patching() -> Chart {
    let panel = |title: &str, seed: u64| {
        let rows: Vec<String> = (0..12).map(|layer| layer.to_string()).collect();
        let value = |index: usize| {
            let (frame, layer, position) = (index / 180, index % 180 / 15, index % 15);
            let strength = frame as f64 / 3.0;
            let early = if position == 4 && layer < 7 { 0.9 } else { 0.0 };
            let late = if position == 14 && layer > 6 { 0.95 } else { 0.0 };
            let other = if position == 10 && (4..9).contains(&layer) { -0.5 } else { 0.0 };
            let value = strength * (early + late + other) + 0.08 * (noise(seed + index as u64) - 0.5);
            (layer != 11 || position > 2).then_some(value)
        };
        MapPanel { title: title.into(), rows, columns: tokens(), values: (0..720).map(value).collect() }
    };
    Chart::Map(Map {
        scale: scale("effect on the logit difference", ScaleKind::Diverging, -1.0, 1.0),
        frames: ["step 0", "step 512", "step 4000", "step 143000"].map(String::from).to_vec(),
        shown: 3,
        axes: ("layer".into(), "token".into()),
        panels: vec![panel("residual stream", 1), panel("attention output", 2)],
    })
}

fn paths() -> Chart {
    let panel = |title: &str, seed: u64| MapPanel {
        title: title.into(),
        rows: heads(4, 8),
        columns: heads(4, 8),
        values: (0..1024)
            .map(|i| (i / 32 / 8 < i % 32 / 8).then(|| (noise(seed * 5000 + i) - 0.5).powi(3) * 4.0))
            .collect(),
    };
    Chart::Map(Map {
        scale: scale("effect", ScaleKind::Diverging, -0.5, 0.5),
        frames: vec!["step 143000".into()],
        shown: 0,
        axes: ("sender".into(), "receiver".into()),
        panels: vec![panel("query", 1), panel("key", 2), panel("value", 3)],
    })
}

fn grid(rows: usize, columns: usize, kind: ScaleKind) -> Chart {
    let values = (0..rows * columns).map(|index| Some((index as f64 * 0.01).sin())).collect();
    let names = |count: usize, word: &str| (0..count).map(|index| format!("{word}{index}")).collect();
    Chart::Map(Map {
        scale: scale("value", kind, -1.0, 1.0),
        frames: vec![],
        shown: 7,
        axes: ("row".into(), "column".into()),
        panels: vec![MapPanel {
            title: "a grid".into(),
            rows: names(rows, "r"),
            columns: names(columns, " t\u{202e}"),
            values,
        }],
    })
}

fn ablation() -> Chart {
    let panel = |title: &str, seed: u64| {
        let bar = |(index, name): (usize, String)| {
            let value = 3.0 * noise(seed + index as u64).powi(3) - 0.4;
            Bar {
                name,
                value: (index != 5).then_some(value),
                interval: Some((value - 0.2, value + 0.3)),
                control: Some((-0.1, 0.15)),
            }
        };
        BarPanel { title: title.into(), bars: heads(2, 6).into_iter().enumerate().map(bar).collect() }
    };
    let panels = vec![panel("zero ablation", 11), panel("mean ablation", 40)];
    Chart::Bars(Bars { label: "change of the loss (nats)".into(), panels })
}

fn sets() -> Chart {
    let bar = |name: &str, value: f64| Bar { name: name.into(), value: Some(value), interval: None, control: None };
    let bars = vec![
        bar("top_induction", 2.31),
        bar("previous_token", 1.2),
        bar("a set with a very long name that goes on", 0.01),
    ];
    Chart::Bars(Bars {
        label: "change of the logit difference".into(),
        panels: vec![BarPanel { title: String::new(), bars }],
    })
}

fn lens(columns: usize) -> Chart {
    let vocabulary = [
        " the",
        " Mary",
        ",",
        " and",
        "\n",
        " John",
        "ing",
        " 店",
        "</script>",
        "\u{202e}",
        " went",
        " quintessentially",
    ];
    let cell = |index: usize| {
        let layer = index / columns;
        let word = vocabulary[(noise(index as u64) * 12.0) as usize % 12];
        (word.to_owned(), (index != 3).then(|| noise(index as u64 + 7) * (layer + 1) as f64 / 13.0))
    };
    Chart::Words(Words {
        scale: scale("probability of the top token", ScaleKind::Sequential, 0.0, 1.0),
        frames: vec!["step 512".into(), "step 143000".into()],
        shown: 1,
        axes: ("layer".into(), "token".into()),
        rows: (0..12).map(|layer| layer.to_string()).chain(["final".to_owned()]).collect(),
        columns: tokens().into_iter().cycle().take(columns).collect(),
        cells: (0..2 * 13 * columns).map(cell).collect(),
    })
}

fn patterns(layers: usize, in_each: usize) -> Chart {
    let size = tokens().len();
    let weight = |index: usize| {
        let (head, row, column) = (index / (size * size), index / size % size, index % size);
        if column > row {
            return 0;
        }
        let strength = match head % 5 {
            0 if row == column => 0.9,
            1 if row == column + 1 => 0.85,
            2 if column == 0 => 0.8,
            3 if row == column + 6 => 0.7,
            4 => 1.0 / (row + 1) as f64,
            _ => 0.1 * noise(index as u64),
        };
        (strength * 255.0) as u8
    };
    let patterns = (0..layers * in_each * size * size).map(weight).collect();
    Chart::Attention(Attention {
        frames: vec!["step 143000".into()],
        shown: 0,
        layers,
        heads: in_each,
        open: 0,
        prompts: vec![AttendedPrompt { tokens: tokens(), patterns }],
    })
}

fn empty() -> Chart {
    scores(vec![LinePanel { title: "no values".into(), series: vec![] }; 2])
}

/// All pictures with their names.
pub(super) fn gallery() -> Vec<(&'static str, Chart)> {
    vec![
        ("emergence", emergence()),
        ("sixteen-models", sixteen_models()),
        ("own-names", own_names()),
        ("against-loss", against_loss()),
        ("hostile", hostile()),
        ("no-lines", empty()),
        ("head-map", head_map(24, 16)),
        ("large-map", head_map(36, 40)),
        ("small-map", head_map(2, 4)),
        ("patching", patching()),
        ("paths", paths()),
        ("wide-map", grid(3, 10_000, ScaleKind::Diverging)),
        ("no-rows", grid(0, 5, ScaleKind::Sequential)),
        ("no-columns", grid(5, 0, ScaleKind::Sequential)),
        ("ablation", ablation()),
        ("sets", sets()),
        ("lens", lens(15)),
        ("long-lens", lens(40)),
        ("patterns", patterns(12, 12)),
        ("few-patterns", patterns(2, 4)),
        ("many-patterns", patterns(36, 40)),
    ]
}

#[test]
#[ignore = "writes files into CHART_GALLERY"]
fn write_the_gallery() {
    let folder = std::env::var_os("CHART_GALLERY").expect("CHART_GALLERY names the folder to write the gallery into");
    let folder = std::path::PathBuf::from(folder);
    for (name, chart) in gallery() {
        let drawing = chart.draw(name, name, "one of the gallery");
        let data = drawing.data.map_or(0, |data| data.to_string().len());
        println!("{name}: {} bytes of picture, {data} bytes of data", drawing.svg.len());
        std::fs::write(folder.join(format!("{name}.svg")), drawing.svg).unwrap();
    }
}
