//! The curves of a causal table: the effect of each intervention over checkpoints.

use polars::prelude::{Expr, col};

use crate::results::{CurvePoint, FrameRows, ResultsError, Table, is_declared};

/// What tells one curve of a causal table from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// What was changed, such as `z L1H3` or `resid_pre L0 pos 7`.
    pub name: String,
    /// What does not depend on where the change is made: method or direction, and the metric.
    pub setting: Vec<String>,
    /// The number of the random control that it is; none for a target that was chosen.
    pub control: Option<i64>,
}

/// The curve of one target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EffectCurve {
    /// What was changed.
    pub target: Target,
    /// Its effect over checkpoints, with the interval over pairs.
    pub points: Vec<CurvePoint>,
}

/// The column of a causal table that holds its effect: `delta` of edits of one run, `effect` where a source run defines
/// a full effect of 1.
pub(super) fn value_of(table: &Table) -> &'static str {
    if is_declared(&table.origin.kind, "delta") { "delta" } else { "effect" }
}

/// Columns that name a target, in the order in which they are said.
const TARGET: [&str; 15] = [
    "run",
    "source_step",
    "what",
    "sender",
    "receiver",
    "hook",
    "layer",
    "pos",
    "head",
    "key",
    "position_name",
    "set",
    "coefficient",
    "input",
    "control",
];

/// Columns that say how a target was changed, and what was measured.
pub(super) const SETTING: [&str; 3] = ["method", "direction", "metric"];

/// The columns of a causal table that tell one curve from another.
pub(super) fn keys(table: &Table) -> Vec<&'static str> {
    TARGET.into_iter().chain(SETTING).filter(|name| is_declared(&table.origin.kind, name)).collect()
}

/// The columns of the interval of an effect.
pub(super) fn bounds_of(table: &Table) -> [&'static str; 2] {
    if value_of(table) == "delta" { ["delta_low", "delta_high"] } else { ["effect_low", "effect_high"] }
}

/// The curves of every target of a model, in the order of the table. Effects that are not reliable ([`is_sure`]) are
/// none.
///
/// # Errors
/// [`ResultsError`] where the table cannot be read.
pub(super) fn curves(table: &Table, model: &str) -> Result<Vec<EffectCurve>, ResultsError> {
    let Some(frame) = table.frame_of(model)? else {
        return Ok(Vec::new());
    };
    let keys = keys(table);
    let columns = keys.iter().copied().chain(["step", value_of(table)]).chain(bounds_of(table));
    let rows = FrameRows::collect(table, frame.select(columns.map(col).collect::<Vec<Expr>>()))?;
    let value = value_of(table);
    let curves = rows.curves(&keys, value, Some(bounds_of(table)))?;
    let targets = (0..curves.points.len()).map(|row| target(&curves.keys, row)).collect::<Result<Vec<_>, _>>()?;
    let points = curves.points.into_iter().map(|points| if value == "effect" { sure(points) } else { points });
    let mut curves = targets.into_iter().zip(points).map(|(target, points)| EffectCurve { target, points }).collect();
    forget_empty_end(&mut curves);
    Ok(curves)
}

/// Drops checkpoints at the end at which no curve is defined, such as the source checkpoint itself.
fn forget_empty_end(curves: &mut Vec<EffectCurve>) {
    let defined = |curve: &EffectCurve| {
        curve.points.iter().filter(|point| point.value.is_some()).filter_map(|point| point.step).max()
    };
    if let Some(last) = curves.iter().filter_map(defined).max() {
        for curve in curves {
            curve.points.retain(|point| point.step.is_none_or(|step| step <= last));
        }
    }
}

fn target(keys: &FrameRows<'_>, row: usize) -> Result<Target, ResultsError> {
    let cell = |name: &str| keys.frame.column(name).ok().and_then(|column| column.get(row).ok());
    let texts = |name: &str| {
        let value = cell(name).filter(|value| !value.is_null())?;
        Some(value.get_str().map_or_else(|| value.to_string(), str::to_owned)).filter(|text| !text.is_empty())
    };
    // One value per column that the table has, because a setting is selected column by column.
    let setting = SETTING.iter().filter(|name| keys.has(name)).map(|name| texts(name).unwrap_or_default()).collect();
    let control = cell("control").and_then(|value| value.extract::<i64>());
    Ok(Target { name: name(&texts), setting, control })
}

/// `z L1H3`, `resid_pre L0 pos 7`, `0.1 → 1.3.k`, `from step 512: …`.
fn name(texts: &impl Fn(&str) -> Option<String>) -> String {
    let mut words = Vec::new();
    words.extend(texts("run"));
    words.extend(texts("source_step").map(|step| format!("from step {step}:")));
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
    words.extend(texts("position_name"));
    words.extend(texts("coefficient").map(|factor| format!("× {factor}")));
    words.join(" ")
}

/// The widest interval of an effect that is shown.
const WIDEST: f64 = 0.5;

/// Whether an effect is shown: its interval is narrow, and it lies inside. A ratio of means over pairs of which few
/// differ may lie far outside of the interval of its own resamples.
pub(super) fn is_sure(value: f64, interval: Option<(f64, f64)>) -> bool {
    // The ends of an interval are rounded as the value is not.
    let slack = 1e-6 * (1.0 + value.abs());
    interval.is_some_and(|(low, high)| high - low <= WIDEST && (low - slack..=high + slack).contains(&value))
}

/// Hides points that are too uncertain to draw a curve through. If a curve has intervals at all, each point needs a
/// narrow one.
fn sure(mut points: Vec<CurvePoint>) -> Vec<CurvePoint> {
    let measured = points.iter().any(|point| point.band.is_some());
    for point in &mut points {
        if measured && point.value.is_some_and(|value| !is_sure(value, point.band)) {
            (point.value, point.band) = (None, None);
        }
    }
    points
}

/// The point of the last checkpoint, defined or not: an effect that became undefined is not replaced by an older one.
pub(super) fn at_end(curve: &EffectCurve) -> Option<&CurvePoint> {
    curve.points.last()
}

/// The range of the random controls of the target at the last checkpoint.
pub(super) fn control_range(curve: &EffectCurve, controls: &[&EffectCurve]) -> Option<(f64, f64)> {
    let same = |control: &&&EffectCurve| {
        control.target.name == curve.target.name && control.target.setting == curve.target.setting
    };
    let values: Vec<f64> = controls.iter().filter(same).filter_map(|control| at_end(control)?.value).collect();
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    Some((low, values.iter().copied().max_by(f64::total_cmp)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreliable_effect_is_hidden() {
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
        assert_eq!(
            name_of(&[("source_step", "512"), ("what", "weights"), ("layer", "2")]),
            "from step 512: weights L2"
        );
    }
}
