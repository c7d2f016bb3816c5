//! From metrics per prompt to effects.
//!
//! With the metric m of the base run, of the source run and of the patched run, the *effect* is the share of the way
//! from base to source that the patch goes: (m − m_base) / (m_source − m_base). Denoising, it is (m − m_corrupt) /
//! (m_clean − m_corrupt): 0 where nothing is restored, 1 where everything is. Noising, it is (m_clean − m) / (m_clean
//! − m_corrupt): 0 where nothing is lost, 1 where everything is. It can leave that range. Over prompts there are two
//! means, and both are given: the ratio of the means (as in TransformerLens' demonstrations) and the mean of the
//! ratios.

use std::collections::BTreeMap;

use super::Direction;
use super::places::Place;
use crate::engine::{Outcome, Scores};
use crate::metric::Metric;
use crate::pairs::Pair;
use crate::random::{Domain, below, generator};
use crate::table::{OK, Table, TableSpec, TableValue, UNDEFINED, measured};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// A gap between base and source below this share of their size is rounding error, and an effect is undefined there.
const VANISHING: f64 = 1e-6;

/// The status of an intervention after which the stream is the base run's wherever metrics read it.
pub(crate) const NO_CHANGE: &str = "no_change";

/// What an intervention is, in a table: its place, its method, its name.
pub(crate) trait Label: Ord + Clone {
    /// Its values in a row, in the order of the columns that the probe declares for it. `pos` is the number of the
    /// position, where it is one.
    fn values(&self, pos: Option<usize>) -> Vec<TableValue>;

    /// The number of the position in a pair's prompts, where it is one.
    fn pos_in(&self, pair: &Pair) -> Option<usize>;
}

impl Label for Place {
    fn values(&self, pos: Option<usize>) -> Vec<TableValue> {
        vec![
            self.point.to_string().into(),
            self.point.layer().into(),
            pos.into(),
            self.head.into(),
            self.key.into(),
            self.names().into(),
            self.set.clone().into(),
            self.window.into(),
        ]
    }

    fn pos_in(&self, pair: &Pair) -> Option<usize> {
        Place::pos_in(self, pair)
    }
}

/// The number of a label's position in all of some pairs, where it is the same.
pub(crate) fn common_pos<'a>(label: &impl Label, mut pairs: impl Iterator<Item = &'a Pair>) -> Option<usize> {
    let first = label.pos_in(pairs.next()?)?;
    pairs.all(|pair| label.pos_in(pair) == Some(first)).then_some(first)
}

/// One prompt's values of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The metric of the base run, which is intervened on.
    pub base: f64,
    /// The metric of the source run, which activations are taken from.
    pub source: f64,
    /// The metric of the base run under the intervention.
    pub changed: f64,
}

impl Sample {
    /// The share of the way from base to source; NaN where base and source do not differ.
    pub(crate) fn effect(&self) -> f64 {
        let gap = self.source - self.base;
        let size = self.source.abs().max(self.base.abs());
        if gap.abs() <= VANISHING * size { f64::NAN } else { (self.changed - self.base) / gap }
    }

    fn is_finite(&self) -> bool {
        self.base.is_finite() && self.source.is_finite() && self.changed.is_finite()
    }
}

/// The mean of samples, as one sample: its effect is the ratio of the means.
pub(crate) fn mean(samples: &[Sample]) -> Sample {
    let n = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / n;
    Sample { base: mean(|s| s.base), source: mean(|s| s.source), changed: mean(|s| s.changed) }
}

/// Draws with replacement, the same for all interventions with equally many pairs, so that interventions can be
/// compared.
pub(crate) struct Bootstrap {
    seed: u64,
    draws: BTreeMap<usize, Vec<Vec<u32>>>,
}

impl Bootstrap {
    pub(crate) fn new(seed: u64) -> Self {
        Bootstrap { seed, draws: BTreeMap::new() }
    }

    /// The 95 % percentile interval of a statistic of resampled samples; `None` for fewer than two samples, or where
    /// the statistic is undefined for some draw.
    pub(crate) fn interval(&mut self, samples: &[Sample], statistic: impl Fn(Sample) -> f64) -> Option<(f64, f64)> {
        let n = samples.len();
        if n < 2 {
            return None;
        }
        let seed = self.seed;
        let draws = self.draws.entry(n).or_insert_with(|| draws(seed, n));
        let resampled = |draw: &Vec<u32>| {
            let mut sum = Sample { base: 0.0, source: 0.0, changed: 0.0 };
            for &index in draw {
                let sample = &samples[index as usize];
                sum.base += sample.base;
                sum.source += sample.source;
                sum.changed += sample.changed;
            }
            let n = n as f64;
            statistic(Sample { base: sum.base / n, source: sum.source / n, changed: sum.changed / n })
        };
        let mut values: Vec<f64> = draws.iter().map(resampled).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Some((at(0.025), at(0.975)))
    }
}

fn draws(seed: u64, n: usize) -> Vec<Vec<u32>> {
    let draw = |index| {
        let mut rng = generator(seed, Domain::Bootstrap, index);
        (0..n).map(|_| below(&mut rng, n as u32)).collect()
    };
    (0..RESAMPLES as u64).map(draw).collect()
}

/// The two runs between which an effect is a share of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Those on the two prompts of a pair, in either direction, which is a column.
    Prompts,
    /// Those of two models on the same prompt, always from `base` to `source`.
    Models,
}

impl Ends {
    fn values(self, direction: Direction, metric: Metric) -> Vec<TableValue> {
        match self {
            Ends::Prompts => vec![direction.name().into(), metric.name().into()],
            Ends::Models => vec![metric.name().into()],
        }
    }
}

/// What an intervention did to one pair.
struct Line {
    /// A sample per metric.
    samples: Vec<Sample>,
    changed: bool,
}

/// The effects of interventions, by label, pair and metric.
pub(crate) struct Effects<'a, L> {
    ends: Ends,
    metrics: Vec<Metric>,
    pairs: &'a [Pair],
    rows: BTreeMap<(Direction, L), BTreeMap<usize, Line>>,
}

impl<'a, L: Label> Effects<'a, L> {
    /// Effects between the runs on the two prompts of a pair.
    pub(crate) fn new(metrics: &[Metric], pairs: &'a [Pair]) -> Self {
        Effects { ends: Ends::Prompts, metrics: metrics.to_vec(), pairs, rows: BTreeMap::new() }
    }

    /// Effects between the runs of two models on the same prompt. They are noted under [`Direction::Noising`], and
    /// the tables have no column for the direction.
    pub(crate) fn of_models(metrics: &[Metric], pairs: &'a [Pair]) -> Self {
        Effects { ends: Ends::Models, ..Effects::new(metrics, pairs) }
    }

    /// Notes the effect of an intervention on one pair: a sample per metric, and whether it changed anything that
    /// metrics read.
    pub(crate) fn note(&mut self, direction: Direction, label: &L, pair: usize, samples: Vec<Sample>, changed: bool) {
        self.rows.entry((direction, label.clone())).or_default().insert(pair, Line { samples, changed });
    }

    /// Notes the effects of interventions on the pairs of a group: `patched` is what each label's intervention did,
    /// `base` and `source` are the scores of the runs without any.
    pub(crate) fn note_group(
        &mut self,
        direction: Direction,
        labels: &[L],
        pairs: &[usize],
        [base, source]: [&Scores; 2],
        patched: &[Outcome],
    ) {
        for (label, patched) in labels.iter().zip(patched) {
            for (index, &pair) in pairs.iter().enumerate() {
                let values = base[index].iter().zip(&source[index]).zip(&patched.scores[index]);
                let sample = |((&base, &source), &changed)| Sample { base, source, changed };
                self.note(direction, label, pair, values.map(sample).collect(), patched.changed[index]);
            }
        }
    }

    /// A row per intervention and metric. The means are over the `n` pairs with defined values; the `effect` is the
    /// ratio of these means with its 95 % bootstrap interval over pairs, `effect_mean` the mean of the pairs' own
    /// effects.
    pub(crate) fn summary(&self, spec: &TableSpec, seed: u64) -> Table {
        let (mut table, mut bootstrap) = (spec.builder(), Bootstrap::new(seed));
        for ((direction, label), lines) in &self.rows {
            let pos = common_pos(label, lines.keys().filter_map(|&pair| self.pairs.get(pair)));
            let good = status(lines.values().any(|line| line.changed));
            for (index, metric) in self.metrics.iter().enumerate() {
                let samples: Vec<Sample> =
                    lines.values().map(|line| line.samples[index]).filter(Sample::is_finite).collect();
                let before = self.ends.values(*direction, *metric).into_iter().chain([samples.len().into()]);
                let numbers = summary(*direction, &samples, &mut bootstrap);
                let status = if numbers[3].is_some() { good } else { UNDEFINED };
                let numbers = numbers.into_iter().map(TableValue::from).chain([status.into()]);
                table.row(label.values(pos).into_iter().chain(before).chain(numbers));
            }
        }
        table.build()
    }

    /// A row per intervention, pair and metric.
    pub(crate) fn examples(&self, spec: &TableSpec) -> Table {
        let mut table = spec.builder();
        for ((direction, label), lines) in &self.rows {
            for (pair, line) in lines {
                let pos = common_pos(label, self.pairs.get(*pair).into_iter());
                for (metric, sample) in self.metrics.iter().zip(&line.samples) {
                    let before = self.ends.values(*direction, *metric).into_iter().chain([(*pair).into()]);
                    let [first, second] = sides(*direction, sample);
                    let (effect, found) = measured(sample.effect());
                    let found = if found == OK { status(line.changed) } else { found };
                    let numbers = [first, second, sample.changed].map(TableValue::from);
                    let after = numbers.into_iter().chain([effect.into(), found.into()]);
                    table.row(label.values(pos).into_iter().chain(before).chain(after));
                }
            }
        }
        table.build()
    }
}

/// The status of a value that is defined.
pub(crate) const fn status(changed: bool) -> &'static str {
    if changed { OK } else { NO_CHANGE }
}

/// A sample's clean and corrupt values.
fn sides(direction: Direction, sample: &Sample) -> [f64; 2] {
    match direction {
        Direction::Denoising => [sample.source, sample.base],
        Direction::Noising => [sample.base, sample.source],
    }
}

fn summary(direction: Direction, samples: &[Sample], bootstrap: &mut Bootstrap) -> [Option<f64>; 7] {
    let mean = mean(samples);
    let [clean, corrupt] = sides(direction, &mean);
    let effect = measured(mean.effect()).0;
    let interval = effect.and_then(|_| bootstrap.interval(samples, |sample| sample.effect()));
    let ratios: Vec<f64> = samples.iter().map(Sample::effect).filter(|ratio| ratio.is_finite()).collect();
    let mean_ratio = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let finite = |value: f64| measured(value).0;
    let (low, high) = (interval.map(|(low, _)| low), interval.map(|(_, high)| high));
    [finite(clean), finite(corrupt), finite(mean.changed), effect, low, high, finite(mean_ratio)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::activation_patching::ActivationPatching;

    fn sample(base: f64, source: f64, changed: f64) -> Sample {
        Sample { base, source, changed }
    }

    #[test]
    fn an_effect_is_a_share_of_the_gap() {
        assert_eq!(sample(1.0, 5.0, 2.0).effect(), 0.25);
        assert_eq!(sample(1.0, 5.0, 1.0).effect(), 0.0);
        assert_eq!(sample(5.0, 1.0, -3.0).effect(), 2.0);
        assert!(sample(1.0, 1.0, 2.0).effect().is_nan());
        assert!(sample(1000.0, 1000.0001, 2.0).effect().is_nan());
        assert!(sample(0.0, 0.0, 0.0).effect().is_nan());
    }

    #[test]
    fn the_two_means_differ() {
        let samples = [sample(0.0, 1.0, 1.0), sample(0.0, 9.0, 0.0)];
        assert_eq!(mean(&samples).effect(), 0.1);
        let [.., mean_of_ratios] = summary(Direction::Denoising, &samples, &mut Bootstrap::new(0));
        assert_eq!(mean_of_ratios, Some(0.5));
    }

    #[test]
    fn an_interval_holds_its_statistic_and_follows_the_seed() {
        let samples: Vec<Sample> = (0..50).map(|i| sample(0.0, 1.0, f64::from(i) / 49.0)).collect();
        let interval = |seed| Bootstrap::new(seed).interval(&samples, |mean| mean.changed).expect("enough samples");
        let (low, high) = interval(1);
        // The standard error of the mean of 50 evenly spread numbers is 0.29 / √50 = 0.041.
        assert!((low - 0.42).abs() < 0.015 && (high - 0.58).abs() < 0.015, "{low} {high}");
        assert_eq!(interval(1), (low, high));
        assert_ne!(interval(2), (low, high));
        assert_eq!(Bootstrap::new(1).interval(&samples[..1], |mean| mean.changed), None);
    }

    #[test]
    fn undefined_pairs_are_left_out_and_counted() {
        let [main, examples] = ActivationPatching::TABLES else { panic!("two tables") };
        let mut effects: Effects<Place> = Effects::new(&[Metric::LogitDiff], &[]);
        let place = Place::of(pythia_hooks::Site::Z.at(1));
        effects.note(Direction::Denoising, &place, 0, vec![sample(0.0, 2.0, 1.0)], true);
        effects.note(Direction::Denoising, &place, 1, vec![sample(f64::NAN, 2.0, 1.0)], true);
        let summary = effects.summary(main, 0);
        assert_eq!(summary.column("n").and_then(crate::Column::ints), Some([Some(1)].as_slice()));
        assert_eq!(summary.column("effect").and_then(crate::Column::floats), Some([Some(0.5)].as_slice()));
        assert_eq!(summary.column("effect_low").and_then(crate::Column::floats), Some([None].as_slice()));
        let status = effects.examples(examples).column("status").and_then(crate::Column::text).map(<[String]>::to_vec);
        assert_eq!(status, Some(vec!["ok".to_owned(), "undefined".to_owned()]));
    }

    #[test]
    fn a_named_position_has_its_number_where_all_pairs_have_it_there() {
        let pair = |at: &[usize]| Pair {
            clean: vec![1; 6],
            corrupt: vec![2; 6],
            answers: vec![3],
            wrongs: vec![],
            positions: [("subject".to_owned(), at.to_vec())].into(),
            source: 0,
        };
        let [main, examples] = ActivationPatching::TABLES else { panic!("two tables") };
        let pos = |spans: [&[usize]; 2], name: &str| {
            let pairs = spans.map(pair);
            let mut effects: Effects<Place> = Effects::new(&[Metric::LogitDiff], &pairs);
            let place = Place { position_name: name.to_owned(), ..Place::of(pythia_hooks::Site::Z.at(1)) };
            for pair in 0..2 {
                effects.note(Direction::Denoising, &place, pair, vec![sample(0.0, 2.0, 1.0)], true);
            }
            [effects.summary(main, 0), effects.examples(examples)]
                .map(|table| table.column("pos").and_then(crate::Column::ints).expect("numbers").to_vec())
        };
        assert_eq!(pos([&[2], &[2]], "subject"), [vec![Some(2)], vec![Some(2), Some(2)]]);
        assert_eq!(pos([&[2], &[4]], "subject"), [vec![None], vec![Some(2), Some(4)]]);
        // A span of several tokens has no number.
        assert_eq!(pos([&[2, 3], &[4]], "subject"), [vec![None], vec![None, Some(4)]]);
        assert_eq!(pos([&[2], &[4]], "-2"), [vec![Some(4)], vec![Some(4), Some(4)]]);
        assert_eq!(pos([&[2], &[2]], ""), [vec![None], vec![None, None]]);
    }

    #[test]
    fn an_edit_that_changed_nothing_is_no_success() {
        let [main, examples] = ActivationPatching::TABLES else { panic!("two tables") };
        let statuses = |lines: [(f64, bool); 2]| {
            let mut effects: Effects<Place> = Effects::new(&[Metric::LogitDiff], &[]);
            let place = Place::of(pythia_hooks::Site::Z.at(1));
            for (pair, (patched, changed)) in lines.into_iter().enumerate() {
                effects.note(Direction::Denoising, &place, pair, vec![sample(0.0, 2.0, patched)], changed);
            }
            [effects.summary(main, 0), effects.examples(examples)]
                .map(|table| table.column("status").and_then(crate::Column::text).expect("texts").join(" "))
        };
        assert_eq!(statuses([(0.0, false), (0.0, false)]), ["no_change", "no_change no_change"]);
        assert_eq!(statuses([(1.0, true), (0.0, false)]), ["ok", "ok no_change"]);
        // The metric is the same, and the run is not.
        assert_eq!(statuses([(0.0, true), (0.0, true)]), ["ok", "ok ok"]);
    }
}
