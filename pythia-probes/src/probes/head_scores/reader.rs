//! Reduces attention patterns to scores while the model runs.

use std::ops::Range;

use burn::tensor::{DType, Tensor};
use pythia_core::device::{host_f32, host_f64, is_cpu};
use pythia_hooks::{Activation, HookPoint, Site};

use super::HeadScores;
use super::detector::{Detector, Layout, PromptMasks, uniform};
use super::on_device::DeviceSums;
use super::sums::Sums;
use crate::error::ProbeError;
use crate::families::reading::Reader;
use crate::loss::PromptLoss;
use crate::probe::{Answer, Probe};
use crate::prompts::Prompts;
use crate::table::{TableValue, measured};

pub(super) const PLACE: &str = "an attention pattern";

/// The status of a score that compares repeats, on prompts without any.
const NEEDS_REPEATS: &str = "needs_repeats";

/// Reduces the pattern of every layer to `heads × detectors` numbers. The pattern itself is not kept.
#[derive(Debug)]
pub(super) struct PatternReader {
    n_layers: usize,
    detectors: Vec<Detector>,
    /// One per prompt, in the order of the batch.
    masks: Vec<PromptMasks>,
    /// The prompts that the model runs on.
    part: Range<usize>,
    /// The scores of the prompts so far.
    sums: Sums,
    /// Whether each prompt has rows of its own.
    examples: bool,
    /// Sums on a device other than the CPU, which were not read back yet.
    on_device: DeviceSums,
}

impl PatternReader {
    /// For a model of `n_layers` that runs on `prompts`, which have that `layout`.
    pub(super) fn new(config: &HeadScores, layout: impl Into<Layout>, prompts: &Prompts, n_layers: usize) -> Self {
        let (layout, width, batch) = (layout.into(), prompts.len(), prompts.batch());
        let masks = prompts.rows().iter().map(|tokens| PromptMasks::padded(config, layout, tokens, width)).collect();
        let detectors = Detector::all(config, layout);
        let on_device = DeviceSums::new(&detectors);
        let examples = !config.main_table_only();
        let sums = Sums::new(detectors.len(), examples.then_some(batch));
        Self { n_layers, detectors, masks, part: 0..batch, sums, examples, on_device }
    }

    /// The values of a row after its place: of a detector, its score of a head and of uniform attention.
    fn values(detector: &Detector, value: f64, uniform: f64) -> [TableValue; 6] {
        let (number, status) = measured(value);
        let status = if detector.needs_repeats() { NEEDS_REPEATS } else { status };
        [
            detector.score.into(),
            detector.definition.as_str().into(),
            number.into(),
            uniform.into(),
            (value - uniform).into(),
            status.into(),
        ]
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
        read(&mut self.sums, layer, detectors, (self.part.clone(), masks), pattern)
    }

    /// Every value is the mean over the prompts of the prompt's own value, for ratios too (a mean of ratios). It is
    /// undefined where one of them is.
    fn finish(self: Box<Self>, _: &[PromptLoss]) -> Result<Answer, ProbeError> {
        let Self { n_layers, detectors, masks, mut sums, examples, on_device, .. } = *self;
        on_device.add_to(&mut sums, &masks)?;
        if sums.layers.len() != n_layers {
            return Err(ProbeError::NotFired { fired: sums.layers.len(), expected: n_layers });
        }
        let uniform = of_uniform(detectors.len(), &masks);
        let mean = |sum: f64| sum / masks.len() as f64;
        let mut main = HeadScores::TABLES[0].builder();
        for (layer, sums) in sums.summed() {
            for (index, sum) in sums.into_iter().enumerate() {
                let (head, detector) = (index / detectors.len(), index % detectors.len());
                let uniform = mean(uniform.iter().map(|prompt| prompt[detector]).sum());
                let values = Self::values(&detectors[detector], mean(sum), uniform);
                main.row([layer.into(), head.into()].into_iter().chain(values));
            }
        }
        if !examples {
            return Ok(vec![main.build()]);
        }
        let mut each = HeadScores::TABLES[1].builder();
        for (prompt, layer, scores) in sums.by_prompt() {
            for (index, score) in scores.iter().enumerate() {
                let (head, detector) = (index / detectors.len(), index % detectors.len());
                let values = Self::values(&detectors[detector], *score, uniform[prompt][detector]);
                each.row([prompt.into(), layer.into(), head.into()].into_iter().chain(values));
            }
        }
        Ok(vec![main.build(), each.build()])
    }
}

/// A pattern `[prompt, head, query, key]`, if it has the shape that these prompts give.
fn of_shape(masks: &[PromptMasks], pattern: &Activation) -> Result<Tensor<4>, ProbeError> {
    let (n, found) = (masks.first().map_or(0, PromptMasks::width), pattern.dims());
    let expected = vec![masks.len(), found.get(1).copied().unwrap_or(0), n, n];
    let tensor = pattern.clone().into_tensor().filter(|_| found == expected);
    tensor.ok_or(ProbeError::Shape { place: PLACE, expected, found })
}

/// Adds the scores of a layer's pattern `[prompt, head, query, key]` that lies in memory, of the prompts of a part.
fn read(
    all: &mut Sums,
    layer: usize,
    detectors: usize,
    (part, masks): (Range<usize>, &[PromptMasks]),
    pattern: Tensor<4>,
) -> Result<(), ProbeError> {
    let (device, [_, heads, width, _]) = (ProbeError::device(PLACE), pattern.dims());
    let size = heads * width * width;
    let mut each = |add: &dyn Fn(&mut [f64], &PromptMasks, usize)| {
        for (index, (prompt, masks)) in part.clone().zip(masks).enumerate() {
            add(all.of(layer, heads, prompt), masks, index * size);
        }
    };
    match pattern.dtype() {
        DType::F64 => {
            let values = host_f64(pattern).map_err(device)?;
            each(&|sums, masks, from| add(sums, detectors, masks, &values[from..][..size]));
        }
        _ => {
            let values = host_f32(pattern).map_err(device)?;
            each(&|sums, masks, from| add(sums, detectors, masks, &values[from..][..size]));
        }
    }
    Ok(())
}

/// Adds the scores of one prompt's patterns `[head, query, key]` to the sums `[head, detector]`.
fn add<T: Copy + Into<f64>>(sums: &mut [f64], detectors: usize, prompt: &PromptMasks, patterns: &[T]) {
    let patterns = patterns.chunks(prompt.width() * prompt.width());
    for (sums, pattern) in sums.chunks_mut(detectors).zip(patterns) {
        sums.iter_mut().zip(prompt.scores(pattern)).for_each(|(sum, score)| *sum += score);
    }
}

/// For each prompt every detector's score of a head that attends evenly.
fn of_uniform(detectors: usize, masks: &[PromptMasks]) -> Vec<Vec<f64>> {
    let of = |prompt: &PromptMasks| {
        let mut scores = vec![0.0; detectors];
        add(&mut scores, detectors, prompt, &uniform(prompt.width()));
        scores
    };
    masks.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::prompts::Repeated;
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
