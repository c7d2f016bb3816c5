//! Causal probes: which places matter most at the last checkpoint, and since when.

use polars::prelude::{Expr, col};

use super::{numeric, text, when, when_columns};
use crate::frame::{CurvePoint, Rows};
use crate::listing::{Listing, ListingColumn};
use crate::results::{Kind, ResultsError, Table};
use crate::words;

/// What tells one curve of a causal table from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What was changed, such as `z L1H3` or `resid_pre L0 pos 7`.
    pub name: String,
    /// What stays apart from the place: method or direction, and the metric.
    pub setting: Vec<String>,
    /// The number of the random control that it is; none for a place that was chosen.
    pub control: Option<i64>,
}

/// The curve of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceCurve {
    /// The place.
    pub place: Place,
    /// Its effect over checkpoints, with the interval over pairs.
    pub points: Vec<CurvePoint>,
}

/// The column of a causal table that holds its effect: `effect` of patching, `delta` of edits.
pub fn value_of(table: &Table) -> &'static str {
    match table.kind() {
        Some(Kind::Ablation | Kind::Steering | Kind::Interventions) => "delta",
        _ => "effect",
    }
}

/// Columns that name a place, in the order in which they are said.
const PLACE: [&str; 15] = [
    "run",
    "donor_step",
    "what",
    "sender",
    "receiver",
    "hook",
    "layer",
    "pos",
    "head",
    "key",
    "part",
    "set",
    "coefficient",
    "input",
    "control",
];

/// Columns that say how a place was changed, and what was measured.
pub const SETTING: [&str; 3] = ["method", "direction", "metric"];

/// The columns of a causal table that tell one curve from another.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn keys(table: &Table) -> Result<Vec<&'static str>, ResultsError> {
    let schema = table.frame()?.collect_schema().map_err(table.failed())?;
    Ok(PLACE.iter().chain(&SETTING).copied().filter(|name| schema.contains(name)).collect())
}

/// The columns of the interval of an effect.
pub fn bounds_of(table: &Table) -> [&'static str; 2] {
    if value_of(table) == "delta" { ["delta_low", "delta_high"] } else { ["effect_low", "effect_high"] }
}

/// The curves of every place of a model, in the order of the table. Effects that say nothing ([`is_sure`]) are undefined.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub fn places(table: &Table, model: &str) -> Result<Vec<PlaceCurve>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(Vec::new());
    };
    let keys = keys(table)?;
    let columns = keys.iter().copied().chain(["step", value_of(table)]).chain(bounds_of(table));
    let rows = Rows::collect(table, frame.select(columns.map(col).collect::<Vec<Expr>>()))?;
    let value = value_of(table);
    let curves = rows.curves(&keys, value, Some(bounds_of(table)))?;
    let places = (0..curves.points.len()).map(|row| place(&curves.keys, row)).collect::<Result<Vec<_>, _>>()?;
    let points = curves.points.into_iter().map(|points| if value == "effect" { sure(points) } else { points });
    let mut curves = places.into_iter().zip(points).map(|(place, points)| PlaceCurve { place, points }).collect();
    forget_empty_end(&mut curves);
    Ok(curves)
}

/// A checkpoint at the end at which nothing is defined, such as the donor itself, is not the end of anything.
fn forget_empty_end(curves: &mut Vec<PlaceCurve>) {
    let defined = |curve: &PlaceCurve| {
        curve.points.iter().filter(|point| point.value.is_some()).filter_map(|point| point.step).max()
    };
    if let Some(last) = curves.iter().filter_map(defined).max() {
        for curve in curves {
            curve.points.retain(|point| point.step.is_none_or(|step| step <= last));
        }
    }
}

fn place(keys: &Rows<'_>, row: usize) -> Result<Place, ResultsError> {
    let cell = |name: &str| keys.frame.column(name).ok().and_then(|column| column.get(row).ok());
    let texts = |name: &str| {
        let value = cell(name).filter(|value| !value.is_null())?;
        Some(value.get_str().map_or_else(|| value.to_string(), str::to_owned)).filter(|text| !text.is_empty())
    };
    // A value for each column that the table has: the conditions that choose a setting are put together column by column.
    let setting = SETTING.iter().filter(|name| keys.has(name)).map(|name| texts(name).unwrap_or_default()).collect();
    let control = cell("control").and_then(|value| value.extract::<i64>());
    Ok(Place { name: name(&texts), setting, control })
}

/// `z L1H3`, `resid_pre L0 pos 7`, `0.1 → 1.3.k`, `donor 512: …`.
fn name(texts: &impl Fn(&str) -> Option<String>) -> String {
    let mut words = Vec::new();
    words.extend(texts("run"));
    words.extend(texts("donor_step").map(|step| format!("from step {step}:")));
    words.extend(texts("what").filter(|what| what != "activation"));
    match (texts("sender"), texts("receiver")) {
        (Some(sender), Some(receiver)) => words.push(format!("{sender} → {receiver}")),
        (sender, receiver) => words.extend(sender.into_iter().chain(receiver)),
    }
    let set = texts("set");
    words.extend(texts("hook").map(|hook| crate::words::site(&hook).to_owned()));
    match (texts("layer"), texts("head"), &set) {
        (_, _, Some(set)) => words.push(set.clone()),
        (Some(layer), Some(head), _) => words.push(format!("L{layer}H{head}")),
        (Some(layer), None, _) => words.push(format!("L{layer}")),
        (None, head, _) => words.extend(head.map(|head| format!("H{head}"))),
    }
    words.extend(texts("pos").map(|pos| format!("pos {pos}")));
    words.extend(texts("key").map(|key| format!("key {key}")));
    words.extend(texts("part"));
    words.extend(texts("coefficient").map(|factor| format!("× {factor}")));
    words.join(" ")
}

/// The places of every model with the largest effects at its last checkpoint, for each method or direction and metric.
pub(super) fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let curves = places(table, model)?;
        let mut settings: Vec<&Vec<String>> = curves.iter().map(|curve| &curve.place.setting).collect();
        settings.sort();
        settings.dedup();
        for setting in settings {
            let mut own: Vec<&PlaceCurve> = curves.iter().filter(|curve| &curve.place.setting == setting).collect();
            let controls: Vec<&PlaceCurve> =
                own.iter().copied().filter(|curve| curve.place.control.is_some()).collect();
            own.retain(|curve| curve.place.control.is_none());
            own.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.place.cmp(&b.place)));
            rows.extend(own.into_iter().take(top).map(|curve| row(model, curve, &controls)));
        }
    }
    let columns = [text("model"), text("how"), text("place")].into_iter();
    let numbers = [numeric(value_of(table)), numeric("95 % interval of it"), numeric(CONTROLS)];
    let mut columns: Vec<ListingColumn> = columns.chain(numbers).chain(when_columns()).collect();
    // A column that no row has anything in says nothing and takes the room of those that do.
    let controls = columns.iter().position(|column| column.name == CONTROLS);
    if let Some(empty) = controls.filter(|column| rows.iter().all(|row: &Vec<String>| row[*column].is_empty())) {
        columns.remove(empty);
        for row in &mut rows {
            row.remove(empty);
        }
    }
    let title = format!("{}: the largest effects at the last checkpoint", table.name);
    let note = note(table);
    Ok(Listing { id: words::slug(&table.name), title, note, columns, rows })
}

/// The column that most tables have nothing for.
const CONTROLS: &str = "random controls";

/// How the listing is read, in a sentence.
fn note(table: &Table) -> String {
    match value_of(table) {
        "effect" => UNSURE.into(),
        _ => format!("\"{CONTROLS}\", where there are some: the range of what random sets of the same size do."),
    }
}

/// A patched effect is a ratio. Where the two prompts of a pair hardly differ yet, it is noise over nothing.
pub const UNSURE: &str = "Effects are ratios: 0 as without the patch, 1 as on the other prompt. They are left out where the interval is \
                          wider than 0.5 or does not hold the value: there the two prompts differ too little to divide by.";

/// The widest interval of an effect that says something.
const WIDEST: f64 = 0.5;

/// Whether a ratio says something: its interval is narrow, and it lies inside. A ratio of means over pairs of which few differ may lie
/// far outside of the interval of its own resamples.
pub fn is_sure(value: f64, interval: Option<(f64, f64)>) -> bool {
    // The ends of an interval are rounded as the value is not.
    let slack = 1e-6 * (1.0 + value.abs());
    interval.is_some_and(|(low, high)| high - low <= WIDEST && (low - slack..=high + slack).contains(&value))
}

/// Takes away what is too uncertain to draw a curve through: where the curve has intervals at all, a point needs a good one.
fn sure(mut points: Vec<CurvePoint>) -> Vec<CurvePoint> {
    let measured = points.iter().any(|point| point.band.is_some());
    for point in &mut points {
        if measured && point.value.is_some_and(|value| !is_sure(value, point.band)) {
            (point.value, point.band) = (None, None);
        }
    }
    points
}

fn size(curve: &PlaceCurve) -> f64 {
    at_end(curve).and_then(|point| point.value).map_or(f64::NEG_INFINITY, f64::abs)
}

/// The point of the last checkpoint, defined or not: an effect that became undefined is not replaced by an older one.
pub fn at_end(curve: &PlaceCurve) -> Option<&CurvePoint> {
    curve.points.last()
}

/// The range of the random controls of the place at the last checkpoint.
pub fn control_range(curve: &PlaceCurve, controls: &[&PlaceCurve]) -> Option<(f64, f64)> {
    let same =
        |control: &&&PlaceCurve| control.place.name == curve.place.name && control.place.setting == curve.place.setting;
    let values: Vec<f64> = controls.iter().filter(same).filter_map(|control| at_end(control)?.value).collect();
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    Some((low, values.iter().copied().max_by(f64::total_cmp)?))
}

fn row(model: &str, curve: &PlaceCurve, controls: &[&PlaceCurve]) -> Vec<String> {
    let range = |range: Option<(f64, f64)>| {
        range.map_or(String::new(), |(low, high)| {
            format!("{} … {}", words::number(Some(low)), words::number(Some(high)))
        })
    };
    let end = at_end(curve);
    let value = words::number(end.and_then(|point| point.value));
    let texts = [model.to_owned(), curve.place.setting.join(" · "), curve.place.name.clone(), value];
    let ranges = [range(end.and_then(|point| point.band)), range(control_range(curve, controls))];
    texts.into_iter().chain(ranges).chain(when(&curve.points)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, floats, ints, part, texts};

    fn ablation(scratch: &Scratch) {
        // A set that matters from step 8 on, and two random controls that never do.
        for step in [0, 1, 2, 4, 8, 16, 32, 64] {
            let delta = if step >= 8 { -3.0 } else { 0.0 };
            let own = vec![
                texts("hook", vec!["blocks.1.attn.hook_z".into(); 3]),
                ints("layer", vec![Some(1); 3]),
                ints("head", vec![None; 3]),
                texts("set", vec!["top".into(); 3]),
                ints("control", vec![None, Some(0), Some(1)]),
                texts("method", vec!["zero".into(); 3]),
                texts("metric", vec!["logit_diff".into(); 3]),
                floats("delta", vec![Some(delta), Some(-0.1), Some(0.2)]),
                floats("delta_low", vec![Some(delta - 0.5), Some(-0.2), Some(0.1)]),
                floats("delta_high", vec![Some(delta + 0.5), Some(0.0), Some(0.3)]),
            ];
            part(&scratch.0, "ablate", "ablation", "m", Some(step), own);
        }
    }

    #[test]
    fn a_set_stands_beside_its_random_controls() {
        let scratch = Scratch::new("effects-controls");
        ablation(&scratch);
        let results = Results::open(&scratch.0).expect("results");
        let listing = listing(&results.tables["ablate"], 5).expect("a listing");
        let row: Vec<&str> = listing.rows[0].iter().map(String::as_str).collect();
        let expected = [
            "m",
            "zero · logit_diff",
            "z top",
            "-3.000",
            "-3.500 … -2.500",
            "-0.100 … 0.200",
            "8",
            "8–8",
            "0.000 → -3.000",
        ];
        assert_eq!((listing.rows.len(), row.as_slice()), (1, expected.as_slice()));
    }

    #[test]
    fn an_effect_that_is_noise_over_nothing_is_left_out() {
        let point = |value: f64, width: f64| CurvePoint {
            step: Some(0),
            value: Some(value),
            band: Some((value - width / 2.0, value + width / 2.0)),
        };
        let unknown = CurvePoint { band: None, ..point(5.0, 0.0) };
        let outside = CurvePoint { band: Some((-0.3, 0.2)), ..point(-9.28, 0.0) };
        let kept = sure(vec![point(-240.0, 30.0), point(0.5, 0.1), unknown, outside]);
        assert_eq!(kept.iter().map(|point| point.value).collect::<Vec<_>>(), [None, Some(0.5), None, None]);
        // A table without any interval, of a single pair, is taken as it is.
        assert_eq!(sure(vec![unknown])[0].value, Some(5.0));
    }

    #[test]
    fn places_are_named_as_the_field_names_them() {
        let name_of = |cells: &[(&str, &str)]| {
            name(&|column: &str| cells.iter().find(|(name, _)| *name == column).map(|(_, text)| (*text).to_owned()))
        };
        assert_eq!(name_of(&[("hook", "blocks.1.attn.hook_z"), ("layer", "1"), ("head", "3")]), "z L1H3");
        assert_eq!(name_of(&[("hook", "blocks.0.hook_resid_pre"), ("layer", "0"), ("pos", "7")]), "resid_pre L0 pos 7");
        assert_eq!(name_of(&[("sender", "0.1"), ("receiver", "1.3.k")]), "0.1 → 1.3.k");
        assert_eq!(name_of(&[("donor_step", "512"), ("what", "weights"), ("layer", "2")]), "from step 512: weights L2");
    }
}
