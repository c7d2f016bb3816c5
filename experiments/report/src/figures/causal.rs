//! What patching, ablation and other interventions do: maps of places with a slider over steps, the largest effects over
//! training, bars beside random controls.

use std::collections::BTreeSet;

use super::{IN_FULL, event, has_steps, points, steps};
use crate::chart::{Bar, BarPanel, Bars, Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::frame::CurvePoint;
use crate::page::Figure;
use crate::pick::{Filter, Pick};
use crate::results::{ResultsError, Table};
use crate::summary::{self, PlaceCurve, SETTING, UNSURE, at_end, control_range, places, value_of};
use crate::words;

mod map;
mod places;

/// Curves in one chart.
const CURVES: usize = 5;
/// Settings (methods or directions) that have figures of their own.
const SETTINGS: usize = 3;
/// Bars in one panel.
const BARS: usize = 24;

/// The figures of a causal table, for each model and setting.
pub(super) fn figures(table: &Table) -> Result<Vec<Figure>, ResultsError> {
    let mut figures = Vec::new();
    let models = table.models();
    for model in &models {
        let curves = places(table, model)?;
        let settings = main_settings(&curves, if models.len() > IN_FULL { 1 } else { SETTINGS });
        for setting in &settings {
            let own: Vec<&PlaceCurve> = curves.iter().filter(|curve| curve.place.setting == *setting).collect();
            let subject = Subject { table, model, setting, curves: &own };
            figures.extend(map::figures(&subject)?);
            figures.extend(subject.lines()?);
        }
        figures.extend(bars(table, model, &curves, &settings)?);
    }
    Ok(figures)
}

/// The settings with the metric that people read first: the logit difference, else the first there is.
fn main_settings(curves: &[PlaceCurve], most: usize) -> Vec<Vec<String>> {
    let all: BTreeSet<&Vec<String>> = curves.iter().map(|curve| &curve.place.setting).collect();
    let metric = all.iter().filter_map(|setting| setting.last()).find(|metric| *metric == "logit_diff");
    let metric = metric.or_else(|| all.iter().find_map(|setting| setting.last()));
    all.iter().filter(|setting| setting.last() == metric).take(most).map(|setting| (*setting).clone()).collect()
}

/// One model under one setting.
struct Subject<'a> {
    table: &'a Table,
    model: &'a str,
    setting: &'a [String],
    curves: &'a [&'a PlaceCurve],
}

impl Subject<'_> {
    fn id(&self, word: &str) -> String {
        words::slug(&format!("{} {} {} {word}", self.table.name, self.model, self.setting.join(" ")))
    }

    /// `nano · denoising · logit_diff`.
    fn name(&self) -> String {
        [self.model].into_iter().chain(self.setting.iter().map(String::as_str)).collect::<Vec<_>>().join(" · ")
    }

    /// The conditions that choose the setting's rows.
    fn filters(&self) -> Result<Vec<Filter>, ResultsError> {
        let keys = summary::keys(self.table)?;
        let columns = SETTING.into_iter().filter(|column| keys.contains(column));
        Ok(columns.zip(self.setting).map(|(column, value)| Filter::Text(column, value.clone())).collect())
    }

    /// Effects with their intervals under some conditions.
    fn pick(&self, filters: Vec<Filter>) -> Result<Pick, ResultsError> {
        let keys: Vec<&'static str> = summary::keys(self.table)?.into_iter().chain(["step"]).collect();
        let [low, high] = summary::bounds_of(self.table);
        Ok(Pick::new(&keys, &[value_of(self.table), low, high], filters).of(self.model))
    }

    /// The chosen places, the largest at the end first.
    fn ranked(&self) -> Vec<&PlaceCurve> {
        let size = |curve: &PlaceCurve| at_end(curve).and_then(|point| point.value).map(f64::abs);
        let mut ranked: Vec<&PlaceCurve> = self
            .curves
            .iter()
            .copied()
            .filter(|curve| curve.place.control.is_none() && size(curve).is_some())
            .collect();
        ranked.sort_by(|a, b| {
            size(b).unwrap_or(0.0).total_cmp(&size(a).unwrap_or(0.0)).then_with(|| a.place.cmp(&b.place))
        });
        ranked
    }

    /// The largest effects over training.
    fn lines(&self) -> Result<Option<Figure>, ResultsError> {
        let ranked = self.ranked();
        let shown = &ranked[..ranked.len().min(CURVES)];
        let Some((last, end)) =
            shown.last().and_then(|curve| Some((at_end(curve)?.step?, at_end(curve)?.value?.abs())))
        else {
            return Ok(None);
        };
        if !has_steps(shown.iter().map(|curve| curve.points.as_slice())) {
            return Ok(None);
        }
        let pick = self.pick_of_largest(last, end)?;
        let rows = pick.rows(self.table)?;
        let series = self.series(shown);
        let value = value_of(self.table);
        Ok(Some(Figure {
            id: self.id("curves"),
            title: format!("{}: the largest effects over training", self.name()),
            caption: format!(
                "The {} with the largest effect at step {last}, over training; bands are 95 % intervals over pairs, the mark is the change \
                 point of the first.{}{}",
                words::plural(shown.len(), "place"),
                match self.controls(shown) {
                    Some(controls) => format!(" Dashed, the mean of the {} with their range.", controls.name),
                    None => String::new(),
                },
                if value == "effect" { format!(" {UNSURE}") } else { String::new() }
            ),
            alt: self.finding(shown),
            chart: Chart::Lines(Lines {
                x: X::Steps { tokens_per_step: self.table.tokens_per_step(self.model)? },
                y: Y { label: self.label(), include: vec![0.0] },
                panels: vec![LinePanel { title: String::new(), series }],
            }),
            csv: rows.csv()?,
            code: pick.code(self.table),
        }))
    }

    fn pick_of_largest(&self, step: i64, least: f64) -> Result<Pick, ResultsError> {
        let (keys, value) = (summary::keys(self.table)?, value_of(self.table));
        let mut filters = self.filters()?;
        if keys.contains(&"control") {
            filters.push(Filter::Null("control"));
        }
        filters.push(Filter::End { by: keys, value, step, least });
        self.pick(filters)
    }

    fn series(&self, shown: &[&PlaceCurve]) -> Vec<Series> {
        let colored = shown.iter().enumerate().map(|(index, curve)| Series {
            name: curve.place.name.clone(),
            tone: Tone::Color(index),
            points: points(&curve.points),
            event: event(&curve.points).filter(|_| index == 0),
        });
        self.controls(shown).into_iter().chain(colored).collect()
    }

    /// The mean of the random controls of the first place that has some, with their range.
    fn controls(&self, shown: &[&PlaceCurve]) -> Option<Series> {
        let is_control =
            |curve: &PlaceCurve, of: &PlaceCurve| curve.place.control.is_some() && curve.place.name == of.place.name;
        let (of, controls) = shown.iter().find_map(|of| {
            let controls: Vec<&PlaceCurve> =
                self.curves.iter().copied().filter(|curve| is_control(curve, of)).collect();
            (!controls.is_empty()).then_some((of, controls))
        })?;
        let at = |point: &CurvePoint| {
            let same = |curve: &&PlaceCurve| {
                curve.points.iter().find(|other| other.step == point.step).and_then(|other| other.value)
            };
            let values: Vec<f64> = controls.iter().filter_map(same).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let (low, high) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
            Some(Point { x: point.step? as f64, y: Some(mean).filter(|mean| mean.is_finite()), band: low.zip(high) })
        };
        let points = of.points.iter().filter_map(at).collect();
        Some(Series {
            name: format!("random controls of {}", of.place.name),
            tone: Tone::Baseline,
            points,
            event: None,
        })
    }

    /// The largest effects at the end, each beside its random controls.
    fn bar_panel(&self) -> BarPanel {
        let controls: Vec<&PlaceCurve> =
            self.curves.iter().copied().filter(|curve| curve.place.control.is_some()).collect();
        let bar = |curve: &&PlaceCurve| Bar {
            name: curve.place.name.clone(),
            value: at_end(curve).and_then(|point| point.value),
            interval: at_end(curve).and_then(|point| point.band),
            control: control_range(curve, &controls),
        };
        BarPanel { title: self.setting.join(" · "), bars: self.ranked().iter().take(BARS).map(bar).collect() }
    }

    fn label(&self) -> String {
        let metric = self.setting.last().map(String::as_str).unwrap_or_default();
        match value_of(self.table) {
            "effect" => format!("effect on {metric} (1: as on the other prompt)"),
            _ => format!("change of {metric}"),
        }
    }

    fn finding(&self, shown: &[&PlaceCurve]) -> String {
        let one = |curve: &&PlaceCurve| {
            format!("{} {}", curve.place.name, words::number(at_end(curve).and_then(|point| point.value)))
        };
        format!("{}, at the last checkpoint: {}.", self.name(), shown.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

/// Bars at the last checkpoint, a panel for each setting.
fn bars(
    table: &Table,
    model: &str,
    curves: &[PlaceCurve],
    settings: &[Vec<String>],
) -> Result<Option<Figure>, ResultsError> {
    let own = |setting: &Vec<String>| -> Vec<&PlaceCurve> {
        curves.iter().filter(|curve| curve.place.setting == *setting).collect()
    };
    let panels = settings.iter().map(|setting| Subject { table, model, setting, curves: &own(setting) }.bar_panel());
    let panels: Vec<BarPanel> = panels.filter(|panel| !panel.bars.is_empty()).collect();
    let Some(first) = settings.first().filter(|_| !panels.is_empty()) else {
        return Ok(None);
    };
    let subject = Subject { table, model, setting: first, curves: &own(first) };
    let last = curves.iter().filter_map(|curve| at_end(curve)?.step).max();
    let pick = pick_of_end(&subject, last)?;
    Ok(Some(Figure {
        id: words::slug(&format!("{} {model} bars", table.name)),
        title: format!("{model}: effects at {}", words::step(last)),
        caption: format!(
            "Up to {BARS} places by the size of their effect at the last checkpoint, with 95 % intervals over pairs.{}",
            if curves.iter().any(|curve| curve.place.control.is_some()) {
                " A grey band behind a bar is the range of what random sets of the same size do."
            } else {
                ""
            }
        ),
        alt: subject.finding(&subject.ranked().into_iter().take(CURVES).collect::<Vec<_>>()),
        chart: Chart::Bars(Bars { label: subject.label(), panels }),
        csv: pick.rows(table)?.csv()?,
        code: pick.code(table),
    }))
}

/// All places of the main metric at one step, controls among them.
fn pick_of_end(subject: &Subject<'_>, last: Option<i64>) -> Result<Pick, ResultsError> {
    let metric = subject.setting.last().map(|metric| Filter::Text("metric", metric.clone()));
    let step = last.map_or(Filter::Null("step"), |step| Filter::Int("step", step));
    subject.pick(metric.into_iter().chain([step]).collect())
}

/// The steps of a set of curves that become frames.
fn frames(curves: &[&PlaceCurve], most: usize) -> Vec<Option<i64>> {
    let all: BTreeSet<i64> =
        curves.iter().flat_map(|curve| curve.points.iter().filter_map(|point| point.step)).collect();
    let chosen = steps::spread(&all.into_iter().collect::<Vec<_>>(), most);
    if chosen.is_empty() { vec![None] } else { chosen.into_iter().map(Some).collect() }
}
