//! Charts: numbers → SVG. Pure and deterministic: the same chart is the same text, on every machine.
//!
//! A chart is readable without a script. Interactive charts (a slider over frames, values under the pointer) have the
//! data for the page's script as JSON beside the picture ([`Drawing::data`]).

mod attention;
mod axis;
mod bars;
mod color;
mod curve;
mod events;
mod frame;
#[cfg(test)]
mod gallery;
mod labels;
mod legend;
mod lines;
mod map;
mod numbers;
mod png;
mod scale;
mod scalebar;
mod series;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub(crate) use color::{LOOKS, PALETTE};

/// A picture of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// Curves over steps, or of one quantity against another.
    Lines(Lines),
    /// Colours on a grid: heads × checkpoints, layers × positions, senders × receivers.
    Map(Map),
    /// Bars with intervals.
    Bars(Bars),
    /// Words on a grid: the logit lens.
    Words(Words),
    /// Attention patterns: a thumbnail for each head.
    Attention(Attention),
}

impl Chart {
    /// Draws the chart. `id` is a word of lower case letters, digits and hyphens with which every id in the document
    /// begins; `title` and `alt` name and describe it to those who do not see it.
    pub fn draw(&self, id: &str, title: &str, alt: &str) -> Drawing {
        let picture = match self {
            Self::Lines(lines) => lines::draw(lines),
            Self::Map(map) => map::draw(map, id),
            Self::Bars(bars) => bars::draw(bars),
            Self::Words(words) => words::draw(words, id),
            Self::Attention(attention) => attention::draw(attention, id),
        };
        let heading = svg::Heading { id, title, alt };
        Drawing { svg: picture.body.document(&heading, frame::WIDTH, picture.height.max(24.0)), data: picture.data }
    }
}

/// What a chart looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// A whole SVG document.
    pub svg: String,
    /// What the page's script reads, where there is something to turn or to point at. Names and words in it are as the
    /// picture shows them: what cannot be seen is escaped and writing directions are isolated. Where there are several
    /// frames, the picture writes the name of the one that is shown in an element `ID-frame`, which a slider has to
    /// keep up to date.
    pub data: Option<serde_json::Value>,
}

/// Curves, in small multiples that share both axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// What lies along x.
    pub x: X,
    /// The y axis: its words, and where it must begin and end even if no value is there.
    pub y: Y,
    /// The small multiples, at least one.
    pub panels: Vec<LinePanel>,
}

/// What lies along x.
#[derive(Clone, Debug, PartialEq)]
pub enum X {
    /// Training steps on a logarithmic axis that has a place for step 0, with the tokens seen as a second axis on top
    /// where a step has a known number of tokens.
    Steps {
        /// Tokens in one step.
        tokens_per_step: Option<f64>,
    },
    /// Any other quantity, on a linear axis.
    Linear {
        /// The words at the axis.
        label: String,
    },
}

/// A linear y axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Y {
    /// The words at the axis.
    pub label: String,
    /// Values that must be inside, such as 0 and 1.
    pub include: Vec<f64>,
}

/// One of the small multiples.
#[derive(Clone, Debug, PartialEq)]
pub struct LinePanel {
    /// Stands above it; empty for none.
    pub title: String,
    /// The curves; those that are muted are drawn first.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend and under the pointer.
    pub name: String,
    /// How it stands out.
    pub tone: Tone,
    /// Its points in the order of x; a missing y breaks the line.
    pub points: Vec<Point>,
    /// An event on it, drawn as a vertical mark with its interval: the step of emergence.
    pub event: Option<Event>,
}

/// How a curve stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// In a colour of the palette, counted from 0 and around; named in the legend.
    Color(usize),
    /// In grey, behind the others; not in the legend.
    Muted,
    /// Dashed grey with a place in the legend: a baseline.
    Baseline,
    /// A mark at each point with the name beside it, and no place in the legend: a place on a path.
    Note,
    /// Dotted, in a colour of the palette: a value that does not depend on x, such as that of another model.
    Reference(usize),
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Step or other quantity.
    pub x: f64,
    /// Value; none breaks the line.
    pub y: Option<f64>,
    /// Interval of the value, drawn as a band.
    pub band: Option<(f64, f64)>,
}

/// A place along x with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The place along x.
    pub at: f64,
    /// Low and high end of the interval.
    pub interval: (f64, f64),
}

/// Colours on grids that share a scale and, where there are several frames, a slider.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What the colours mean.
    pub scale: ColorScale,
    /// Names of the frames, such as `step 512`; one frame has no slider.
    pub frames: Vec<String>,
    /// The frame that is drawn where there is no script.
    pub shown: usize,
    /// Words at the rows' side and under the columns.
    pub axes: (String, String),
    /// The small multiples, at least one.
    pub panels: Vec<MapPanel>,
}

/// One grid.
#[derive(Clone, Debug, PartialEq)]
pub struct MapPanel {
    /// Stands above it; empty for none.
    pub title: String,
    /// Names of the rows, the first at the top. All of them are names; as many as fit are drawn.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `frames × rows × columns` values, row after row; none where there is no value.
    pub values: Vec<Option<f64>>,
}

/// What colours mean.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorScale {
    /// The words at the colour bar.
    pub label: String,
    /// Which colours.
    pub kind: ScaleKind,
    /// The value of the first colour.
    pub low: f64,
    /// The value of the last colour, above `low`. Values beyond the two have the colours of the ends.
    pub high: f64,
}

/// Which colours; both can be told apart by colour-blind readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleKind {
    /// From dark to bright (viridis).
    Sequential,
    /// From blue over a neutral middle, which is the value halfway, to red (RdBu reversed).
    Diverging,
}

/// Horizontal bars with intervals, in small multiples that share the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// The words at the value axis.
    pub label: String,
    /// The small multiples, at least one.
    pub panels: Vec<BarPanel>,
}

/// One of the small multiples.
#[derive(Clone, Debug, PartialEq)]
pub struct BarPanel {
    /// Stands above it; empty for none.
    pub title: String,
    /// The bars, from the top.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Name at the bar's left.
    pub name: String,
    /// How long it is; none where it is undefined.
    pub value: Option<f64>,
    /// Interval of the value.
    pub interval: Option<(f64, f64)>,
    /// What random controls of the same size did, drawn as a band behind the bar.
    pub control: Option<(f64, f64)>,
}

/// Words on a grid over a colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// What the colours mean.
    pub scale: ColorScale,
    /// Names of the frames; one frame has no slider.
    pub frames: Vec<String>,
    /// The frame that is drawn where there is no script.
    pub shown: usize,
    /// Words at the rows' side and under the columns.
    pub axes: (String, String),
    /// Names of the rows, the first at the top.
    pub rows: Vec<String>,
    /// Names of the columns: the tokens of the prompt.
    pub columns: Vec<String>,
    /// `frames × rows × columns` words with their values.
    pub cells: Vec<(String, Option<f64>)>,
}

/// Attention patterns of prompts, a thumbnail for each head.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Names of the frames, such as `step 512`.
    pub frames: Vec<String>,
    /// The frame that is drawn where there is no script.
    pub shown: usize,
    /// Layers.
    pub layers: usize,
    /// Heads in a layer.
    pub heads: usize,
    /// The head that the viewer opens on: layer × heads + head.
    pub open: usize,
    /// The prompts; the first is drawn where there is no script.
    pub prompts: Vec<AttendedPrompt>,
}

/// A prompt with its patterns.
#[derive(Clone, Debug, PartialEq)]
pub struct AttendedPrompt {
    /// Its tokens' texts.
    pub tokens: Vec<String>,
    /// `frames × layers × heads × query × key` weights in 255ths, 0 to 255.
    pub patterns: Vec<u8>,
}
