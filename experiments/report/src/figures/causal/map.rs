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

fn cells(subject: &Subject<'_>, rows: &Rows<'_>, axes: Axes) -> Result<Vec<Cell>, ResultsError> {
    let [low, high] = bounds_of(subject.table);
    let (values, lows, highs) = (rows.floats(value_of(subject.table))?, rows.floats(low)?, rows.floats(high)?);
    let ratio = value_of(subject.table) == "effect";
    let sure = |row: usize| !ratio || lows[row].zip(highs[row]).is_none_or(|(low, high)| high - low <= WIDEST);
    let value = |row: usize| values[row].filter(|_| sure(row));
    let steps = rows.ints("step")?;
    let ints = |name: &str| if rows.has(name) { rows.ints(name) } else { Ok(vec![None; rows.len()]) };
    let texts = |name: &str| if rows.has(name) { rows.texts(name) } else { Ok(vec![String::new(); rows.len()]) };
    let (layers, heads, positions, donors) = (ints("layer")?, ints("head")?, ints("pos")?, ints("donor_step")?);
    let (hooks, senders, receivers) = (texts("hook")?, texts("sender")?, texts("receiver")?);
    let (sender_layers, receiver_layers) = (ints("sender_layer")?, ints("receiver_layer")?);
    let tokens = subject.table.origin.positions();
    let number = |number: Option<i64>| number.map(|number| (number, 0, number.to_string()));
    let position = |position: Option<i64>| {
        let text = usize::try_from(position?)
            .ok()
            .and_then(|index| tokens.get(index).cloned())
            .filter(|text| !text.is_empty());
        Some((position?, 0, text.unwrap_or_else(|| position.unwrap_or_default().to_string())))
    };
    let head = |row: usize| Some((layers[row]?, heads[row]?, words::head(layers[row]?, heads[row]?)));
    // The embedding sends from below the first layer, the logits receive above the last.
    let end = |layer: Option<i64>, name: &str, none: i64| {
        Some((layer.unwrap_or(none), i64::from(name.starts_with("mlp")), name.to_owned()))
    };
    let place = |row: usize| {
        let site = words::site(&hooks[row]).to_owned();
        Some(match axes {
            Axes::LayerPosition => (site, number(layers[row])?, position(positions[row])?),
            Axes::LayerHead => (site, number(layers[row])?, number(heads[row])?),
            Axes::HeadPosition => (site, head(row)?, position(positions[row])?),
            Axes::SenderReceiver => (
                String::new(),
                end(sender_layers[row], &senders[row], -1)?,
                end(receiver_layers[row], &receivers[row], i64::MAX)?,
            ),
            Axes::DonorStep => (
                place_of_donor(&site, layers[row], heads[row], positions[row]),
                number(donors[row])?,
                number(steps[row])?,
            ),
        })
    };
    let cell = |row: usize| {
        let (panel, label, column) = place(row)?;
        let frame = if axes == Axes::DonorStep { None } else { steps[row] };
        Some(Cell { panel, row: label, column, frame, value: value(row) })
    };
    Ok((0..rows.len()).filter_map(cell).collect())
}

fn place_of_donor(site: &str, layer: Option<i64>, head: Option<i64>, position: Option<i64>) -> String {
    let layer = layer.map(|layer| format!(" L{layer}")).unwrap_or_default();
    let head = head.map(|head| format!("H{head}")).unwrap_or_default();
    let position = position.map(|position| format!(" pos {position}")).unwrap_or_default();
    format!("{}{layer}{head}{position}", if site.is_empty() { "all" } else { site })
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
