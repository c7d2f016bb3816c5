//! The largest effects at the last checkpoint as bars, a panel for each setting.

use super::curves::{EffectCurve, at_end, control_range};
use super::{CURVES, Setting};
use crate::chart::{Bar, BarPanel, Bars, Chart};
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{ResultsError, Table};
use crate::words;

/// Bars in one panel.
const BARS: usize = 24;

/// Bars at the last checkpoint, a panel for each setting.
pub(super) fn figure(
    table: &Table,
    model: &str,
    curves: &[EffectCurve],
    settings: &[Vec<String>],
) -> Result<Option<Figure>, ResultsError> {
    let own = |setting: &Vec<String>| -> Vec<&EffectCurve> {
        curves.iter().filter(|curve| curve.target.setting == *setting).collect()
    };
    let panels =
        settings.iter().map(|setting| panel(&Setting { table, model, values: setting, curves: &own(setting) }));
    let panels: Vec<BarPanel> = panels.filter(|panel| !panel.bars.is_empty()).collect();
    let Some(first) = settings.first().filter(|_| !panels.is_empty()) else {
        return Ok(None);
    };
    let setting = Setting { table, model, values: first, curves: &own(first) };
    let last = curves.iter().filter_map(|curve| at_end(curve)?.step).max();
    let pick = pick_of_end(&setting, last);
    Ok(Some(Figure {
        id: words::slug(&format!("{} {model} bars", table.name)),
        title: format!("{model}: effects at {}", words::step(last)),
        caption: format!(
            "Up to {BARS} places by the size of their effect at the last checkpoint, with 95 % intervals over pairs.{}",
            if curves.iter().any(|curve| curve.target.control.is_some()) {
                " A grey band behind a bar is the range over random sets of the same size."
            } else {
                ""
            }
        ),
        alt: setting.finding(&setting.ranked().into_iter().take(CURVES).collect::<Vec<_>>()),
        chart: Chart::Bars(Bars { label: setting.label(), panels }),
        csv: pick.rows(table)?.csv()?,
        code: pick.code(table),
    }))
}

/// The largest effects at the end, each beside its random controls.
fn panel(setting: &Setting<'_>) -> BarPanel {
    let controls: Vec<&EffectCurve> =
        setting.curves.iter().copied().filter(|curve| curve.target.control.is_some()).collect();
    let bar = |curve: &&EffectCurve| Bar {
        name: curve.target.name.clone(),
        value: at_end(curve).and_then(|point| point.value),
        interval: at_end(curve).and_then(|point| point.band),
        control: control_range(curve, &controls),
    };
    BarPanel { title: setting.values.join(" · "), bars: setting.ranked().iter().take(BARS).map(bar).collect() }
}

/// All targets of the main metric at one step, controls among them.
pub(super) fn pick_of_end(setting: &Setting<'_>, last: Option<i64>) -> Pick {
    let metric = setting.values.last().map(|metric| Filter::Text("metric", metric.clone()));
    let step = last.map_or(Filter::Null("step"), |step| Filter::Int("step", step));
    setting.pick(metric.into_iter().chain([step]).collect())
}
