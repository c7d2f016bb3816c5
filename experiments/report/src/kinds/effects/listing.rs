//! The listing of a causal table: which targets matter most at the last checkpoint, and since when.

use super::UNSURE;
use super::curves::{EffectCurve, at_end, control_range, curves, value_of};
use crate::kinds::change::{when, when_columns};
use crate::listing::{Listing, ListingColumn};
use crate::results::{ResultsError, Table};
use crate::words;

/// The targets of every model with the largest effects at its last checkpoint, for each method or direction and metric.
pub(super) fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    let mut rows = Vec::new();
    for model in table.models() {
        let curves = curves(table, model)?;
        let mut settings: Vec<&Vec<String>> = curves.iter().map(|curve| &curve.target.setting).collect();
        settings.sort();
        settings.dedup();
        for setting in settings {
            let mut own: Vec<&EffectCurve> = curves.iter().filter(|curve| &curve.target.setting == setting).collect();
            let controls: Vec<&EffectCurve> =
                own.iter().copied().filter(|curve| curve.target.control.is_some()).collect();
            own.retain(|curve| curve.target.control.is_none());
            own.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.target.cmp(&b.target)));
            rows.extend(own.into_iter().take(top).map(|curve| row(model, curve, &controls)));
        }
    }
    let columns = ["model", "how", "place"].map(ListingColumn::text).into_iter();
    let numbers =
        [value_of(table), &format!("95 % interval of the {}", value_of(table)), CONTROLS].map(ListingColumn::number);
    let columns = columns.chain(numbers).chain(when_columns()).collect();
    let title = format!("{}: the largest effects at the last checkpoint", table.name);
    let note = note(table, rows.iter().any(|row: &Vec<String>| !row[5].is_empty()));
    Ok(Listing { id: words::slug(&table.name), title, note, columns, rows })
}

/// Most tables have no random controls; then this column is empty and is not shown.
const CONTROLS: &str = "random controls";

/// How the listing is read, in a sentence.
fn note(table: &Table, controls: bool) -> String {
    match value_of(table) {
        "effect" => UNSURE.into(),
        _ if controls => format!("\"{CONTROLS}\" is the range over random sets of the same size."),
        _ => String::new(),
    }
}

fn size(curve: &EffectCurve) -> f64 {
    at_end(curve).and_then(|point| point.value).map_or(f64::NEG_INFINITY, f64::abs)
}

fn row(model: &str, curve: &EffectCurve, controls: &[&EffectCurve]) -> Vec<String> {
    let range = |range: Option<(f64, f64)>| {
        range.map_or(String::new(), |(low, high)| {
            format!("{} … {}", words::number(Some(low)), words::number(Some(high)))
        })
    };
    let end = at_end(curve);
    let value = words::number(end.and_then(|point| point.value));
    let texts = [model.to_owned(), curve.target.setting.join(" · "), curve.target.name.clone(), value];
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
        for step in [0, 1, 2, 4, 6, 8, 16, 32, 64, 128] {
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
            "",
        ];
        assert_eq!((listing.rows.len(), row.as_slice()), (1, expected.as_slice()));
        assert!(listing.note.contains("random sets"), "{}", listing.note);
    }
}
