//! Patterns reduced on the device that holds them: a few sums per head and prompt come back from it and not the
//! patterns.
//!
//! Sums over masks are those of products with tensors of zeros and ones, in float32. They are not matrix products,
//! because those may round their inputs on a GPU. What is made of the sums is float64, and scores differ from those
//! of the CPU by some 1e-7.
//!
//! A NaN anywhere in a pattern makes all scores of the head undefined here, since 0 · NaN is NaN. The CPU looks at
//! the entries of a mask alone, and there the scores that the NaN has no part in stay.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};
use pythia_core::device::host_f32;

use super::detector::{Detector, PromptMasks};
use super::mask::Mask;
use super::sums::Sums;
use crate::error::ProbeError;
use crate::rows::row_sums;

/// Sums that were computed on a device and not read back yet.
#[derive(Debug)]
pub(super) struct DeviceSums {
    /// For each sum a detector whose mask it is over. After these comes the total of all that is not left out.
    over: Vec<usize>,
    /// For each detector which sum is its own; several may share one.
    sum_of: Vec<usize>,
    /// The masks of the prompts that are shown, `[batch, 1, query, key]`, in the order of the sums.
    masks: Vec<Tensor<4>>,
    taken: Vec<Taken>,
}

/// The sums of one layer.
#[derive(Debug)]
struct Taken {
    layer: usize,
    prompts: Range<usize>,
    /// `[batch · head, 1]` each.
    sums: Vec<Tensor<2>>,
}

impl DeviceSums {
    /// The sums that these detectors need.
    pub(super) fn new(detectors: &[Detector]) -> Self {
        let mut over: Vec<usize> = Vec::new();
        let mut sum_of = Vec::with_capacity(detectors.len());
        for (index, detector) in detectors.iter().enumerate() {
            let have = over.iter().position(|have| detectors[*have].counts_as(detector));
            sum_of.push(have.unwrap_or(over.len()));
            over.extend(have.is_none().then_some(index));
        }
        Self { over, sum_of, masks: Vec::new(), taken: Vec::new() }
    }

    /// Drops the masks, because other prompts come next.
    pub(super) fn forget_masks(&mut self) {
        self.masks.clear();
    }

    /// Sums a layer's pattern `[batch, head, query, key]` on the prompts of that range, which have these
    /// `prompt_masks`.
    pub(super) fn take(
        &mut self,
        layer: usize,
        pattern: Tensor<4>,
        prompts: Range<usize>,
        prompt_masks: &[PromptMasks],
    ) {
        if self.masks.is_empty() {
            self.masks = self.masks(prompt_masks, &pattern.device());
        }
        let [batch, heads, n, _] = pattern.dims();
        let sum = |mask: &Tensor<4>| row_sums((pattern.clone() * mask.clone()).reshape([batch * heads, n * n]));
        self.taken.push(Taken { layer, prompts, sums: self.masks.iter().map(sum).collect() });
    }

    fn masks(&self, prompt_masks: &[PromptMasks], device: &Device) -> Vec<Tensor<4>> {
        let n = prompt_masks.first().map_or(0, PromptMasks::width);
        let of = |detector: &usize| dense(prompt_masks.iter().map(|prompt| prompt.mask(*detector)), n, device);
        let all: Vec<Mask> = prompt_masks.iter().map(PromptMasks::not_excluded).collect();
        self.over.iter().map(of).chain([dense(all.iter(), n, device)]).collect()
    }

    /// Adds the scores of every layer to its sums. All sums are read back at once.
    ///
    /// # Errors
    /// [`ProbeError::Device`].
    pub(super) fn add_to(self, all: &mut Sums, prompt_masks: &[PromptMasks]) -> Result<(), ProbeError> {
        let sums = self.taken.iter().flat_map(|taken| &taken.sums);
        let sums: Vec<Tensor<2>> = sums.cloned().collect();
        if sums.is_empty() {
            return Ok(());
        }
        let values = host_f32(Tensor::cat(sums, 0)).map_err(ProbeError::device(super::reader::PLACE))?;
        let mut rest = &values[..];
        for Taken { layer, prompts, sums } in &self.taken {
            let patterns = sums[0].dims()[0];
            let (own, more) = rest.split_at(patterns * sums.len());
            let heads = patterns / prompts.len();
            self.add(all, (*layer, heads), own, prompts.clone(), prompt_masks);
            rest = more;
        }
        Ok(())
    }

    /// Adds the scores of a layer with that many heads whose sums `[sum, prompt, head]` are `values`.
    fn add(
        &self,
        all: &mut Sums,
        (layer, heads): (usize, usize),
        values: &[f32],
        prompts: Range<usize>,
        prompt_masks: &[PromptMasks],
    ) {
        for (index, prompt) in prompts.clone().enumerate() {
            let masks = &prompt_masks[prompt];
            for (head, sums) in all.of(layer, heads, prompt).chunks_mut(self.sum_of.len()).enumerate() {
                let mass = |sum: usize| f64::from(values[(sum * prompts.len() + index) * heads + head]);
                let masses = self.sum_of.iter().map(|sum| mass(*sum));
                let scores = masks.scores_of(masses, mass(self.over.len()));
                sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            }
        }
    }
}

/// One mask per prompt of n tokens, as a tensor `[batch, 1, query, key]` of zeros and ones.
fn dense<'a>(masks: impl ExactSizeIterator<Item = &'a Mask>, n: usize, device: &Device) -> Tensor<4> {
    let shape = [masks.len(), 1, n, n];
    let mut values = vec![0.0_f32; masks.len() * n * n];
    for (mask, values) in masks.zip(values.chunks_mut(n * n)) {
        mask.entries.iter().for_each(|entry| values[*entry] = 1.0);
    }
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::probes::head_scores::HeadScores;
    use crate::prompts::{Prompts, Repeated};
    use crate::random::Vocabulary;

    const HEADS: usize = 2;
    const BATCH: usize = 3;

    fn config(exclude: bool) -> HeadScores {
        HeadScores { exclude_bos: exclude, exclude_current: exclude, ..HeadScores::default() }
    }

    /// Patterns `[prompt, head, query, key]` of which every other one is uneven; rows add up to one.
    fn patterns(n: usize, layer: usize) -> Vec<f32> {
        let row = |index: usize| {
            let (query, which) = (index % n, index / n + layer);
            let uneven = f32::from(u8::from(which % 2 == 0));
            let odds = move |key: usize| (4.0 * uneven * ((key * 31 + query * 17 + which * 7) as f32).sin()).exp();
            let sum: f32 = (0..=query).map(odds).sum();
            (0..n).map(move |key| if key <= query { odds(key) / sum } else { 0.0 })
        };
        (0..BATCH * HEADS * n).flat_map(row).collect()
    }

    /// Sums of scores by layer as the device gives them, the last prompt being a part of its own.
    fn found(
        detectors: &[Detector],
        prompt_masks: &[PromptMasks],
        layers: &[Vec<f32>],
        device: &Device,
    ) -> BTreeMap<usize, Vec<f64>> {
        let n = prompt_masks[0].width();
        let mut masses = DeviceSums::new(detectors);
        for part in [0..BATCH - 1, BATCH - 1..BATCH] {
            masses.forget_masks();
            for (layer, values) in layers.iter().enumerate() {
                let data = TensorData::new(values.clone(), [BATCH, HEADS, n, n]);
                let pattern = Tensor::<4>::from_data(data, (device, DType::F32)).slice([part.clone()]);
                masses.take(layer, pattern, part.clone(), &prompt_masks[part.clone()]);
            }
        }
        let mut sums = Sums::new(detectors.len(), None);
        masses.add_to(&mut sums, prompt_masks).expect("the device answers");
        sums.layers
    }

    /// Sums of the scores `[head, detector]` in float64, from the entries of the masks.
    fn expected(prompt_masks: &[PromptMasks], patterns: &[f32]) -> Vec<f64> {
        let size = prompt_masks[0].width() * prompt_masks[0].width();
        let mut sums = vec![Vec::new(); HEADS];
        for (index, pattern) in patterns.chunks(size).enumerate() {
            let scores: Vec<f64> = prompt_masks[index / HEADS].scores(pattern).collect();
            let sums = &mut sums[index % HEADS];
            sums.resize(scores.len(), 0.0);
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        sums.concat()
    }

    /// Compares the sums of a device with those of the host.
    pub(crate) fn agree(device: &Device) {
        for (half_len, bos, exclude) in [(5, true, false), (6, false, true), (70, true, false)] {
            let (config, layout) = (config(exclude), Repeated { batch: BATCH, half_len, repeats: 2, bos });
            let prompts = Prompts::repeated(layout, Vocabulary { size: 9, bos: 0 }, 5).expect("there are ids");
            let of_prompt = |tokens: &Vec<u32>| PromptMasks::new(&config, layout, tokens);
            let prompt_masks: Vec<PromptMasks> = prompts.rows().iter().map(of_prompt).collect();
            let n = layout.len();
            let mut layers = [patterns(n, 0), patterns(n, 9)];
            // The first query of the second head cannot see this entry.
            layers[1][n * n + 1] = f32::NAN;
            let found = found(&Detector::all(&config, layout), &prompt_masks, &layers, device);
            assert_eq!(found.keys().collect::<Vec<_>>(), [&0, &1]);
            let detectors = found[&0].len() / HEADS;
            assert!(found[&1][detectors..].iter().all(|score| score.is_nan()), "a NaN reaches every score of its head");
            let expected = layers.map(|layer| expected(&prompt_masks, &layer));
            let pairs = found[&0].iter().zip(&expected[0]).chain(found[&1].iter().zip(&expected[1][..detectors]));
            let defined = pairs.clone().filter(|(_, expected)| expected.is_finite()).count();
            assert_eq!(defined, if exclude { 3 * (detectors - 4) } else { 3 * detectors });
            for (at, (found, expected)) in pairs.enumerate() {
                let close = (found - expected).abs() < BATCH as f64 * 1e-6;
                assert!(close || found.is_nan() && expected.is_nan(), "{half_len} {at}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn sums_on_a_device_are_those_of_the_entries() {
        agree(&Device::flex());
    }

    #[test]
    fn detectors_of_the_same_entries_share_a_sum() {
        let layout = Repeated { batch: 1, half_len: 4, repeats: 2, bos: true };
        let shared = |exclude| DeviceSums::new(&Detector::all(&config(exclude), layout)).over.len();
        // Four diagonals, earlier repeats, duplicates, successors, and the first column; five of them once more where
        // the ratios leave something out.
        assert_eq!((shared(false), shared(true)), (8, 13));
    }
}
