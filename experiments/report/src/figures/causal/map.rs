//! Places on a grid, a frame for each of some steps: layers × positions, layers × heads, senders × receivers, donors × checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subject, csv, frames};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::frame::Rows;
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::ResultsError;
use crate::summary::{self, UNSURE, WIDEST, bounds_of, value_of};
use crate::words;

/// Frames of a slider.
const FRAMES: usize = 16;
/// Panels of a map.
const PANELS: usize = 6;

/// What the rows and columns of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axes {
    LayerPosition,
    LayerHead,
    HeadPosition,
    SenderReceiver,
    DonorStep,
}

/// A name with its place in the order.
type Label = (i64, i64, String);

/// A value in its place.
struct Cell {
    panel: String,
    row: Label,
    column: Label,
    frame: Option<i64>,
    value: Option<f64>,
}

/// The map of a setting; none where its places make no grid.
pub(super) fn figure(subject: &Subject<'_>) -> Result<Option<Figure>, ResultsError> {
    let keys = summary::keys(subject.table)?;
    let donors = keys.contains(&"donor_step");
    let frames = if donors { Vec::new() } else { frames(subject.curves, FRAMES) };
    let pick = pick(subject, &keys, &frames);
    let rows = pick.rows(subject.table)?;
    let Some(axes) = axes(&rows, donors)? else {
        return Ok(None);
    };
    let cells = cells(subject, &rows, axes)?;
    let frames = if donors { vec![None] } else { frames };
    let panels = panels(&cells, &frames);
    if panels.is_empty() {
        return Ok(None);
    }
    let limit = panels
        .iter()
        .flat_map(|panel| panel.values.iter().flatten())
        .fold(0.0_f64, |most, value| most.max(value.abs()));
    let limit = if limit > 0.0 { limit } else { 1.0 };
    let (row, column) = axes.words();
    let names: Vec<String> =
        frames.iter().map(|step| if donors { "all checkpoints".into() } else { words::step(*step) }).collect();
    Ok(Some(Figure {
        id: subject.id("map"),
        title: format!("{}: {row} × {column}", subject.name()),
        caption: caption(subject, axes, names.len()),
        alt: subject.finding(&subject.ranked().into_iter().take(super::CURVES).collect::<Vec<_>>()),
        chart: Chart::Map(Map {
            scale: ColorScale { label: subject.label(), kind: ScaleKind::Diverging, low: -limit, high: limit },
            shown: names.len() - 1,
            frames: names,
            axes: (row.into(), column.into()),
            panels,
        }),
        csv: csv(&rows)?,
        code: pick.code(subject.table),
    }))
}

fn pick(subject: &Subject<'_>, keys: &[&'static str], frames: &[Option<i64>]) -> Pick {
    let columns: Vec<&'static str> =
        keys.iter().copied().chain(["step", value_of(subject.table)]).chain(bounds_of(subject.table)).collect();
    let mut filters = subject.filters();
    // Entries of a pattern, parts of a stream and sets of heads have no place on these grids.
    for column in ["key", "control"].into_iter().filter(|column| keys.contains(column)) {
        filters.push(Filter::Null(column));
    }
    for column in ["part", "set"].into_iter().filter(|column| keys.contains(column)) {
        filters.push(Filter::Text(column, String::new()));
    }
    let steps: Vec<i64> = frames.iter().copied().flatten().collect();
    if !steps.is_empty() {
        filters.push(Filter::Ints("step", steps));
    }
    Pick::new(&columns, filters).of(subject.model)
}

/// The grid that the first rows make; tables mix several kinds of places only where the user asked for all of them.
fn axes(rows: &Rows<'_>, donors: bool) -> Result<Option<Axes>, ResultsError> {
    if donors {
        return Ok(Some(Axes::DonorStep));
    }
    if rows.has("sender") {
        let receivers: BTreeSet<String> = rows.texts("receiver")?.into_iter().collect();
        return Ok((receivers.len() > 1).then_some(Axes::SenderReceiver));
    }
    let has = |name: &str| -> Result<bool, ResultsError> {
        Ok(rows.has(name) && rows.ints(name)?.iter().any(Option::is_some))
    };
    Ok(match (has("layer")?, has("head")?, has("pos")?) {
        (true, false, true) => Some(Axes::LayerPosition),
        (true, true, false) => Some(Axes::LayerHead),
        (true, true, true) => Some(Axes::HeadPosition),
        _ => None,
    })
}

impl Axes {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::LayerPosition => ("layer", "position"),
            Self::LayerHead => ("layer", "head"),
            Self::HeadPosition => ("head", "position"),
            Self::SenderReceiver => ("sender", "receiver"),
            Self::DonorStep => ("donor step", "step"),
        }
    }
}

/// The columns that name places; those that a table lacks are empty.
struct Places {
    layers: Vec<Option<i64>>,
    heads: Vec<Option<i64>>,
    positions: Vec<Option<i64>>,
    donors: Vec<Option<i64>>,
    steps: Vec<Option<i64>>,
    hooks: Vec<String>,
    senders: Vec<String>,
    receivers: Vec<String>,
    /// What stands at the positions, where that is known.
    tokens: Vec<String>,
}

impl Places {
    fn of(rows: &Rows<'_>, tokens: Vec<String>) -> Result<Self, ResultsError> {
        let ints = |name: &str| if rows.has(name) { rows.ints(name) } else { Ok(vec![None; rows.len()]) };
        let texts = |name: &str| if rows.has(name) { rows.texts(name) } else { Ok(vec![String::new(); rows.len()]) };
        Ok(Self {
            layers: ints("layer")?,
            heads: ints("head")?,
            positions: ints("pos")?,
            donors: ints("donor_step")?,
            steps: ints("step")?,
            hooks: texts("hook")?,
            senders: texts("sender")?,
            receivers: texts("receiver")?,
            tokens,
        })
    }

    /// The panel, the row and the column of a row of the table.
    fn at(&self, axes: Axes, row: usize) -> Option<(String, Label, Label)> {
        let number = |number: Option<i64>| number.map(|number| (number, 0, number.to_string()));
        let (layer, head) = (self.layers[row], self.heads[row]);
        let site = words::site(&self.hooks[row]).to_owned();
        Some(match axes {
            Axes::LayerPosition => (site, number(layer)?, self.position(row)?),
            Axes::LayerHead => (site, number(layer)?, number(head)?),
            Axes::HeadPosition => (site, (layer?, head?, words::head(layer?, head?)), self.position(row)?),
            Axes::SenderReceiver => (String::new(), component(&self.senders[row]), component(&self.receivers[row])),
            Axes::DonorStep => (self.donated(&site, row), number(self.donors[row])?, number(self.steps[row])?),
        })
    }

    fn position(&self, row: usize) -> Option<Label> {
        let position = self.positions[row]?;
        let text = usize::try_from(position).ok().and_then(|index| self.tokens.get(index));
        let text = text.filter(|text| !text.is_empty()).cloned();
        Some((position, 0, text.unwrap_or_else(|| position.to_string())))
    }

    /// What a donor gives: `resid_post L3`, `all`.
    fn donated(&self, site: &str, row: usize) -> String {
        let layer = self.layers[row].map(|layer| format!(" L{layer}")).unwrap_or_default();
        let head = self.heads[row].map(|head| format!("H{head}")).unwrap_or_default();
        let position = self.positions[row].map(|position| format!(" pos {position}")).unwrap_or_default();
        format!("{}{layer}{head}{position}", if site.is_empty() { "all" } else { site })
    }
}

fn cells(subject: &Subject<'_>, rows: &Rows<'_>, axes: Axes) -> Result<Vec<Cell>, ResultsError> {
    let values = sure_values(subject, rows)?;
    let places = Places::of(rows, subject.table.origin.positions())?;
    let cell = |row: usize| {
        let (panel, label, column) = places.at(axes, row)?;
        let frame = if axes == Axes::DonorStep { None } else { places.steps[row] };
        Some(Cell { panel, row: label, column, frame, value: values[row] })
    };
    Ok((0..rows.len()).filter_map(cell).collect())
}

/// The values; ratios as in the curves: where a table has intervals at all, each needs a narrow one.
fn sure_values(subject: &Subject<'_>, rows: &Rows<'_>) -> Result<Vec<Option<f64>>, ResultsError> {
    let value = value_of(subject.table);
    let [low, high] = bounds_of(subject.table);
    let (values, lows, highs) = (rows.floats(value)?, rows.floats(low)?, rows.floats(high)?);
    let measured = value == "effect" && lows.iter().any(Option::is_some);
    let narrow = |row: usize| lows[row].zip(highs[row]).is_some_and(|(low, high)| high - low <= WIDEST);
    Ok((0..rows.len()).map(|row| values[row].filter(|_| !measured || narrow(row))).collect())
}

/// The order of components in the model: the embedding, in each layer heads before the MLP, the logits.
fn component(name: &str) -> Label {
    let number = |text: &str| text.split('.').next().and_then(|digits| digits.parse::<i64>().ok());
    let (layer, kind) = match name.strip_prefix("mlp") {
        Some(layer) => (number(layer), 1),
        None => (number(name), 0),
    };
    let outside = if name == "embed" { -1 } else { i64::MAX };
    (layer.unwrap_or(outside), kind, name.to_owned())
}

/// A panel for each of the first names, in the order in which they come; grids with a single cell are none.
fn panels(cells: &[Cell], frames: &[Option<i64>]) -> Vec<MapPanel> {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.panel.as_str()) {
            names.push(&cell.panel);
        }
    }
    let panel = |name: &&str| {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.panel == **name).collect();
        let rows: Vec<&Label> = own.iter().map(|cell| &cell.row).collect::<BTreeSet<_>>().into_iter().collect();
        let columns: Vec<&Label> = own.iter().map(|cell| &cell.column).collect::<BTreeSet<_>>().into_iter().collect();
        let at: BTreeMap<(Option<i64>, &Label, &Label), Option<f64>> =
            own.iter().map(|cell| ((cell.frame, &cell.row, &cell.column), cell.value)).collect();
        let order = frames
            .iter()
            .flat_map(|frame| rows.iter().flat_map(|row| columns.iter().map(|column| (*frame, *row, *column))));
        let values = order.map(|key| at.get(&key).copied().flatten()).collect();
        let text = |labels: &[&Label]| labels.iter().map(|label| label.2.clone()).collect::<Vec<_>>();
        MapPanel { title: (*name).to_string(), rows: text(&rows), columns: text(&columns), values }
    };
    let panels = names.iter().take(PANELS).map(panel);
    panels.filter(|panel| panel.rows.len() * panel.columns.len() > 1).collect()
}

fn caption(subject: &Subject<'_>, axes: Axes, frames: usize) -> String {
    let what = match axes {
        Axes::LayerPosition => "What a patch at each layer and position does, a panel for each hook.",
        Axes::LayerHead => "What each head does, a panel for each hook.",
        Axes::HeadPosition => "What each head does at each position, a panel for each hook.",
        Axes::SenderReceiver => "What each sender sends to each receiver directly, everything between them frozen.",
        Axes::DonorStep => "What activations of one checkpoint (rows) do in another (columns), a panel for each place.",
    };
    let slider = if frames > 1 {
        format!(" One frame for each of {frames} checkpoints; the last is shown.")
    } else {
        String::new()
    };
    let ratio = if value_of(subject.table) == "effect" { format!(" {UNSURE}") } else { String::new() };
    format!("{what}{slider}{ratio}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Results, Table};
    use crate::summary::{PlaceCurve, places};
    use crate::testing::{Scratch, floats, ints, part, texts};

    fn map_of(table: &Table) -> Figure {
        let curves = places(table, "m").expect("curves");
        let own: Vec<&PlaceCurve> = curves.iter().collect();
        let setting = curves[0].place.setting.clone();
        let subject = Subject { table, model: "m", setting: &setting, curves: &own };
        figure(&subject).expect("readable").expect("a map")
    }

    #[test]
    fn layers_and_positions_find_their_places_in_every_frame() {
        let scratch = Scratch::new("map-positions");
        for step in [0, 512] {
            // At step 0 the ratio is noise: its interval is wide.
            let (value, half) = if step == 0 { (-240.0, 20.0) } else { (0.75, 0.1) };
            let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let planted = |cell: &(i64, i64)| if *cell == (1, 0) { value } else { 0.0 };
            let own = vec![
                texts("hook", cells.iter().map(|(layer, _)| format!("blocks.{layer}.hook_resid_pre")).collect()),
                ints("layer", cells.iter().map(|(layer, _)| Some(*layer)).collect()),
                ints("pos", cells.iter().map(|(_, pos)| Some(*pos)).collect()),
                ints("head", vec![None; 4]),
                texts("direction", vec!["denoising".into(); 4]),
                texts("metric", vec!["logit_diff".into(); 4]),
                floats("effect", cells.iter().map(|cell| Some(planted(cell))).collect()),
                floats("effect_low", cells.iter().map(|cell| Some(planted(cell) - half)).collect()),
                floats("effect_high", cells.iter().map(|cell| Some(planted(cell) + half)).collect()),
            ];
            part(&scratch.0, "patch", "activation_patching", "m", Some(step), own);
        }
        let results = Results::open(&scratch.0).expect("results");
        let figure = map_of(&results.tables["patch"]);
        let Chart::Map(map) = &figure.chart else { panic!("{figure:?}") };
        assert_eq!((map.frames.as_slice(), map.shown), (["step 0".to_owned(), "step 512".into()].as_slice(), 1));
        let panel = &map.panels[0];
        assert_eq!((panel.title.as_str(), panel.rows.len(), panel.columns.len()), ("resid_pre", 2, 2));
        let zero = Some(0.0);
        assert_eq!(panel.values, [None, None, None, None, zero, zero, Some(0.75), zero]);
        assert_eq!((map.scale.low, map.scale.high), (-0.75, 0.75));
    }

    #[test]
    fn components_stand_in_the_order_of_the_model() {
        let mut names = ["logits", "mlp1", "1.3.k", "0.10", "0.2", "mlp0", "embed"].map(component);
        names.sort();
        assert_eq!(names.map(|label| label.2), ["embed", "0.10", "0.2", "mlp0", "1.3.k", "mlp1", "logits"]);
    }

    #[test]
    fn one_receiver_makes_no_map() {
        let scratch = Scratch::new("map-direct");
        let own = vec![
            texts("sender", vec!["0.0".into(), "0.1".into()]),
            texts("receiver", vec!["logits".into(); 2]),
            texts("metric", vec!["logit_diff".into(); 2]),
            floats("effect", vec![Some(0.1), Some(0.2)]),
        ];
        part(&scratch.0, "direct", "path_patching", "m", Some(0), own);
        let results = Results::open(&scratch.0).expect("results");
        let table = &results.tables["direct"];
        let rows = Rows::collect(table, table.frame().expect("a frame")).expect("rows");
        assert_eq!(axes(&rows, false).expect("readable"), None);
    }
}
