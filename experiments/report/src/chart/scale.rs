//! The axes of charts: from values to places, and the ticks.

use super::X;
use super::numbers::{Unit, count, exact};

/// The value if it can be drawn: finite, and not larger than any sensible quantity.
pub(crate) fn drawable(value: f64) -> Option<f64> {
    (value.abs() <= 1e100).then_some(value)
}

/// A tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Where it is.
    pub value: f64,
    /// What is written at it.
    pub label: String,
}

/// A linear axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LinearAxis {
    /// The value at the beginning.
    pub low: f64,
    /// The value at the end.
    pub high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl LinearAxis {
    /// An axis around all values, with about `count` ticks, between the places 0 and 1. It ends at ticks. Where values
    /// exceed a tick by less than half a step, it ends with the values, which wastes less room. Without any value it
    /// goes from 0 to 1.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let tight = Self::tight(values, count);
        let Self { low, high, step, .. } = tight;
        let end = |value: f64, outward: f64| {
            let inner = (value * outward / step + 1e-9).floor();
            let beyond = value * outward / step - inner;
            let steps = if beyond < 1e-6 {
                inner
            } else if beyond < 0.5 {
                inner + beyond + 0.04
            } else {
                inner + 1.0
            };
            steps * step * outward
        };
        Self { low: end(low, -1.0), high: end(high, 1.0), ..tight }
    }

    /// As [`LinearAxis::around`], but the axis ends where the values end.
    pub(crate) fn tight(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (low, high) = apart(range(values).unwrap_or((0.0, 1.0)));
        Self { low, high, step: round_step((high - low) / count.max(1) as f64), from: 0.0, to: 1.0 }
    }

    /// The same axis between two places.
    pub(crate) fn between(mut self, from: f64, to: f64) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// The place of a value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Its ticks, in order.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first).clamp(-1.0, 50.0);
        let values: Vec<f64> = (0..=count as i64).map(|i| (first + i as f64) * self.step).collect();
        let unit = Unit::of(values.iter().fold(0.0, |most: f64, value| most.max(value.abs())), self.step);
        values.into_iter().map(|value| Tick { value, label: unit.write(value) }).collect()
    }
}

/// The ends of all drawable values.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let widen = |ends: Option<(f64, f64)>, value: f64| match ends {
        Some((low, high)) => Some((low.min(value), high.max(value))),
        None => Some((value, value)),
    };
    values.into_iter().filter_map(drawable).fold(None, widen)
}

/// Ends far enough apart for ticks between them.
fn apart((low, high): (f64, f64)) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if high - low > size * 1e-6 {
        (low, high)
    } else if size == 0.0 {
        (0.0, 1.0)
    } else {
        (low - size * 0.1, high + size * 0.1)
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is not much below `about`.
fn round_step(about: f64) -> f64 {
    let power = 10f64.powf(about.abs().max(1e-300).log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= about * 0.8).unwrap_or(10.0);
    times * power
}

/// The share of the axis that is left for step 0, and the least room, which its label needs.
const ZERO: f64 = 0.06;
const ZERO_LEAST: f64 = 26.0;
/// The least width of a power of ten that has labels inside.
const ROOMY: f64 = 150.0;

/// Training steps on a logarithmic axis. Step 0 has no logarithm, so it has a place before the others and a break
/// behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepAxis {
    zero: bool,
    /// Whether there is any step but 0.
    trained: bool,
    /// The only trained step, if there is no second.
    only: Option<f64>,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// Numbers above this are not training steps; they are drawn at the end of the axis.
const MOST_STEPS: f64 = 1e15;

impl StepAxis {
    /// An axis around all steps.
    pub(crate) fn around(steps: impl IntoIterator<Item = f64> + Clone) -> Self {
        let zero = steps.clone().into_iter().any(|step| step < 1.0);
        let trained = steps.into_iter().filter(|step| (1.0..=MOST_STEPS).contains(step));
        let ends = range(trained);
        let (low, high) = ends.unwrap_or((1.0, 10.0));
        let only = (low == high).then_some(low);
        // A single step is drawn in the middle of its axis.
        let (low, high) = if only.is_some() { (low / 2.0, high * 2.0) } else { (low, high) };
        Self { zero, trained: ends.is_some(), only, low: low.log10(), high: high.log10(), from: 0.0, to: 1.0 }
    }

    /// The place of the break between step 0 and the others, if there is one.
    pub(crate) fn gap(&self) -> Option<f64> {
        self.zero.then(|| self.from + self.first() * 0.62)
    }

    /// How wide the place of step 0 is.
    fn first(&self) -> f64 {
        let width = self.to - self.from;
        if self.zero { (width * ZERO).max(ZERO_LEAST).min(width * 0.4) } else { 0.0 }
    }

    fn at(&self, step: f64) -> f64 {
        let (width, first) = (self.to - self.from, self.first());
        if step < 1.0 {
            return self.from + first * 0.2;
        }
        let part = ((step.log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + first + part * (width - first)
    }

    /// Whether there is a last step; without any trained step the axis has an end that nobody reached.
    fn has_end(&self) -> bool {
        self.trained
    }

    fn inside(&self, step: f64) -> bool {
        step.log10() >= self.low - 1e-9 && step.log10() <= self.high + 1e-9
    }

    /// Powers of ten times each of `times` that are on the axis.
    fn powers<'a>(&'a self, times: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let decades = self.low.floor() as i32..=self.high.floor() as i32;
        decades
            .flat_map(move |power| times.iter().map(move |times| times * 10f64.powi(power)))
            .filter(|s| self.inside(*s))
    }

    fn majors(&self) -> Vec<f64> {
        if let Some(only) = self.only {
            return self.zero.then_some(0.0).into_iter().chain([only]).collect();
        }
        let steps = |times: &[f64]| {
            let zero = self.zero.then_some(0.0);
            zero.into_iter().chain(self.powers(times)).collect::<Vec<_>>()
        };
        let decades = steps(&[1.0]);
        let wide = (self.to - self.from - self.first()) / (self.high - self.low);
        if decades.len() > 2 && wide < ROOMY { decades } else { steps(&[1.0, 2.0, 5.0]) }
    }
}

/// Whether two steps are one but for rounding.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

/// The x axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum XAxis {
    /// Training steps.
    Steps(StepAxis),
    /// Any other quantity.
    Linear(LinearAxis),
}

impl XAxis {
    /// The axis of this kind around all values.
    pub(crate) fn around(x: &X, values: impl IntoIterator<Item = f64> + Clone, count: usize) -> Self {
        match x {
            X::Steps { .. } => Self::Steps(StepAxis::around(values)),
            X::Linear { .. } => Self::Linear(LinearAxis::around(values, count)),
        }
    }

    /// The same axis between two places.
    pub(crate) fn between(self, from: f64, to: f64) -> Self {
        match self {
            Self::Steps(steps) => Self::Steps(StepAxis { from, to, ..steps }),
            Self::Linear(linear) => Self::Linear(linear.between(from, to)),
        }
    }

    /// The place of a value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        match self {
            Self::Steps(steps) => steps.at(value),
            Self::Linear(linear) => linear.at(value),
        }
    }

    /// The place in the middle.
    pub(crate) fn middle(&self) -> f64 {
        let (from, to) = match self {
            Self::Steps(steps) => (steps.from, steps.to),
            Self::Linear(linear) => (linear.from, linear.to),
        };
        (from + to) / 2.0
    }

    /// The ticks with labels.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        match self {
            Self::Steps(steps) => {
                let last = self.end();
                let before = steps.majors().into_iter().filter(|value| !same(*value, last));
                let ticks = before.map(|value| Tick { value, label: count(value) });
                ticks.chain(steps.has_end().then(|| Tick { value: last, label: exact(last) })).collect()
            }
            Self::Linear(linear) => linear.ticks(),
        }
    }

    /// Ticks of the tokens seen, by their steps: round numbers, and at the end of the axis what was seen in all.
    pub(crate) fn token_ticks(&self, per_step: f64) -> Vec<Tick> {
        let Self::Steps(steps) = self else { return Vec::new() };
        let tick = |value: f64| Tick { value, label: count(value * per_step) };
        let last = self.end();
        let decades = (steps.low + per_step.log10()).floor() as i32..=(steps.high + per_step.log10()).ceil() as i32;
        let round = |times: &[f64]| -> Vec<f64> {
            let all =
                decades.clone().flat_map(|power| times.iter().map(move |times| times * 10f64.powi(power) / per_step));
            all.filter(|step| steps.inside(*step) && !same(*step, last)).collect()
        };
        let tens = round(&[1.0]);
        let chosen = if steps.only.is_some() || !steps.trained {
            Vec::new()
        } else if tens.len() > 1 {
            tens
        } else {
            round(&[1.0, 2.0, 5.0])
        };
        let zero = steps.zero.then_some(0.0);
        zero.into_iter().chain(chosen).map(tick).chain(steps.has_end().then(|| tick(last))).collect()
    }

    /// The places of ticks without labels.
    pub(crate) fn minor(&self) -> Vec<f64> {
        match self {
            Self::Steps(steps) if steps.only.is_some() => Vec::new(),
            Self::Steps(steps) => steps.powers(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]).collect(),
            Self::Linear(_) => Vec::new(),
        }
    }

    /// The last value.
    pub(crate) fn end(&self) -> f64 {
        match self {
            Self::Steps(steps) => steps.only.unwrap_or_else(|| 10f64.powf(steps.high)),
            Self::Linear(linear) => linear.high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_at_both_ends() {
        let axis = LinearAxis::around([0.013, 0.97], 5);
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
        assert_eq!(labels(&axis.ticks()), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&LinearAxis::around([-1.7, 2.0], 4).ticks()), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(labels(&LinearAxis::around([0.0, 3e5], 3).ticks()), ["0", "100k", "200k", "300k"]);
        assert_eq!(labels(&LinearAxis::around([0.0, 2e-7], 2).ticks()), ["0", "1e−7", "2e−7"]);
        assert_eq!(labels(&LinearAxis::around([5e-4, 5.02e-4], 2).ticks()), ["5.00e−4", "5.01e−4", "5.02e−4"]);
    }

    #[test]
    fn an_axis_ends_with_values_that_are_just_beyond_a_tick() {
        let axis = LinearAxis::around([-0.01, 1.03], 5);
        assert_eq!(labels(&axis.ticks()), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert!(-0.03 < axis.low && axis.low <= -0.01 && (1.03..1.05).contains(&axis.high), "{axis:?}");
    }

    #[test]
    fn no_values_the_same_value_and_absurd_values_have_an_axis() {
        let strange: [&[f64]; 7] =
            [&[], &[0.0], &[3.0, 3.0], &[f64::NAN, f64::INFINITY], &[1e100, -1e100], &[1e308], &[1.0, 1.0 + 1e-15]];
        for values in strange {
            let axis = LinearAxis::around(values.iter().copied(), 5).between(10.0, 20.0);
            assert!(axis.low < axis.high, "{values:?}");
            assert!((2..20).contains(&axis.ticks().len()), "{values:?} {:?}", axis.ticks());
            for value in [f64::MIN, 0.0, 3.0, f64::MAX] {
                assert!((10.0..=20.0).contains(&axis.at(value)), "{values:?} {value}");
            }
        }
    }

    #[test]
    fn steps_have_a_place_for_zero() {
        let axis = XAxis::Steps(StepAxis::around([0.0, 1.0, 512.0, 143_000.0])).between(100.0, 800.0);
        assert_eq!(labels(&axis.ticks()), ["0", "1", "10", "100", "1k", "10k", "100k", "143k"]);
        let places: Vec<f64> = [0.0, 1.0, 10.0, 100.0].map(|step| axis.at(step)).to_vec();
        assert!(places.is_sorted() && places[0] > 100.0, "{places:?}");
        assert!((places[2] - places[1] - (places[3] - places[2])).abs() < 1e-9, "decades are of one width");
        assert_eq!(axis.at(143_000.0), 800.0);
        assert_eq!(axis.minor().len(), 5 * 8);
    }

    #[test]
    fn tokens_are_round_and_the_last_step_is_exact() {
        let nano = XAxis::Steps(StepAxis::around([0.0, 1.0, 1940.0])).between(0.0, 400.0);
        assert_eq!(labels(&nano.ticks()), ["0", "1", "10", "100", "1k", "1,940"]);
        let tokens = nano.token_ticks(2048.0);
        assert_eq!(labels(&tokens), ["0", "10k", "100k", "1M", "4M"]);
        assert!((tokens[3].value * 2048.0 - 1e6).abs() < 1e-6, "{tokens:?}");
        let suite = XAxis::Steps(StepAxis::around([0.0, 1.0, 143_000.0]));
        assert_eq!(labels(&suite.token_ticks(2_097_152.0)), ["0", "10M", "100M", "1B", "10B", "100B", "300B"]);
        let few = XAxis::Steps(StepAxis::around([1000.0, 2000.0]));
        assert_eq!(labels(&few.token_ticks(1000.0)), ["1M", "2M"]);
        let untrained = XAxis::Steps(StepAxis::around([0.0]));
        assert_eq!(labels(&untrained.token_ticks(2048.0)), ["0"]);
    }

    #[test]
    fn a_single_step_is_in_the_middle() {
        let axis = XAxis::Steps(StepAxis::around([143_000.0, 143_000.0])).between(0.0, 100.0);
        assert_eq!(labels(&axis.ticks()), ["143k"]);
        assert!((axis.at(143_000.0) - 50.0).abs() < 1e-9 && axis.end() == 143_000.0 && axis.minor().is_empty());
    }

    #[test]
    fn few_decades_have_ticks_between() {
        let axis = XAxis::Steps(StepAxis::around([1000.0, 3000.0]));
        assert_eq!(labels(&axis.ticks()), ["1k", "2k", "3k"]);
        let roomy = XAxis::Steps(StepAxis::around([1.0, 2000.0])).between(0.0, 700.0);
        assert_eq!(labels(&roomy.ticks())[..5], ["1", "2", "5", "10", "20"]);
        for steps in [vec![], vec![0.0], vec![7.0], vec![f64::NAN]] {
            let axis = XAxis::Steps(StepAxis::around(steps.clone())).between(0.0, 1.0);
            assert!((0.0..=1.0).contains(&axis.at(0.0)) && (0.0..=1.0).contains(&axis.at(7.0)), "{steps:?}");
        }
    }
}
