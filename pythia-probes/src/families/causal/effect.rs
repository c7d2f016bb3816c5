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
use crate::engine::Scores;
use crate::metric::Metric;
use crate::random::{Domain, below, generator};
use crate::table::{OK, Table, TableSpec, TableValue, UNDEFINED, measured};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// A gap between base and source below this share of their size is rounding error, and an effect is undefined there.
const VANISHING: f64 = 1e-6;

/// What an intervention is, in a table: its place, its method, its name.
pub(crate) trait Label: Ord + Clone {
    /// Its values in a row, in the order of the columns that the probe declares for it.
    fn values(&self) -> Vec<TableValue>;
}

impl Label for Place {
    fn values(&self) -> Vec<TableValue> {
        vec![
            self.point.to_string().into(),
            self.point.layer().into(),
            self.pos.into(),
            self.head.into(),
            self.key.into(),
            self.position_name.clone().into(),
            self.set.clone().into(),
        ]
    }
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

/// By pair, a sample per metric.
type ByPair = BTreeMap<usize, Vec<Sample>>;

/// The effects of interventions, by label, pair and metric.
pub(crate) struct Effects<L> {
    ends: Ends,
    metrics: Vec<Metric>,
    rows: BTreeMap<(Direction, L), ByPair>,
}

impl<L: Label> Effects<L> {
    /// Effects between the runs on the two prompts of a pair.
    pub(crate) fn new(metrics: &[Metric]) -> Self {
        Effects { ends: Ends::Prompts, metrics: metrics.to_vec(), rows: BTreeMap::new() }
    }

    /// Effects between the runs of two models on the same prompt. They are noted under [`Direction::Noising`], and
    /// the tables have no column for the direction.
    pub(crate) fn of_models(metrics: &[Metric]) -> Self {
        Effects { ends: Ends::Models, ..Effects::new(metrics) }
    }

    /// Notes the effect of an intervention on one pair: a sample per metric.
    pub(crate) fn note(&mut self, direction: Direction, label: &L, pair: usize, samples: Vec<Sample>) {
        self.rows.entry((direction, label.clone())).or_default().insert(pair, samples);
    }

    /// Notes the effects of interventions on the pairs of a group: `patched` are the scores of each label's
    /// intervention, `base` and `source` those of the runs without any.
    pub(crate) fn note_group(
        &mut self,
        direction: Direction,
        labels: &[L],
        pairs: &[usize],
        [base, source]: [&Scores; 2],
        patched: &[Scores],
    ) {
        for (label, patched) in labels.iter().zip(patched) {
            for (index, &pair) in pairs.iter().enumerate() {
                let values = base[index].iter().zip(&source[index]).zip(&patched[index]);
                let sample = |((&base, &source), &changed)| Sample { base, source, changed };
                self.note(direction, label, pair, values.map(sample).collect());
            }
        }
    }

    /// A row per intervention and metric. The means are over the `n` pairs with defined values; the `effect` is the
    /// ratio of these means with its 95 % bootstrap interval over pairs, `effect_mean` the mean of the pairs' own
    /// effects.
    pub(crate) fn summary(&self, spec: &TableSpec, seed: u64) -> Table {
        let (mut table, mut bootstrap) = (spec.builder(), Bootstrap::new(seed));
        for ((direction, label), pairs) in &self.rows {
            for (index, metric) in self.metrics.iter().enumerate() {
                let samples: Vec<Sample> =
                    pairs.values().map(|samples| samples[index]).filter(Sample::is_finite).collect();
                let before = self.ends.values(*direction, *metric).into_iter().chain([samples.len().into()]);
                let numbers = summary(*direction, &samples, &mut bootstrap);
                let status = if numbers[3].is_some() { OK } else { UNDEFINED };
                let numbers = numbers.into_iter().map(TableValue::from).chain([status.into()]);
                table.row(label.values().into_iter().chain(before).chain(numbers));
            }
        }
        table.build()
    }

    /// A row per intervention, pair and metric.
    pub(crate) fn examples(&self, spec: &TableSpec) -> Table {
        let mut table = spec.builder();
        for ((direction, label), pairs) in &self.rows {
            for (pair, samples) in pairs {
                for (metric, sample) in self.metrics.iter().zip(samples) {
                    let before = self.ends.values(*direction, *metric).into_iter().chain([(*pair).into()]);
                    let [first, second] = sides(*direction, sample);
                    let (effect, status) = measured(sample.effect());
                    let numbers = [first, second, sample.changed].map(TableValue::from);
                    let after = numbers.into_iter().chain([effect.into(), status.into()]);
                    table.row(label.values().into_iter().chain(before).chain(after));
                }
            }
        }
        table.build()
    }
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
        let mut effects: Effects<Place> = Effects::new(&[Metric::LogitDiff]);
        let place = Place::of(pythia_hooks::Site::Z.at(1));
        effects.note(Direction::Denoising, &place, 0, vec![sample(0.0, 2.0, 1.0)]);
        effects.note(Direction::Denoising, &place, 1, vec![sample(f64::NAN, 2.0, 1.0)]);
        let summary = effects.summary(main, 0);
        assert_eq!(summary.column("n").and_then(crate::Column::ints), Some([Some(1)].as_slice()));
        assert_eq!(summary.column("effect").and_then(crate::Column::floats), Some([Some(0.5)].as_slice()));
        assert_eq!(summary.column("effect_low").and_then(crate::Column::floats), Some([None].as_slice()));
        let status = effects.examples(examples).column("status").and_then(crate::Column::text).map(<[String]>::to_vec);
        assert_eq!(status, Some(vec!["ok".to_owned(), "undefined".to_owned()]));
    }
}
