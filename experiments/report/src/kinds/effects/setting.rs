//! One model under one setting of a causal table: the choice of its rows and what is said of it.

use super::curves::{EffectCurve, SETTING, at_end, bounds_of, keys, value_of};
use crate::pick::{Filter, Pick};
use crate::results::Table;
use crate::words;

/// One model under one setting: a method or direction, and a metric.
pub(super) struct Setting<'a> {
    pub table: &'a Table,
    pub model: &'a str,
    /// The values of those columns of [`SETTING`] that the table has.
    pub values: &'a [String],
    pub curves: &'a [&'a EffectCurve],
}

impl Setting<'_> {
    pub(super) fn id(&self, word: &str) -> String {
        words::slug(&format!("{} {} {} {word}", self.table.name, self.model, self.values.join(" ")))
    }

    /// `nano · denoising · logit_diff`.
    pub(super) fn name(&self) -> String {
        [self.model].into_iter().chain(self.values.iter().map(String::as_str)).collect::<Vec<_>>().join(" · ")
    }

    /// The conditions that choose the setting's rows.
    pub(super) fn filters(&self) -> Vec<Filter> {
        let keys = keys(self.table);
        let columns = SETTING.into_iter().filter(|column| keys.contains(column));
        columns.zip(self.values).map(|(column, value)| Filter::Text(column, value.clone())).collect()
    }

    /// Effects with their intervals under some conditions.
    pub(super) fn pick(&self, filters: Vec<Filter>) -> Pick {
        let keys: Vec<&'static str> = keys(self.table).into_iter().chain(["step"]).collect();
        let [low, high] = bounds_of(self.table);
        Pick::new(&keys, &[value_of(self.table), low, high], filters).of(self.model)
    }

    /// The targets without random controls, the largest at the end first.
    pub(super) fn ranked(&self) -> Vec<&EffectCurve> {
        let size = |curve: &EffectCurve| at_end(curve).and_then(|point| point.value).map(f64::abs);
        let mut ranked: Vec<&EffectCurve> = self
            .curves
            .iter()
            .copied()
            .filter(|curve| curve.target.control.is_none() && size(curve).is_some())
            .collect();
        ranked.sort_by(|a, b| {
            size(b).unwrap_or(0.0).total_cmp(&size(a).unwrap_or(0.0)).then_with(|| a.target.cmp(&b.target))
        });
        ranked
    }

    pub(super) fn label(&self) -> String {
        let metric = self.values.last().map(String::as_str).unwrap_or_default();
        match value_of(self.table) {
            "effect" => format!("effect on {metric} (1 = full effect)"),
            _ => format!("change of {metric}"),
        }
    }

    pub(super) fn finding(&self, shown: &[&EffectCurve]) -> String {
        let one = |curve: &&EffectCurve| {
            format!("{} {}", curve.target.name, words::number(at_end(curve).and_then(|point| point.value)))
        };
        format!("{}, at the last checkpoint: {}.", self.name(), shown.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}
