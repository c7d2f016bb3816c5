//! The direct paths to the logits under a frozen final norm, whose effects add up.
//!
//! With the final norm's divisor held at the base run's, logits are affine in the stream, and the stream is a sum of
//! what all components write. So the changes of a logit difference by single components add up to the change by all
//! of them.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use pythia_core::device::host_f64;
use pythia_hooks::{Axis, Region, Site};

use super::deltas::{BaseAndSource, Delta};
use super::edges::{Edge, Input, Receiver, Sender};
use crate::error::ProbeError;
use crate::families::causal::effect::Sample;
use crate::families::causal::places::{self, Positions};
use crate::metric::Readout;
use crate::pairs::Pair;
use crate::rows::select;

/// The logit differences of both runs and of changes of the base run, all with the base run's final norm.
pub(super) struct Direct<'a> {
    ends: &'a BaseAndSource<'a>,
    pairs: &'a [&'a Pair],
    /// Per prompt, the row of the stream `[prompt · pos, d_model]` that the answer is read from.
    rows: Vec<usize>,
    /// These rows of the base run, `[prompt, d_model]`.
    stream: Tensor<2>,
    /// The base run's divisor there, `[prompt, 1]`.
    scale: Tensor<2>,
    /// Answers and wrong answers of all pairs, ascending.
    tokens: Vec<u32>,
    /// Per prompt, the logit differences of base and source.
    scores: Vec<(f64, f64)>,
}

impl<'a> Direct<'a> {
    /// Reads both runs. `readout`: what is asked of the base run, of `pairs`.
    ///
    /// # Errors
    /// Reading from the device.
    pub(super) fn new(
        ends: &'a BaseAndSource<'a>,
        pairs: &'a [&'a Pair],
        readout: &Readout,
    ) -> Result<Self, ProbeError> {
        let length = ends.base.length();
        let row = |prompt| readout.positions(prompt).into_iter().map(move |position| prompt * length + position);
        let stream = readout.rows(ends.base.end());
        let ids: BTreeSet<u32> =
            pairs.iter().flat_map(|pair| pair.answers.iter().chain(&pair.wrongs)).copied().collect();
        let mut direct = Direct {
            ends,
            pairs,
            rows: (0..pairs.len()).flat_map(row).collect(),
            scale: ends.model.final_scale(stream.clone()),
            stream: stream.clone(),
            tokens: ids.into_iter().collect(),
            scores: Vec::new(),
        };
        let (base, source) = (direct.read(stream)?, direct.read(readout.rows(ends.source.end()))?);
        direct.scores = base.into_iter().zip(source).collect();
        Ok(direct)
    }

    /// The edges of a sender to the logits, and the sample of every prompt at each.
    ///
    /// # Errors
    /// Reading from the device.
    pub(super) fn edges(
        &self,
        sender: Sender,
        positions: &[Positions],
    ) -> Result<Vec<(Edge, Vec<Sample>)>, ProbeError> {
        let changed = self.changed(&self.ends.delta(sender)?)?;
        let receiver = Receiver { input: Input::Logits, head: None };
        let dims = self.ends.base.end().dims();
        let mut edges = Vec::new();
        for (pos, position_name, regions) in places::regions_at(positions, Axis::Pos, &Region::all(), self.pairs) {
            let mut inside = BTreeSet::new();
            for region in &regions {
                inside.extend(tokens(region, dims)?);
            }
            let sample = |prompt: usize| {
                let (base, source) = self.scores[prompt];
                let changed = if inside.contains(&self.rows[prompt]) { changed[prompt] } else { base };
                Sample { base, source, changed }
            };
            edges.push((Edge { sender, receiver, pos, position_name }, (0..self.rows.len()).map(sample).collect()));
        }
        Ok(edges)
    }

    /// Per prompt, the logit difference of the base run with a delta.
    fn changed(&self, delta: &Delta) -> Result<Vec<f64>, ProbeError> {
        let base = self.scores.iter().map(|(base, _)| *base);
        let Some(values) = &delta.values else { return Ok(base.collect()) };
        let found: Vec<Option<usize>> = self.rows.iter().map(|row| delta.rows.binary_search(row).ok()).collect();
        let places: Vec<usize> = found.iter().map(|place| place.unwrap_or(0)).collect();
        let changed = self.read(self.stream.clone() + select(values, &places))?;
        Ok(base.zip(changed).zip(found).map(|((base, changed), place)| place.map_or(base, |_| changed)).collect())
    }

    /// The logit difference of each prompt from its row of the last stream; NaN without wrong answers.
    fn read(&self, rows: Tensor<2>) -> Result<Vec<f64>, ProbeError> {
        let logits = self.ends.model.logits_at_scale(rows, self.scale.clone(), &self.tokens);
        let logits = host_f64(logits).map_err(ProbeError::device("the logits"))?;
        let mean = |logits: &[f64], ids: &[u32]| {
            let picked = ids.iter().filter_map(|id| Some(logits[self.tokens.binary_search(id).ok()?]));
            picked.sum::<f64>() / ids.len() as f64
        };
        let difference = |(logits, pair): (&[f64], &&Pair)| mean(logits, &pair.answers) - mean(logits, &pair.wrongs);
        Ok(logits.chunks(self.tokens.len()).zip(self.pairs).map(difference).collect())
    }
}

/// Rows `prompt · length + position` of a region of the stream.
fn tokens(region: &Region, [batch, length, width]: [usize; 3]) -> Result<Vec<usize>, ProbeError> {
    let chosen = region.resolve(Site::ResidPost.at(0), &[batch, length, width])?;
    let along = |dim: usize, size: usize| match chosen.iter().find(|(narrowed, _)| *narrowed == dim) {
        Some((_, indices)) => indices.clone(),
        None => (0..size).collect(),
    };
    let positions = along(1, length);
    let of = |prompt: usize| positions.iter().map(move |position| prompt * length + position).collect::<Vec<_>>();
    Ok(along(0, batch).into_iter().flat_map(of).collect())
}
