//! What patching, ablation and other interventions do: maps with a slider over steps, the largest effects over
//! training, bars beside random controls. All causal probes share these figures and this listing.

use std::collections::BTreeSet;

use super::over_steps::{self, spread};
use super::{IN_FULL, TOP, TableKind, blocks};
use crate::page::{Block, Figure};
use crate::results::{ResultsError, Table};

mod bars;
mod curves;
mod dose;
mod listing;
mod map;
mod over_training;
mod places;
mod setting;

use curves::EffectCurve;
use listing::listing;
use setting::Setting;

/// How the effects of patching are read, and which are hidden.
const UNSURE: &str = "Effects are ratios: 0 = no effect, 1 = full effect. Hidden where the 95 % interval is wider than \
                      0.5 or excludes the estimate, because the clean and corrupt (or base and source) runs are too \
                      close.";

/// Curves in one chart.
const CURVES: usize = 5;
/// Settings (methods or directions) that have figures of their own.
const SETTINGS: usize = 3;

/// The kind of the tables of a causal probe.
pub(super) const fn kind(name: &'static str, title: &'static str, figures: &'static str) -> TableKind {
    TableKind { name, title, figures, section, listing: Some(listing) }
}

/// The section of a causal table.
fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    Ok(blocks(figures(table)?, Some(listing(table, TOP)?)))
}

/// The figures of a causal table, for each model and setting.
fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let mut figures = Vec::new();
    let models = table.models();
    let read = models.iter().map(|model| Ok((*model, curves::curves(table, model)?)));
    let read = read.collect::<Result<Vec<(&str, Vec<EffectCurve>)>, ResultsError>>()?;
    for (model, curves) in &read {
        let settings = main_settings(curves, if models.len() > IN_FULL { 1 } else { SETTINGS });
        let mut by_dose = false;
        for setting in &settings {
            let own: Vec<&EffectCurve> = curves.iter().filter(|curve| curve.target.setting == *setting).collect();
            let setting = Setting { table, model, values: setting, curves: &own };
            // One metric has one scale, in every direction and for every model.
            let metric = setting.values.last();
            let all = read.iter().flat_map(|(_, curves)| curves);
            let limit = map::limit(table, all.filter(|curve| curve.target.setting.last() == metric));
            figures.extend(map::figures(&setting, limit)?);
            figures.extend(over_training::figure(&setting)?);
            let dose = dose::figure(&setting)?;
            by_dose |= dose.is_some();
            figures.extend(dose);
        }
        // Bars would show the same values in the order of their sizes.
        if by_dose {
            continue;
        }
        figures.extend(bars::figure(table, model, curves, &settings)?);
    }
    Ok(figures)
}

/// The settings with the metric that people read first: the logit difference, else the first there is.
fn main_settings(curves: &[EffectCurve], most: usize) -> Vec<Vec<String>> {
    let all: BTreeSet<&Vec<String>> = curves.iter().map(|curve| &curve.target.setting).collect();
    let metric = all.iter().filter_map(|setting| setting.last()).find(|metric| *metric == "logit_diff");
    let metric = metric.or_else(|| all.iter().find_map(|setting| setting.last()));
    all.iter().filter(|setting| setting.last() == metric).take(most).map(|setting| (*setting).clone()).collect()
}

/// The steps of a set of curves that become frames.
fn frames(curves: &[&EffectCurve], most: usize) -> Vec<Option<i64>> {
    let all: BTreeSet<i64> =
        curves.iter().flat_map(|curve| curve.points.iter().filter_map(|point| point.step)).collect();
    over_steps::frames(&spread(&all.into_iter().collect::<Vec<_>>(), most))
}
