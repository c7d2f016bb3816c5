//! Places on a grid, a frame for each of some steps: layers × positions, layers × heads, senders × receivers, donors × checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use super::places::{Axes, Label, Places};
use super::{Subject, frames};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::frame::Rows;
use crate::page::{Code, Figure};
use crate::pick::{Filter, Pick};
use crate::results::ResultsError;
use crate::summary::{self, UNSURE, bounds_of, is_sure, value_of};
use crate::words;

/// Frames of a slider.
const FRAMES: usize = 16;
/// Panels of a map.
const PANELS: usize = 6;

/// A value in its place.
struct Cell {
    axes: Axes,
    panel: String,
    row: Label,
    column: Label,
    frame: Option<i64>,
    value: Option<f64>,
}

/// The maps of a setting, one for each kind of grid that its places make.
pub(super) fn figures(subject: &Subject<'_>) -> Result<Vec<Figure>, ResultsError> {
    let keys = summary::keys(subject.table)?;
    let donors = keys.contains(&"donor_step");
    let frames = if donors { Vec::new() } else { frames(subject.curves, FRAMES) };
    let pick = pick(subject, &keys, &frames)?;
    let rows = pick.rows(subject.table)?;
    let cells = cells(subject, &rows)?;
    let frames = if donors { vec![None] } else { frames };
    let kinds: BTreeSet<Axes> = cells.iter().map(|cell| cell.axes).collect();
    let mut figures = Vec::new();
    for axes in kinds {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.axes == axes).collect();
        let (panels, left_out) = panels(&own, &frames);
        // What goes to one receiver is no grid; bars show it.
        let line = axes == Axes::SenderReceiver && panels.iter().all(|panel| panel.columns.len() < 2);
        if !panels.is_empty() && !line {
            let (csv, code) = (rows.csv()?, pick.code(subject.table));
            figures.push(figure(subject, axes, &frames, (panels, left_out), (csv, code)));
        }
    }
    Ok(figures)
}

fn figure(
    subject: &Subject<'_>,
    axes: Axes,
    frames: &[Option<i64>],
    (panels, left_out): (Vec<MapPanel>, usize),
    (csv, code): (String, Code),
) -> Figure {
    let (row, column) = axes.words();
    let name = |step: &Option<i64>| if axes == Axes::DonorStep { "all checkpoints".into() } else { words::step(*step) };
    let limit = limit(subject, &panels, frames.len());
    Figure {
        id: subject.id(&format!("{row} {column}")),
        title: format!("{}: {row} × {column}", subject.name()),
        caption: caption(subject, axes, frames.len(), left_out),
        alt: subject.finding(&subject.ranked().into_iter().take(super::CURVES).collect::<Vec<_>>()),
        chart: Chart::Map(Map {
            scale: ColorScale { label: subject.label(), kind: ScaleKind::Diverging, low: -limit, high: limit },
            frames: frames.iter().map(name).collect(),
            shown: frames.len() - 1,
            axes: (row.into(), column.into()),
            panels,
        }),
        csv,
        code,
    }
}

/// Where the colours end: at the largest value, but of ratios not far beyond 1 and beyond the last frame, so that one early frame
/// does not bleach all others.
fn limit(subject: &Subject<'_>, panels: &[MapPanel], frames: usize) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = &Option<f64>>| {
        values.flatten().fold(0.0_f64, |most, value| most.max(value.abs()))
    };
    let all = largest(&mut panels.iter().flat_map(|panel| &panel.values));
    let last = |panel: &MapPanel| panel.values.len() - panel.values.len() / frames.max(1);
    let end = largest(&mut panels.iter().flat_map(|panel| &panel.values[last(panel)..]));
    let limit = if value_of(subject.table) == "effect" { all.min(end.max(1.0)) } else { all };
    if limit > 0.0 { limit } else { 1.0 }
}

fn pick(subject: &Subject<'_>, keys: &[&'static str], frames: &[Option<i64>]) -> Result<Pick, ResultsError> {
    let mut filters = subject.filters()?;
    // Entries of a pattern, random controls and sets of heads have no place on these grids.
    for column in ["key", "control"].into_iter().filter(|column| keys.contains(column)) {
        filters.push(Filter::Null(column));
    }
    if keys.contains(&"set") {
        filters.push(Filter::Text("set", String::new()));
    }
    let steps: Vec<i64> = frames.iter().copied().flatten().collect();
    if !steps.is_empty() {
        filters.push(Filter::Ints("step", steps));
    }
    subject.pick(filters)
}

fn cells(subject: &Subject<'_>, rows: &Rows<'_>) -> Result<Vec<Cell>, ResultsError> {
    let values = sure_values(subject, rows)?;
    let places = Places::of(rows, subject.table.origin.positions())?;
    let cell = |row: usize| {
        let axes = places.axes(row)?;
        let (panel, label, column) = places.at(axes, row)?;
        let frame = if axes == Axes::DonorStep { None } else { places.steps[row] };
        Some(Cell { axes, panel, row: label, column, frame, value: values[row] })
    };
    Ok((0..rows.len()).filter_map(cell).collect())
}

/// The values; ratios as in the curves: where a table has intervals at all, each needs a narrow one.
fn sure_values(subject: &Subject<'_>, rows: &Rows<'_>) -> Result<Vec<Option<f64>>, ResultsError> {
    let value = value_of(subject.table);
    let [low, high] = bounds_of(subject.table);
    let (values, lows, highs) = (rows.floats(value)?, rows.floats(low)?, rows.floats(high)?);
    let measured = value == "effect" && lows.iter().any(Option::is_some);
    let bounds = |row: usize| lows[row].zip(highs[row]);
    Ok((0..rows.len()).map(|row| values[row].filter(|value| !measured || is_sure(*value, bounds(row)))).collect())
}

/// A panel for each of the first names, in the order in which they come, and how many names have none. A panel with a single cell
/// is no grid and left out as well.
fn panels(cells: &[&Cell], frames: &[Option<i64>]) -> (Vec<MapPanel>, usize) {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.panel.as_str()) {
            names.push(&cell.panel);
        }
    }
    let panel = |name: &&str| {
        let own: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.panel == **name).collect();
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
    let mut panels: Vec<MapPanel> =
        names.iter().map(panel).filter(|panel| panel.rows.len() * panel.columns.len() > 1).collect();
    let left_out = panels.len().saturating_sub(PANELS);
    panels.truncate(PANELS);
    (panels, left_out)
}

fn caption(subject: &Subject<'_>, axes: Axes, frames: usize, left_out: usize) -> String {
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
    let others = if left_out > 0 {
        format!(" The first {PANELS}; {} are in the table alone.", words::plural(left_out, "other"))
    } else {
        String::new()
    };
    format!("{what}{others}{slider}{ratio}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Results, Table};
    use crate::summary::{PlaceCurve, places};
    use crate::testing::{Scratch, floats, ints, part, texts};

    fn maps_of(table: &Table) -> Vec<Figure> {
        let curves = places(table, "m").expect("curves");
        let own: Vec<&PlaceCurve> = curves.iter().collect();
        let setting = curves[0].place.setting.clone();
        let subject = Subject { table, model: "m", setting: &setting, curves: &own };
        figures(&subject).expect("readable")
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
        let figures = maps_of(&results.tables["patch"]);
        let Chart::Map(map) = &figures[0].chart else { panic!("{figures:?}") };
        assert_eq!((map.frames.as_slice(), map.shown), (["step 0".to_owned(), "step 512".into()].as_slice(), 1));
        let panel = &map.panels[0];
        assert_eq!((panel.title.as_str(), panel.rows.len(), panel.columns.len()), ("resid_pre", 2, 2));
        let zero = Some(0.0);
        assert_eq!(panel.values, [None, None, None, None, zero, zero, Some(0.75), zero]);
        assert_eq!((map.scale.low, map.scale.high), (-0.75, 0.75));
    }

    #[test]
    fn one_receiver_makes_no_map() {
        let scratch = Scratch::new("map-direct");
        let own = vec![
            texts("sender", vec!["0.0".into(), "0.1".into()]),
            texts("receiver", vec!["logits".into(); 2]),
            texts("metric", vec!["logit_diff".into(); 2]),
            floats("effect", vec![Some(0.1), Some(0.2)]),
            floats("effect_low", vec![None; 2]),
            floats("effect_high", vec![None; 2]),
        ];
        part(&scratch.0, "direct", "path_patching", "m", Some(0), own);
        let results = Results::open(&scratch.0).expect("results");
        let table = &results.tables["direct"];
        assert_eq!(maps_of(table), []);
    }
}
