//! Interventions that are compared with the base run alone, because no source run defines a full effect.
//!
//! With the metric m of the base run and m' of the run under an intervention, the *delta* of a prompt is m' − m. Over
//! prompts it is the mean of their deltas, with a seeded 95 % bootstrap interval. An intervention that changes
//! nothing has a delta of exactly 0.

use std::collections::BTreeMap;

use super::effect::{Bootstrap, Label, Sample, common_pos, mean, status};
use crate::engine::{Outcome, Scores};
use crate::metric::Metric;
use crate::pairs::Pair;
use crate::table::{OK, Table, TableSpec, TableValue, UNDEFINED, measured};

/// The status of an intervention that needs another prompt of the same length, where there is none.
pub(crate) const NO_OTHER_PROMPT: &str = "no_other_prompt";

/// One pair's values of all metrics, and the status of those that are not finite.
struct Line {
    samples: Vec<Sample>,
    changed: bool,
    otherwise: &'static str,
}

/// The changes by interventions, by label, pair and metric.
pub(crate) struct Deltas<'a, L> {
    metrics: Vec<Metric>,
    pairs: &'a [Pair],
    /// By label, then by pair. Groups of pairs come in the order of their lengths, tables have the pairs in the order
    /// of their source.
    rows: BTreeMap<L, BTreeMap<usize, Line>>,
}

impl<'a, L: Label> Deltas<'a, L> {
    /// `pairs` are all pairs.
    pub(crate) fn new(metrics: &[Metric], pairs: &'a [Pair]) -> Self {
        Deltas { metrics: metrics.to_vec(), pairs, rows: BTreeMap::new() }
    }

    /// Notes the effect of interventions on the pairs of a group: `outcomes` are what each label's intervention did,
    /// `base` are the scores of the base run.
    pub(crate) fn note(&mut self, labels: &[L], pairs: &[usize], base: &Scores, outcomes: &[Outcome]) {
        for (label, outcome) in labels.iter().zip(outcomes) {
            let lines = self.rows.entry(label.clone()).or_default();
            for (index, &pair) in pairs.iter().enumerate() {
                let values = base[index].iter().zip(&outcome.scores[index]);
                let samples = values.map(|(&base, &score)| sample(base, score)).collect();
                lines.insert(pair, Line { samples, changed: outcome.changed[index], otherwise: UNDEFINED });
            }
        }
    }

    /// Notes that interventions cannot be run on the pairs of a group, and why.
    pub(crate) fn note_none(&mut self, labels: &[L], pairs: &[usize], base: &Scores, why: &'static str) {
        for label in labels {
            let line = |(&pair, base): (&usize, &Vec<f64>)| {
                let samples = base.iter().map(|&base| sample(base, f64::NAN)).collect();
                (pair, Line { samples, changed: false, otherwise: why })
            };
            self.rows.entry(label.clone()).or_default().extend(pairs.iter().zip(base).map(line));
        }
    }

    /// A row per intervention and metric: `n` pairs with defined values, the means of `base` and `changed` over them,
    /// their difference `delta` with its 95 % bootstrap interval over pairs (null for fewer than two).
    pub(crate) fn summary(&self, spec: &TableSpec, seed: u64) -> Table {
        let (mut table, mut bootstrap) = (spec.builder(), Bootstrap::new(seed));
        for (label, lines) in &self.rows {
            let pos = common_pos(label, lines.keys().filter_map(|&pair| self.pairs.get(pair)));
            let good = status(lines.values().any(|line| line.changed));
            for (index, metric) in self.metrics.iter().enumerate() {
                let samples = lines.values().map(|line| line.samples[index]);
                let samples: Vec<Sample> = samples.filter(|sample| delta(sample).is_finite()).collect();
                let numbers = summary(&samples, &mut bootstrap);
                let otherwise = lines.values().next().map_or(UNDEFINED, |line| line.otherwise);
                let status = if numbers[2].is_some() { good } else { otherwise };
                let before = [metric.name().into(), samples.len().into()];
                let numbers = numbers.into_iter().map(TableValue::from).chain([status.into()]);
                table.row(label.values(pos).into_iter().chain(before).chain(numbers));
            }
        }
        table.build()
    }

    /// A row per intervention, pair and metric.
    pub(crate) fn examples(&self, spec: &TableSpec) -> Table {
        let mut table = spec.builder();
        for (label, lines) in &self.rows {
            for (&pair, line) in lines {
                let pos = common_pos(label, self.pairs.get(pair).into_iter());
                for (metric, sample) in self.metrics.iter().zip(&line.samples) {
                    let (delta, found) = measured(delta(sample));
                    let found = if found == OK { status(line.changed) } else { line.otherwise };
                    let before = [metric.name().into(), pair.into()];
                    let numbers = [sample.base.into(), sample.changed.into(), delta.into(), found.into()];
                    table.row(label.values(pos).into_iter().chain(before).chain(numbers));
                }
            }
        }
        table.build()
    }
}

/// A sample without a source run, whose value is not used; any finite number serves in its place.
fn sample(base: f64, changed: f64) -> Sample {
    Sample { base, source: 0.0, changed }
}

fn delta(sample: &Sample) -> f64 {
    sample.changed - sample.base
}

fn summary(samples: &[Sample], bootstrap: &mut Bootstrap) -> [Option<f64>; 5] {
    let mean = mean(samples);
    let interval = bootstrap.interval(samples, |mean| delta(&mean));
    let finite = |value: f64| measured(value).0;
    let (low, high) = (interval.map(|(low, _)| low), interval.map(|(_, high)| high));
    [finite(mean.base), finite(mean.changed), finite(delta(&mean)), low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::causal::columns::{
        DELTA, HEAD, HOOK, KEY, MEAN_DELTA, METRIC, N, POS, POSITION_NAME, PROMPT_ID, SET, STATUS, WINDOW,
    };
    use crate::families::causal::places::Place;
    use crate::table::Column;
    use pythia_hooks::Site;

    const MAIN: TableSpec = TableSpec {
        suffix: "",
        doc: "",
        columns: &[HOOK, POS, HEAD, KEY, POSITION_NAME, SET, WINDOW, METRIC, N, MEAN_DELTA, STATUS],
    };
    const EXAMPLES: TableSpec = TableSpec {
        suffix: "examples",
        doc: "",
        columns: &[HOOK, POS, HEAD, KEY, POSITION_NAME, SET, WINDOW, METRIC, PROMPT_ID, DELTA, STATUS],
    };

    fn place() -> Place {
        Place::of(Site::Z.at(1))
    }

    fn outcome(scores: Scores) -> Outcome {
        Outcome { changed: vec![true; scores.len()], scores }
    }

    fn floats<'a>(table: &'a Table, name: &str) -> &'a [Option<f64>] {
        table.column(name).and_then(Column::floats).expect("a column of numbers")
    }

    fn status(table: &Table) -> &[String] {
        table.column("status").and_then(Column::text).expect("a column of text")
    }

    #[test]
    fn a_delta_is_the_mean_of_what_changed() {
        let mut deltas = Deltas::new(&[Metric::LogitDiff, Metric::Kl], &[]);
        let (base, changed) = (vec![vec![1.0, 0.0], vec![3.0, 0.0]], vec![vec![2.0, 0.5], vec![1.0, 0.25]]);
        deltas.note(&[place()], &[4, 7], &base, &[outcome(changed)]);
        let summary = deltas.summary(&MAIN, 0);
        assert_eq!(floats(&summary, "base"), [Some(2.0), Some(0.0)]);
        assert_eq!(floats(&summary, "changed"), [Some(1.5), Some(0.375)]);
        assert_eq!(floats(&summary, "delta"), [Some(-0.5), Some(0.375)]);
        assert_eq!((floats(&summary, "delta_low")[0], floats(&summary, "delta_high")[0]), (Some(-2.0), Some(1.0)));
        let examples = deltas.examples(&EXAMPLES);
        assert_eq!(floats(&examples, "delta"), [Some(1.0), Some(0.5), Some(-2.0), Some(0.25)]);
        let ids = examples.column("prompt_id").and_then(Column::ints);
        assert_eq!(ids, Some([Some(4), Some(4), Some(7), Some(7)].as_slice()));
    }

    #[test]
    fn what_is_undefined_is_null_and_says_why() {
        let mut deltas = Deltas::new(&[Metric::LogitDiff], &[]);
        deltas.note(&[place()], &[0, 1], &vec![vec![1.0], vec![f64::NAN]], &[outcome(vec![vec![2.0], vec![2.0]])]);
        let other = Place::of(Site::Z.at(2));
        deltas.note_none(std::slice::from_ref(&other), &[0], &vec![vec![5.0]], NO_OTHER_PROMPT);
        let (summary, examples) = (deltas.summary(&MAIN, 0), deltas.examples(&EXAMPLES));
        assert_eq!(status(&summary), ["ok", "no_other_prompt"]);
        assert_eq!(floats(&summary, "delta"), [Some(1.0), None]);
        assert_eq!(summary.column("n").and_then(Column::ints), Some([Some(1), Some(0)].as_slice()));
        assert_eq!(floats(&summary, "delta_low"), [None, None]);
        assert_eq!(status(&examples), ["ok", "undefined", "no_other_prompt"]);
        assert_eq!(floats(&examples, "base"), [Some(1.0), None, Some(5.0)]);
        assert_eq!(floats(&examples, "changed"), [Some(2.0), Some(2.0), None]);
    }
}
