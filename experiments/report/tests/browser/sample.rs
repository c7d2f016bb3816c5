//! Pages to look at: one with every kind of chart and the worst texts, one with nothing in it.

use pythia_report::chart::{
    AttendedPrompt, Attention, Bar, BarPanel, Bars, Chart, ColorScale, Event, LinePanel, Lines, Map, MapPanel, Point,
    ScaleKind, Series, Tone, Words, X, Y,
};
use pythia_report::listing::{Listing, ListingColumn};
use pythia_report::page::{Block, Code, Figure, Page, Section};

/// A token that would end a script, run one, and turn what is written after it.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=\"document.title='broken'\"><!--\u{202e}\0";

/// The title of the sample, with markup in it.
pub(crate) const TITLE: &str = "nano <b>&amp; \"its\" heads</title>";

/// Steps that are seen in the maps.
pub(crate) const STEPS: [u32; 4] = [0, 16, 512, 2000];

/// Prompts' tokens.
const TOKENS: [&str; 6] = [" the", " cat", HOSTILE, "\n", "語 שלום", " cat"];

/// A page with every kind of block and of chart.
pub(crate) fn everything() -> Page {
    let section = |id: &str, title: &str, blocks| Section { id: id.to_owned(), title: title.to_owned(), blocks };
    let folded = Block::Folded { title: "The experiment".to_owned(), text: format!("texts = [\"{HOSTILE}\"]\n") };
    let pairs = vec![("Model".to_owned(), "nano".to_owned()), (HOSTILE.to_owned(), "one ".repeat(80))];
    Page {
        title: TITLE.to_owned(),
        lead: vec!["What two layers of four heads learn in 2,000 steps.".to_owned(), HOSTILE.to_owned()],
        sections: vec![
            section("curves", "Over training", vec![Block::Text(HOSTILE.to_owned()), figure("emergence", lines())]),
            section("maps", "Maps", vec![figure("patching", map(ScaleKind::Diverging)), figure("lens", words())]),
            section("attention", "Attention", vec![figure("patterns", attention())]),
            section("numbers", "Numbers", vec![Block::Listing(listing(40)), figure("ablation", bars())]),
            section("origin", "Provenance", vec![Block::Pairs(pairs), folded]),
        ],
    }
}

/// A page whose charts and tables have nothing to show.
pub(crate) fn nothing() -> Page {
    let no_values = Lines { x: X::Steps { tokens_per_step: None }, y: y(), panels: vec![panel("", vec![])] };
    let grid =
        |rows: Vec<String>, columns: Vec<String>| MapPanel { title: String::new(), rows, columns, values: vec![] };
    let panels = vec![grid(vec![], names("c", 3)), grid(names("r", 2), vec![])];
    let Chart::Map(full) = map(ScaleKind::Sequential) else { return everything() };
    let bars = Bars { label: String::new(), panels: vec![BarPanel { title: String::new(), bars: vec![] }] };
    let patterns = AttendedPrompt { tokens: vec![], patterns: vec![] };
    let attention = Attention { frames: frames(), shown: 0, layers: 2, heads: 2, open: 0, prompts: vec![patterns] };
    let charts =
        [Chart::Lines(no_values), Chart::Map(Map { panels, ..full }), Chart::Bars(bars), Chart::Attention(attention)];
    let blocks = charts.into_iter().enumerate().map(|(at, chart)| figure(&format!("empty-{at}"), chart)).collect();
    let section = Section { id: "empty".to_owned(), title: String::new(), blocks };
    let empty = Section { id: "more".to_owned(), title: "More".to_owned(), blocks: vec![Block::Listing(listing(0))] };
    Page { title: String::new(), lead: vec![], sections: vec![section, empty] }
}

/// A page with the curves of one panel, and with those of two.
pub(crate) fn curves() -> Page {
    let Chart::Lines(two) = lines() else { return everything() };
    let one = Lines { panels: two.panels[..1].to_vec(), ..two.clone() };
    let blocks = vec![figure("curve", Chart::Lines(one)), figure("several", Chart::Lines(two))];
    let section = Section { id: "curves".to_owned(), title: "Over training".to_owned(), blocks };
    Page { title: "Curves".to_owned(), lead: vec![], sections: vec![section] }
}

/// A page about one prompt of ten thousand tokens.
pub(crate) fn long() -> Page {
    let columns: Vec<String> = (0..10_000).map(|at| format!("{} {at}", TOKENS[at % 6])).collect();
    let values = (0..20_000).map(|at| (at % 7 != 0).then(|| f64::from(at % 100) / 50.0 - 1.0)).collect();
    let panel = MapPanel { title: String::new(), rows: names("layer ", 2), columns, values };
    let Chart::Map(full) = map(ScaleKind::Sequential) else { return everything() };
    let map = Map { frames: vec!["step 0".to_owned()], shown: 0, panels: vec![panel], ..full };
    let blocks = vec![figure("long", Chart::Map(map)), Block::Listing(listing(2_000))];
    let section = Section { id: "tokens".to_owned(), title: "Tokens".to_owned(), blocks };
    Page { title: "Long".to_owned(), lead: vec![], sections: vec![section] }
}

/// A page as large as a report on 16 models at 154 checkpoints may be: curves of all, a map of 384 heads, patching maps
/// and patterns of some checkpoints.
pub(crate) fn large() -> Page {
    let wave = |at: usize| (at as f64 * 0.37).sin() * 0.4 + 0.5;
    let step = |at: usize| if at == 0 { 0.0 } else { (at as f64).powf(2.4).round() };
    let series = |panel: usize, curve: usize| Series {
        name: format!("L{curve}H{panel}"),
        tone: Tone::Color(curve),
        points: (0..154).map(|at| Point { x: step(at), y: Some(wave(at + 9 * curve + panel)), band: None }).collect(),
        event: None,
    };
    let panels =
        (0..16).map(|at| panel(&format!("pythia-{at}"), (0..12).map(|curve| series(at, curve)).collect())).collect();
    let curves = Chart::Lines(Lines { x: X::Steps { tokens_per_step: Some(2_097_152.0) }, y: y(), panels });
    let scale = |kind, low| ColorScale { label: "score".to_owned(), kind, low, high: 1.0 };
    let axes = || ("head".to_owned(), "step".to_owned());
    let grid = |frames: usize, rows: usize, columns: usize| MapPanel {
        title: String::new(),
        rows: names("L", rows),
        columns: names("", columns),
        values: (0..frames * rows * columns).map(|at| Some(wave(at))).collect(),
    };
    let map = |kind, low, frames: usize, rows, columns| {
        let panels = vec![grid(frames, rows, columns)];
        Chart::Map(Map { scale: scale(kind, low), frames: names("step ", frames), shown: 0, axes: axes(), panels })
    };
    let patterns = (0..4 * 144 * 16 * 16).map(|at| (at % 251) as u8).collect();
    let prompts = vec![AttendedPrompt { tokens: names(" t", 16), patterns }];
    let attention = Attention { frames: names("step ", 4), shown: 3, layers: 12, heads: 12, open: 0, prompts };
    let charts = [
        curves,
        map(ScaleKind::Sequential, 0.0, 1, 384, 154),
        map(ScaleKind::Diverging, -1.0, 154, 24, 24),
        Chart::Attention(attention),
    ];
    let blocks = charts.into_iter().enumerate().map(|(at, chart)| figure(&format!("large-{at}"), chart)).collect();
    let section = Section { id: "large".to_owned(), title: "Large".to_owned(), blocks };
    Page { title: "Large".to_owned(), lead: vec![], sections: vec![section] }
}

fn figure(id: &str, chart: Chart) -> Block {
    let rows: String =
        (0..30).map(|step| format!("{step},0.{step:02},\"{}\"\n", HOSTILE.replace('"', "\"\""))).collect();
    Block::Figure(Figure {
        id: id.to_owned(),
        title: format!("Of {id}"),
        caption: format!("Each value is a mean over 64 prompts; {HOSTILE}"),
        alt: "Head 1.3 rises from 0 to 0.9 between steps 400 and 700.".to_owned(),
        chart,
        csv: format!("step,score,token\n{rows}"),
        code: Code {
            python: "(\n    pl.scan_parquet(\"results/prefix_matching/**/*.parquet\")\n    \
                     .filter(pl.col(\"status\") == \"ok\")\n    \
                     .group_by(\"model\", \"step\", \"layer\", \"head\")\n    .agg(pl.col(\"score\").mean())\n)\n"
                .to_owned(),
            rust: "LazyFrame::scan_parquet(path, args)?.filter(col(\"status\").eq(lit(\"ok\")))\n".to_owned(),
        },
    })
}

fn names(start: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{start}{at}")).collect()
}

fn frames() -> Vec<String> {
    STEPS.iter().map(|step| format!("step {step}")).collect()
}

fn y() -> Y {
    Y { label: "prefix matching".to_owned(), include: vec![0.0, 1.0] }
}

fn panel(title: &str, series: Vec<Series>) -> LinePanel {
    LinePanel { title: title.to_owned(), series }
}

/// Two panels; in the first, head `a` is at 0.8 and head `b` at 0.2 from step 512 on.
fn lines() -> Chart {
    let series = |name: &str, top: f64, tone| Series {
        name: name.to_owned(),
        tone,
        points: (0..12)
            .map(|power| if power == 0 { 0 } else { 1 << (power - 1) })
            .map(|step| point(step, top))
            .collect(),
        event: (top > 0.5).then_some(Event { at: 300.0, interval: (200.0, 450.0) }),
    };
    let two = vec![series("head a", 0.8, Tone::Color(0)), series("head b", 0.2, Tone::Color(1))];
    let muted = (0..8).map(|at| series(&format!("{HOSTILE} {at}"), 0.05 * f64::from(at), Tone::Muted)).collect();
    let panels = vec![panel("two heads", two), panel("many heads", muted)];
    Chart::Lines(Lines { x: X::Steps { tokens_per_step: Some(2_097_152.0) }, y: y(), panels })
}

fn point(step: u32, top: f64) -> Point {
    let y = top * (f64::from(step) / 512.0).min(1.0);
    Point { x: f64::from(step), y: (step != 4).then_some(y), band: Some((y - 0.05, y + 0.05)) }
}

/// Four frames of 8 × 6 cells in each of two panels; in the last, the cell at row 1 and column 2 of the first is 1.
fn map(kind: ScaleKind) -> Chart {
    let value = |frame: usize, row: usize, column: usize| match (frame, row, column) {
        (3, 1, 2) => Some(1.0),
        (_, 0, 0) => None,
        _ => Some((((row * 7 + column * 3) % 11) as f64 / 5.0 - 1.0) * frame as f64 / 4.0),
    };
    let cells = (0..4 * 48).map(|at| value(at / 48, at % 48 / 6, at % 6)).collect();
    let columns: Vec<String> = TOKENS.map(str::to_owned).to_vec();
    let panel = MapPanel { title: "residual stream".to_owned(), rows: names("layer ", 8), columns, values: cells };
    let panels = vec![panel.clone(), MapPanel { title: "attention".to_owned(), ..panel }];
    let scale = ColorScale { label: "effect".to_owned(), kind, low: -1.0, high: 1.0 };
    let axes = ("layer".to_owned(), "position".to_owned());
    Chart::Map(Map { scale, frames: frames(), shown: 2, axes, panels })
}

/// Four frames of 3 × 6 words; in the last one every word is ` cat` at 0.9.
fn words() -> Chart {
    let word =
        |at: usize| if at >= 54 { (" cat".to_owned(), Some(0.9)) } else { (TOKENS[at % 6].to_owned(), Some(0.1)) };
    let columns = TOKENS.map(str::to_owned).to_vec();
    Chart::Words(Words {
        scale: ColorScale { label: "probability".to_owned(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 },
        frames: frames(),
        shown: 0,
        axes: ("layer".to_owned(), "token".to_owned()),
        rows: names("layer ", 3),
        columns,
        cells: (0..72).map(word).collect(),
    })
}

/// Two layers of four heads and two prompts. Head 3 of layer 1 gives 0.8 to the token before and 0.2 to the first.
fn attention() -> Chart {
    let weight = |head: usize, query: usize, key: usize| match head {
        _ if key > query => 0,
        _ if query == 0 => 255,
        7 if query == 1 => {
            if key == 0 {
                255
            } else {
                0
            }
        }
        7 if key + 1 == query => 204,
        7 if key == 0 => 51,
        7 => 0,
        _ => 255 / (query + 1) as u8,
    };
    let prompt = |tokens: &[&str]| {
        let size = tokens.len();
        let patterns =
            (0..4 * 8 * size * size).map(|at| weight(at / size / size % 8, at / size % size, at % size)).collect();
        AttendedPrompt { tokens: tokens.iter().map(|token| (*token).to_owned()).collect(), patterns }
    };
    let prompts = vec![prompt(&TOKENS), prompt(&[" a", " b", " a"])];
    Chart::Attention(Attention { frames: frames(), shown: 3, layers: 2, heads: 4, open: 0, prompts })
}

fn bars() -> Chart {
    let bar = |at: usize| Bar {
        name: format!("1.{at}"),
        value: (at != 2).then_some(0.4 - 0.2 * at as f64),
        interval: Some((0.3 - 0.2 * at as f64, 0.5 - 0.2 * at as f64)),
        control: Some((-0.05, 0.05)),
    };
    let panels = vec![BarPanel { title: "loss".to_owned(), bars: (0..4).map(bar).collect() }];
    Chart::Bars(Bars { label: "change of the loss".to_owned(), panels })
}

fn listing(rows: usize) -> Listing {
    let column = |name: &str, numeric| ListingColumn { name: name.to_owned(), numeric };
    let row =
        |at: usize| vec![format!("1.{at}"), format!("{:.3}", 1.0 / (at + 1) as f64), String::new(), HOSTILE.to_owned()];
    Listing {
        id: "heads".to_owned(),
        title: "Top heads".to_owned(),
        note: "By their score at the last checkpoint.".to_owned(),
        columns: vec![column("head", false), column("score", true), column("interval", true), column("token", false)],
        rows: (0..rows).map(row).collect(),
    }
}
