//! Scores by layer, summed over the prompts or kept for each of them.

use std::collections::BTreeMap;

/// Scores `[head, detector]` of each layer.
#[derive(Debug)]
pub(super) struct Sums {
    detectors: usize,
    /// How many prompts there are, where each keeps its own scores; none where all are added up.
    prompts: Option<usize>,
    /// By layer the scores `[prompt, head, detector]`, or `[head, detector]` where all are added up.
    pub layers: BTreeMap<usize, Vec<f64>>,
}

impl Sums {
    pub(super) fn new(detectors: usize, prompts: Option<usize>) -> Self {
        Self { detectors, prompts, layers: BTreeMap::new() }
    }

    /// The scores that those of a prompt are added to, of a layer with that many heads.
    pub(super) fn of(&mut self, layer: usize, heads: usize, prompt: usize) -> &mut [f64] {
        let size = heads * self.detectors;
        let all = self.layers.entry(layer).or_insert_with(|| vec![0.0; size * self.prompts.unwrap_or(1)]);
        let from = if self.prompts.is_some() { prompt * size } else { 0 };
        &mut all[from..from + size]
    }

    /// By layer the sums over the prompts, in their order.
    pub(super) fn summed(&self) -> BTreeMap<usize, Vec<f64>> {
        let sum = |all: &Vec<f64>| {
            let size = all.len() / self.prompts.unwrap_or(1).max(1);
            let mut sums = vec![0.0; size];
            all.chunks(size.max(1)).for_each(|own| sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own));
            sums
        };
        self.layers.iter().map(|(layer, all)| (*layer, sum(all))).collect()
    }

    /// By prompt and layer the scores of each prompt; nothing where all are added up.
    pub(super) fn by_prompt(&self) -> impl Iterator<Item = (usize, usize, &[f64])> {
        let prompts = self.prompts.unwrap_or(0);
        (0..prompts).flat_map(move |prompt| {
            self.layers.iter().map(move |(layer, all)| {
                let size = all.len() / prompts;
                (prompt, *layer, &all[prompt * size..][..size])
            })
        })
    }
}
