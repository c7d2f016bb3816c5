//! Reduces attention patterns to scores while the model runs.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{DType, Tensor};
use pythia_core::device::is_cpu;
use pythia_hooks::{HookPoint, Hooks, Site};

use super::HeadScores;
use super::detector::{Detector, Readings, uniform};
use super::on_device::Masses;
use crate::error::ProbeError;
use crate::prompts::{Prompts, Repeated};
use crate::table::{ColumnKind, Table, measured};

pub(super) const PLACE: &str = "an attention pattern";

/// Looks at the pattern of every layer, keeps `heads × detectors` numbers of it, and lets go of it.
#[derive(Debug)]
pub struct PatternReader {
    detectors: Vec<Detector>,
    /// One per prompt, in the order of the batch.
    readings: Vec<Readings>,
    /// The prompts that the model runs on.
    shown: Range<usize>,
    /// By layer the scores `[head, detector]`, summed over the prompts so far in their order.
    sums: Result<BTreeMap<usize, Vec<f64>>, ProbeError>,
    /// What waits on another device than the CPU to be summed.
    masses: Masses,
}

impl PatternReader {
    /// For a run over `prompts`, which have that `layout`.
    pub fn new(config: &HeadScores, layout: Repeated, prompts: &Prompts) -> Self {
        let readings = prompts.rows().iter().map(|tokens| Readings::new(config, layout, tokens)).collect();
        let detectors = Detector::all(config, layout);
        let masses = Masses::new(&detectors);
        Self { detectors, readings, shown: 0..prompts.batch(), sums: Ok(BTreeMap::new()), masses }
    }

    /// The patterns that come next are those of these prompts.
    pub fn show(&mut self, prompts: Range<usize>) {
        self.shown = prompts;
        self.masses.forget_masks();
    }

    /// Columns `layer`, `head`, `score`, `definition`, `value`, `null`, `value_minus_null`, `status`. Every value is the mean
    /// over the prompts of the prompt's own value, for ratios too (a mean of ratios); it is undefined where one of them is.
    ///
    /// # Errors
    /// What went wrong while the model ran, or [`ProbeError::NotFired`] if some of its `n_layers` never reported.
    pub fn finish(self, n_layers: usize) -> Result<Table, ProbeError> {
        let mut layers = self.sums?;
        self.masses.add_to(&mut layers, &self.readings)?;
        if layers.len() != n_layers {
            return Err(ProbeError::NotFired { fired: layers.len(), expected: n_layers });
        }
        let mean = |sum: f64| sum / self.readings.len() as f64;
        let nulls: Vec<f64> = nulls(self.detectors.len(), &self.readings).into_iter().map(mean).collect();
        let mut table = Table::builder([
            ("layer", ColumnKind::Int),
            ("head", ColumnKind::Int),
            ("score", ColumnKind::Text),
            ("definition", ColumnKind::Text),
            ("value", ColumnKind::Float),
            ("null", ColumnKind::Float),
            ("value_minus_null", ColumnKind::Float),
            ("status", ColumnKind::Text),
        ]);
        for (layer, sums) in layers {
            for (head, sums) in sums.chunks(self.detectors.len()).enumerate() {
                for ((detector, sum), null) in self.detectors.iter().zip(sums).zip(&nulls) {
                    let value = mean(*sum);
                    let (number, status) = measured(value);
                    let Detector { score, definition, .. } = detector;
                    table.row([
                        layer.into(),
                        head.into(),
                        (*score).into(),
                        definition.as_str().into(),
                        number.into(),
                        (*null).into(),
                        (value - null).into(),
                        status.into(),
                    ]);
                }
            }
        }
        Ok(table.build())
    }

    /// Adds the scores of a layer, from its pattern `[batch, head, query, key]` on the prompts that are shown.
    fn look<const D: usize>(&mut self, layer: usize, pattern: Tensor<D>) -> Result<(), ProbeError> {
        let (detectors, readings) = (self.detectors.len(), &self.readings[self.shown.clone()]);
        let shape = shape(readings, &pattern.dims())?;
        match &mut self.sums {
            Ok(sums) if is_cpu(&pattern.device()) => {
                let sums = sums.entry(layer).or_insert_with(|| vec![0.0; shape[1] * detectors]);
                read(sums, detectors, readings, pattern)?;
            }
            Ok(_) => self.masses.take(layer, pattern.reshape(shape), self.shown.clone(), readings),
            Err(_) => {}
        }
        Ok(())
    }
}

/// The shape of a pattern, if it is one of these prompts.
fn shape(readings: &[Readings], found: &[usize]) -> Result<[usize; 4], ProbeError> {
    let n = readings.first().map_or(0, Readings::n);
    let expected = [readings.len(), found.get(1).copied().unwrap_or(0), n, n];
    match found == expected {
        true => Ok(expected),
        false => Err(ProbeError::Shape { place: PLACE, expected: expected.to_vec(), found: found.to_vec() }),
    }
}

/// Adds the scores of a pattern `[prompt, head, query, key]` that lies in memory to the sums `[head, detector]`.
fn read<const D: usize>(
    sums: &mut [f64],
    detectors: usize,
    readings: &[Readings],
    pattern: Tensor<D>,
) -> Result<(), ProbeError> {
    let device = |reason: String| ProbeError::Device { place: PLACE, reason };
    let data = pattern.try_into_data().map_err(|error| device(error.to_string()))?;
    if data.dtype() == DType::F64 {
        add(sums, detectors, readings, data.as_slice::<f64>().map_err(|error| device(error.to_string()))?);
        return Ok(());
    }
    let data = data.convert::<f32>();
    add(sums, detectors, readings, data.as_slice::<f32>().map_err(|error| device(error.to_string()))?);
    Ok(())
}

/// Adds the scores of the patterns `[prompt, head, query, key]` to the sums `[head, detector]`.
fn add<T: Copy + Into<f64>>(sums: &mut [f64], detectors: usize, readings: &[Readings], patterns: &[T]) {
    let mut rest = patterns;
    for reading in readings {
        for sums in sums.chunks_mut(detectors) {
            let (pattern, more) = rest.split_at(reading.n() * reading.n());
            sums.iter_mut().zip(reading.scores(pattern)).for_each(|(sum, score)| *sum += score);
            rest = more;
        }
    }
}

/// The sum over the prompts of every detector's score of a head that attends evenly.
fn nulls(detectors: usize, readings: &[Readings]) -> Vec<f64> {
    let mut sums = vec![0.0; detectors];
    let of = |reading: &Readings| add(&mut sums, detectors, std::slice::from_ref(reading), &uniform(reading.n()));
    readings.iter().for_each(of);
    sums
}

impl Hooks for PatternReader {
    fn wants(&self, point: HookPoint) -> bool {
        point.site() == Site::Pattern
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        let seen = self.look(point.layer().unwrap_or(0), value.clone());
        // A hook cannot return an error, so the first one is kept for `finish`.
        if let (Ok(_), Err(error)) = (&self.sums, seen) {
            self.sums = Err(error);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::prompts::Vocabulary;
    use crate::table::Column;

    const LAYOUT: Repeated = Repeated { batch: 2, half_len: 5, repeats: 2, bos: true };
    const HEADS: usize = 3;

    fn reader() -> PatternReader {
        let prompts = Prompts::repeated(LAYOUT, Vocabulary { size: 40, bos: 0 }, 1).expect("there are ids");
        PatternReader::new(&HeadScores::default(), LAYOUT, &prompts)
    }

    /// Uniform attention in every head of every prompt but one, which looks at itself only.
    fn pattern(dtype: DType) -> Tensor<4> {
        let n = LAYOUT.len();
        let mut values = uniform(n).repeat(LAYOUT.batch * HEADS);
        let start = (HEADS + 2) * n * n;
        for entry in 0..n * n {
            values[start + entry] = f64::from(u8::from(entry / n == entry % n));
        }
        let device = Device::flex();
        Tensor::from_data(TensorData::new(values, [LAYOUT.batch, HEADS, n, n]), (&device, dtype))
    }

    fn floats<'a>(table: &'a Table, name: &str) -> &'a [Option<f64>] {
        table.column(name).and_then(Column::floats).expect("a column of numbers")
    }

    #[test]
    fn scores_are_means_over_the_prompts_and_uniform_heads_sit_at_their_null() {
        for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F32, 1e-6)] {
            let mut reader = reader();
            for layer in 0..2 {
                let point = Site::Pattern.at(layer);
                assert!(reader.wants(point) && !reader.edits(point) && !reader.wants(Site::Z.at(layer)));
                reader.at(point, pattern(dtype));
            }
            let table = reader.finish(2).expect("two layers reported");
            let detectors = Detector::all(&HeadScores::default(), LAYOUT).len();
            assert_eq!(table.n_rows(), 2 * HEADS * detectors);
            let heads = table.column("head").and_then(Column::ints).expect("whole numbers");
            let minus_null = floats(&table, "value_minus_null");
            for (head, value) in heads.iter().zip(minus_null).filter(|(head, _)| **head != Some(2)) {
                assert!(value.is_some_and(|value| value.abs() <= tolerance), "{head:?} {value:?}");
            }
            let row = 2 * detectors + 13;
            let definition = table.column("definition").and_then(Column::text).map(|text| text[row].as_str());
            assert_eq!((definition, heads[row]), (Some("mask_mean"), Some(2)));
            let expected = (1.0 + floats(&table, "null")[row].expect("a null")) / 2.0;
            assert!((floats(&table, "value")[row].expect("a value") - expected).abs() <= tolerance.max(1e-12));
        }
    }

    #[test]
    fn a_head_that_overflowed_is_undefined_and_not_nan() {
        let mut reader = reader();
        reader.at(Site::Pattern.at(0), pattern(DType::F32).mul_scalar(f32::NAN));
        let table = reader.finish(1).expect("the layer reported");
        assert!(floats(&table, "value").iter().chain(floats(&table, "value_minus_null")).all(Option::is_none));
        assert!(floats(&table, "null").iter().all(Option::is_some));
        assert!(table.column("status").and_then(Column::text).is_some_and(|all| all.iter().all(|s| s == "undefined")));
    }

    #[test]
    fn what_went_wrong_while_the_model_ran_is_told_at_the_end() {
        assert_eq!(reader().finish(2), Err(ProbeError::NotFired { fired: 0, expected: 2 }));
        let mut reader = reader();
        reader.at(Site::Pattern.at(0), pattern(DType::F32).narrow(3, 0, 4));
        assert!(matches!(reader.finish(1), Err(ProbeError::Shape { found, .. }) if found == [2, 3, 11, 4]));
    }
}
