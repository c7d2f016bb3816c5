//! Reduces attention patterns to scores while the model runs.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor};
use pythia_hooks::{HookPoint, Hooks, Site};

use super::HeadScores;
use super::detector::{Detector, Readings, uniform};
use crate::error::ProbeError;
use crate::prompts::{Prompts, Repeated};
use crate::table::{Kind, Table, measured};

const PLACE: &str = "an attention pattern";

/// Looks at the pattern of every layer, keeps `heads × detectors` numbers of it, and lets go of it.
#[derive(Debug)]
pub struct PatternReader {
    detectors: Vec<Detector>,
    /// One per prompt, in the order of the batch.
    readings: Vec<Readings>,
    layers: Result<BTreeMap<usize, Vec<f64>>, ProbeError>,
}

impl PatternReader {
    /// For a run over `prompts`, which have that `layout`.
    pub fn new(config: &HeadScores, layout: Repeated, prompts: &Prompts) -> Self {
        let readings = prompts.rows().iter().map(|tokens| Readings::new(config, layout, tokens)).collect();
        Self { detectors: Detector::all(config, layout), readings, layers: Ok(BTreeMap::new()) }
    }

    /// Columns `layer`, `head`, `score`, `definition`, `value`, `null`, `value_minus_null`, `status`. Every value is the mean
    /// over the prompts of the prompt's own value, for ratios too (a mean of ratios); it is undefined where one of them is.
    ///
    /// # Errors
    /// What went wrong while the model ran, or [`ProbeError::NotFired`] if some of its `n_layers` never reported.
    pub fn finish(self, n_layers: usize) -> Result<Table, ProbeError> {
        let layers = self.layers?;
        if layers.len() != n_layers {
            return Err(ProbeError::NotFired { fired: layers.len(), expected: n_layers });
        }
        let nulls = mean_scores(&self.readings, self.detectors.len(), |prompt| uniform(self.readings[prompt].n()));
        let mut table = Table::builder([
            ("layer", Kind::Int),
            ("head", Kind::Int),
            ("score", Kind::Text),
            ("definition", Kind::Text),
            ("value", Kind::Float),
            ("null", Kind::Float),
            ("value_minus_null", Kind::Float),
            ("status", Kind::Text),
        ]);
        for (layer, scores) in layers {
            for (head, scores) in scores.chunks(self.detectors.len()).enumerate() {
                for ((detector, value), null) in self.detectors.iter().zip(scores).zip(&nulls) {
                    let (number, status) = measured(*value);
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

    /// Scores of every head of a layer, `[head, detector]`, from its pattern `[batch, head, query, key]`.
    fn reduce<const D: usize>(&self, pattern: Tensor<D>) -> Result<Vec<f64>, ProbeError> {
        let found = pattern.dims().to_vec();
        let n = self.readings.first().map_or(0, Readings::n);
        let heads = found.get(1).copied().unwrap_or(0);
        let expected = vec![self.readings.len(), heads, n, n];
        if found != expected {
            return Err(ProbeError::Shape { place: PLACE, expected, found });
        }
        let device = |reason: String| ProbeError::Device { place: PLACE, reason };
        let data = pattern.try_into_data().map_err(|error| device(error.to_string()))?;
        if data.dtype() == DType::F64 {
            let values = data.as_slice::<f64>().map_err(|error| device(error.to_string()))?;
            return Ok(self.heads(heads, values));
        }
        let data = data.convert::<f32>();
        let values = data.as_slice::<f32>().map_err(|error| device(error.to_string()))?;
        Ok(self.heads(heads, values))
    }

    /// Scores `[head, detector]` of values `[batch, head, query, key]`.
    fn heads<T: Copy + Into<f64>>(&self, heads: usize, values: &[T]) -> Vec<f64> {
        let size = self.readings.first().map_or(0, |readings| readings.n() * readings.n());
        let of = |head: usize| {
            let pattern = move |prompt: usize| &values[(prompt * heads + head) * size..][..size];
            mean_scores(&self.readings, self.detectors.len(), pattern)
        };
        (0..heads).flat_map(of).collect()
    }
}

/// Mean over the prompts of every detector's score, given the pattern of each prompt.
fn mean_scores<T: Copy + Into<f64>, P: AsRef<[T]>>(
    readings: &[Readings],
    detectors: usize,
    pattern: impl Fn(usize) -> P,
) -> Vec<f64> {
    let mut sums = vec![0.0; detectors];
    for (prompt, reading) in readings.iter().enumerate() {
        for (sum, score) in sums.iter_mut().zip(reading.scores(pattern(prompt).as_ref())) {
            *sum += score;
        }
    }
    sums.into_iter().map(|sum| sum / readings.len() as f64).collect()
}

impl Hooks for PatternReader {
    fn wants(&self, point: HookPoint) -> bool {
        point.site() == Site::Pattern
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        let scores = self.reduce(value.clone());
        // A hook cannot return an error, so the first one is kept for `finish`.
        match (&mut self.layers, scores) {
            (Ok(layers), Ok(scores)) => {
                layers.insert(point.layer().unwrap_or(0), scores);
            }
            (Ok(_), Err(error)) => self.layers = Err(error),
            (Err(_), _) => {}
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
