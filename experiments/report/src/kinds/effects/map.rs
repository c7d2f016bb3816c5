//! Effects on a grid, with a frame for each of some steps: layers × positions, layers × heads, senders × receivers,
//! source checkpoints × checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use super::curves::{EffectCurve, bounds_of, is_sure, keys, value_of};
use super::places::{Label, MapAxes, Places};
use super::{Setting, UNSURE, frames};
use crate::chart::{Chart, ColorScale, Map, MapPanel, ScaleKind};
use crate::page::{Code, Figure};
use crate::pick::{Filter, Pick};
use crate::results::{CurvePoint, FrameRows, ResultsError, Table};
use crate::words;

/// Frames of a slider.
const FRAMES: usize = 16;
/// Panels of a map.
const PANELS: usize = 6;

/// A value with its panel, row, column and frame.
struct MapCell {
    axes: MapAxes,
    panel: String,
    row: Label,
    column: Label,
    frame: Option<i64>,
    value: Option<f64>,
}

/// The maps of a setting, one for each kind of grid that its places make. `limit` is the value of the last colour
/// ([`limit`]).
pub(super) fn figures(setting: &Setting<'_>, limit: f64) -> Result<Vec<Figure>, ResultsError> {
    let keys = keys(setting.table);
    let sources = keys.contains(&"source_step");
    let frames = if sources { Vec::new() } else { frames(setting.curves, FRAMES) };
    let pick = pick(setting, &keys, &frames);
    let rows = pick.rows(setting.table)?;
    let cells = cells(setting, &rows)?;
    let frames = if sources { vec![None] } else { frames };
    let kinds: BTreeSet<MapAxes> = cells.iter().map(|cell| cell.axes).collect();
    let mut figures = Vec::new();
    for axes in kinds {
        let own: Vec<&MapCell> = cells.iter().filter(|cell| cell.axes == axes).collect();
        let (panels, left_out) = panels(&own, &frames);
        // Effects on a single receiver are no grid; bars show them.
        let line = axes == MapAxes::SenderReceiver && panels.iter().all(|panel| panel.columns.len() < 2);
        if !panels.is_empty() && !line {
            let (csv, code) = (rows.csv()?, pick.code(setting.table));
            figures.push(figure(setting, (axes, limit), &frames, (panels, left_out), (csv, code)));
        }
    }
    Ok(figures)
}

fn figure(
    setting: &Setting<'_>,
    (axes, limit): (MapAxes, f64),
    frames: &[Option<i64>],
    (panels, left_out): (Vec<MapPanel>, usize),
    (csv, code): (String, Code),
) -> Figure {
    let (row, column) = axes.words();
    let name =
        |step: &Option<i64>| if axes == MapAxes::SourceStep { "all checkpoints".into() } else { words::step(*step) };
    Figure {
        id: setting.id(&format!("{row} {column}")),
        title: format!("{}: {row} × {column}", setting.name()),
        caption: caption(setting, axes, frames.len(), left_out),
        alt: setting.finding(&setting.ranked().into_iter().take(super::CURVES).collect::<Vec<_>>()),
        chart: Chart::Map(Map {
            scale: ColorScale { label: setting.label(), kind: ScaleKind::Diverging, low: -limit, high: limit },
            frames: frames.iter().map(name).collect(),
            shown: frames.len() - 1,
            axes: (row.into(), column.into()),
            panels,
        }),
        csv,
        code,
    }
}

/// The value of the last colour, the same for all maps of one quantity, so that they can be compared. It is the largest
/// value; for ratios it is bounded by 1 and the largest value at the end, so that one early checkpoint does not make
/// all others pale.
pub(super) fn limit<'a>(table: &Table, curves: impl Iterator<Item = &'a EffectCurve>) -> f64 {
    let (mut all, mut end) = (0.0_f64, 1.0_f64);
    for curve in curves.filter(|curve| curve.target.control.is_none()) {
        let size = |point: &CurvePoint| point.value.map_or(0.0, f64::abs);
        all = curve.points.iter().map(size).fold(all, f64::max);
        end = curve.points.last().map(size).map_or(end, |last| end.max(last));
    }
    let limit = if value_of(table) == "effect" { all.min(end) } else { all };
    if limit > 0.0 { limit } else { 1.0 }
}

fn pick(setting: &Setting<'_>, keys: &[&'static str], frames: &[Option<i64>]) -> Pick {
    let mut filters = setting.filters();
    // These grids do not show entries of a pattern, random controls and sets of heads.
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
    setting.pick(filters)
}

fn cells(setting: &Setting<'_>, rows: &FrameRows<'_>) -> Result<Vec<MapCell>, ResultsError> {
    let values = sure_values(setting, rows)?;
    let places = Places::of(rows, setting.table.origin.positions())?;
    let cell = |row: usize| {
        let axes = places.axes(row)?;
        let (panel, label, column) = places.at(axes, row)?;
        let frame = if axes == MapAxes::SourceStep { None } else { places.steps[row] };
        Some(MapCell { axes, panel, row: label, column, frame, value: values[row] })
    };
    Ok((0..rows.len()).filter_map(cell).collect())
}

/// The values. As in the curves, if a table of ratios has intervals at all, each value needs a narrow one.
fn sure_values(setting: &Setting<'_>, rows: &FrameRows<'_>) -> Result<Vec<Option<f64>>, ResultsError> {
    let value = value_of(setting.table);
    let [low, high] = bounds_of(setting.table);
    let (values, lows, highs) = (rows.floats(value)?, rows.floats(low)?, rows.floats(high)?);
    let measured = value == "effect" && lows.iter().any(Option::is_some);
    let bounds = |row: usize| lows[row].zip(highs[row]);
    Ok((0..rows.len()).map(|row| values[row].filter(|value| !measured || is_sure(*value, bounds(row)))).collect())
}

/// A panel for each of the first names, in the order in which they occur, and the number of names without a panel. A
/// panel with a single value is left out.
fn panels(cells: &[&MapCell], frames: &[Option<i64>]) -> (Vec<MapPanel>, usize) {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&cell.panel.as_str()) {
            names.push(&cell.panel);
        }
    }
    let panel = |name: &&str| {
        let own: Vec<&MapCell> = cells.iter().copied().filter(|cell| cell.panel == **name).collect();
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

fn caption(setting: &Setting<'_>, axes: MapAxes, frames: usize, left_out: usize) -> String {
    let what = match axes {
        MapAxes::LayerPosition => "What a patch at each layer and position does, a panel for each hook.",
        MapAxes::LayerHead => "What each head does, a panel for each hook.",
        MapAxes::HeadPosition => "What each head does at each position, a panel for each hook.",
        MapAxes::SenderReceiver => "What each sender sends to each receiver directly, everything between them frozen.",
        MapAxes::SourceStep => {
            "What activations of a source checkpoint (rows) do in another checkpoint (columns), a panel for each place."
        }
    };
    let slider = if frames > 1 {
        format!(" One frame for each of {frames} checkpoints; the last is shown.")
    } else {
        String::new()
    };
    let ratio = if value_of(setting.table) == "effect" { format!(" {UNSURE}") } else { String::new() };
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
    use crate::kinds::effects::curves::curves;
    use crate::results::Results;
    use crate::testing::{Scratch, floats, ints, part, texts};

    fn maps_of(table: &Table) -> Vec<Figure> {
        let curves = curves(table, "m").expect("curves");
        let own: Vec<&EffectCurve> = curves.iter().collect();
        let values = curves[0].target.setting.clone();
        figures(&Setting { table, model: "m", values: &values, curves: &own }, limit(table, curves.iter()))
            .expect("readable")
    }

    #[test]
    fn layers_and_positions_find_their_places_in_every_frame() {
        let scratch = Scratch::new("map-positions");
        for step in [0, 512] {
            // At step 0 the ratio is unreliable: its interval is wide.
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
