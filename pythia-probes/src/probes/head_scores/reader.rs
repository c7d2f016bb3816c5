//! Reduces attention patterns to scores while the model runs.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{DType, Tensor};
use pythia_core::device::{host_f32, host_f64, is_cpu};
use pythia_hooks::{Activation, HookPoint, Site};

use super::HeadScores;
use super::detector::{Detector, PromptMasks, uniform};
use super::on_device::DeviceSums;
use crate::error::ProbeError;
use crate::families::reading::Reader;
use crate::loss::PromptLoss;
use crate::probe::Answer;
use crate::prompts::{Prompts, Repeated};
use crate::table::measured;

pub(super) const PLACE: &str = "an attention pattern";

/// Reduces the pattern of every layer to `heads × detectors` numbers. The pattern itself is not kept.
#[derive(Debug)]
pub(super) struct PatternReader {
    n_layers: usize,
    detectors: Vec<Detector>,
    /// One per prompt, in the order of the batch.
    masks: Vec<PromptMasks>,
    /// The prompts that the model runs on.
    part: Range<usize>,
    /// By layer the scores `[head, detector]`, summed over the prompts so far in their order.
    sums: BTreeMap<usize, Vec<f64>>,
    /// Sums on a device other than the CPU, which were not read back yet.
    on_device: DeviceSums,
}

impl PatternReader {
    /// For a model of `n_layers` that runs on `prompts`, which have that `layout`.
    pub(super) fn new(config: &HeadScores, layout: Repeated, prompts: &Prompts, n_layers: usize) -> Self {
        let masks = prompts.rows().iter().map(|tokens| PromptMasks::new(config, layout, tokens)).collect();
        let detectors = Detector::all(config, layout);
        let on_device = DeviceSums::new(&detectors);
        Self { n_layers, detectors, masks, part: 0..prompts.batch(), sums: BTreeMap::new(), on_device }
    }
}

impl Reader for PatternReader {
    fn wants(&self, point: HookPoint) -> bool {
        point.site() == Site::Pattern
    }

    fn part(&mut self, prompts: Range<usize>) {
        self.part = prompts;
        self.on_device.forget_masks();
    }

    /// Adds the scores of a layer, from its pattern `[batch, head, query, key]` on the prompts of the part.
    fn read(&mut self, point: HookPoint, pattern: &Activation) -> Result<(), ProbeError> {
        let (layer, detectors) = (point.layer().unwrap_or(0), self.detectors.len());
        let masks = &self.masks[self.part.clone()];
        let pattern = of_shape(masks, pattern)?;
        if !is_cpu(&pattern.device()) {
            self.on_device.take(layer, pattern, self.part.clone(), masks);
            return Ok(());
        }
        let sums = self.sums.entry(layer).or_insert_with(|| vec![0.0; pattern.dims()[1] * detectors]);
        read(sums, detectors, masks, pattern)
    }

    /// Every value is the mean over the prompts of the prompt's own value, for ratios too (a mean of ratios). It is
    /// undefined where one of them is.
    fn finish(self: Box<Self>, _: &[PromptLoss]) -> Result<Answer, ProbeError> {
        let mut layers = self.sums;
        self.on_device.add_to(&mut layers, &self.masks)?;
        if layers.len() != self.n_layers {
            return Err(ProbeError::NotFired { fired: layers.len(), expected: self.n_layers });
        }
        let mean = |sum: f64| sum / self.masks.len() as f64;
        let uniform: Vec<f64> = of_uniform(self.detectors.len(), &self.masks).into_iter().map(mean).collect();
        let mut table = HeadScores::TABLES[0].builder();
        for (layer, sums) in layers {
            for (head, sums) in sums.chunks(self.detectors.len()).enumerate() {
                for ((detector, sum), uniform) in self.detectors.iter().zip(sums).zip(&uniform) {
                    let value = mean(*sum);
                    let (number, status) = measured(value);
                    let Detector { score, definition, .. } = detector;
                    table.row([
                        layer.into(),
                        head.into(),
                        (*score).into(),
                        definition.as_str().into(),
                        number.into(),
                        (*uniform).into(),
                        (value - uniform).into(),
                        status.into(),
                    ]);
                }
            }
        }
        Ok(vec![table.build()])
    }
}

/// A pattern `[prompt, head, query, key]`, if it has the shape that these prompts give.
fn of_shape(masks: &[PromptMasks], pattern: &Activation) -> Result<Tensor<4>, ProbeError> {
    let (n, found) = (masks.first().map_or(0, PromptMasks::n), pattern.dims());
    let expected = vec![masks.len(), found.get(1).copied().unwrap_or(0), n, n];
    let tensor = pattern.clone().into_tensor().filter(|_| found == expected);
    tensor.ok_or(ProbeError::Shape { place: PLACE, expected, found })
}

/// Adds the scores of a pattern `[prompt, head, query, key]` that lies in memory to the sums `[head, detector]`.
fn read(sums: &mut [f64], detectors: usize, masks: &[PromptMasks], pattern: Tensor<4>) -> Result<(), ProbeError> {
    let device = ProbeError::device(PLACE);
    match pattern.dtype() {
        DType::F64 => add(sums, detectors, masks, &host_f64(pattern).map_err(device)?),
        _ => add(sums, detectors, masks, &host_f32(pattern).map_err(device)?),
    }
    Ok(())
}

/// Adds the scores of the patterns `[prompt, head, query, key]` to the sums `[head, detector]`.
fn add<T: Copy + Into<f64>>(sums: &mut [f64], detectors: usize, masks: &[PromptMasks], patterns: &[T]) {
    let mut rest = patterns;
    for prompt in masks {
        for sums in sums.chunks_mut(detectors) {
            let (pattern, more) = rest.split_at(prompt.n() * prompt.n());
            sums.iter_mut().zip(prompt.scores(pattern)).for_each(|(sum, score)| *sum += score);
            rest = more;
        }
    }
}

/// The sum over the prompts of every detector's score of a head that attends evenly.
fn of_uniform(detectors: usize, masks: &[PromptMasks]) -> Vec<f64> {
    let mut sums = vec![0.0; detectors];
    let of = |prompt: &PromptMasks| add(&mut sums, detectors, std::slice::from_ref(prompt), &uniform(prompt.n()));
    masks.iter().for_each(of);
    sums
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::random::Vocabulary;
    use crate::table::{Column, Table};

    const LAYOUT: Repeated = Repeated { batch: 2, half_len: 5, repeats: 2, bos: true };
    const HEADS: usize = 3;

    fn reader(n_layers: usize) -> Box<PatternReader> {
        let prompts = Prompts::repeated(LAYOUT, Vocabulary { size: 40, bos: 0 }, 1).expect("there are ids");
        Box::new(PatternReader::new(&HeadScores::default(), LAYOUT, &prompts, n_layers))
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

    /// Reads the pattern of a layer.
    fn read(reader: &mut PatternReader, layer: usize, pattern: Tensor<4>) -> Result<(), ProbeError> {
        reader.read(Site::Pattern.at(layer), &Activation::Four(pattern))
    }

    fn table(reader: Box<PatternReader>) -> Table {
        reader.finish(&[]).expect("every layer reported").remove(0)
    }

    fn floats<'a>(table: &'a Table, name: &str) -> &'a [Option<f64>] {
        table.column(name).and_then(Column::floats).expect("a column of numbers")
    }

    #[test]
    fn scores_are_means_over_the_prompts_and_uniform_heads_score_as_uniform_attention() {
        for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F32, 1e-6)] {
            let mut reader = reader(2);
            for layer in 0..2 {
                assert!(reader.wants(Site::Pattern.at(layer)) && !reader.wants(Site::Z.at(layer)));
                read(&mut reader, layer, pattern(dtype)).expect("the shape is right");
            }
            let table = table(reader);
            let detectors = Detector::all(&HeadScores::default(), LAYOUT).len();
            assert_eq!(table.n_rows(), 2 * HEADS * detectors);
            let heads = table.column("head").and_then(Column::ints).expect("whole numbers");
            let minus_uniform = floats(&table, "value_minus_uniform");
            for (head, value) in heads.iter().zip(minus_uniform).filter(|(head, _)| **head != Some(2)) {
                assert!(value.is_some_and(|value| value.abs() <= tolerance), "{head:?} {value:?}");
            }
            let row = 2 * detectors + 13;
            let definition = table.column("definition").and_then(Column::text).map(|text| text[row].as_str());
            assert_eq!((definition, heads[row]), (Some("mask_mean"), Some(2)));
            let expected = (1.0 + floats(&table, "uniform")[row].expect("a value")) / 2.0;
            assert!((floats(&table, "value")[row].expect("a value") - expected).abs() <= tolerance.max(1e-12));
        }
    }

    #[test]
    fn a_head_that_overflowed_is_undefined_and_not_nan() {
        let mut reader = reader(1);
        read(&mut reader, 0, pattern(DType::F32).mul_scalar(f32::NAN)).expect("the shape is right");
        let table = table(reader);
        assert!(floats(&table, "value").iter().chain(floats(&table, "value_minus_uniform")).all(Option::is_none));
        assert!(floats(&table, "uniform").iter().all(Option::is_some));
        assert!(table.column("status").and_then(Column::text).is_some_and(|all| all.iter().all(|s| s == "undefined")));
    }

    #[test]
    fn a_layer_that_never_reported_and_a_pattern_of_other_prompts_are_errors() {
        assert_eq!(reader(2).finish(&[]), Err(ProbeError::NotFired { fired: 0, expected: 2 }));
        let error = read(&mut reader(1), 0, pattern(DType::F32).narrow(3, 0, 4));
        assert!(matches!(error, Err(ProbeError::Shape { found, .. }) if found == [2, 3, 11, 4]));
        let stream = Activation::Three(Tensor::ones([2, 11, 3], &Device::flex()));
        assert!(matches!(reader(1).read(Site::Pattern.at(0), &stream), Err(ProbeError::Shape { .. })));
    }
}
