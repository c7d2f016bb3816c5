//! Noise at the embeddings of the clean prompts, whose run stands for that of the corrupt prompts.

use std::collections::BTreeSet;

use burn::tensor::{DType, Tensor, TensorData};
use pythia_core::device::host_f64;
use pythia_hooks::Activation;

use super::places::{self, EACH, Positions};
use crate::error::ProbeError;
use crate::pairs::{Noise, Pair};
use crate::random::{Domain, generator, normals};
use crate::subject::Subject;

/// The setting that errors name.
const FIELD: &str = "pairs.noise.positions";

/// The noise of some pairs.
pub(crate) struct DrawnNoise {
    /// Per pair, the positions that get noise, ascending.
    spans: Vec<Vec<usize>>,
    /// Standard deviation of the noise.
    deviation: f64,
    seed: u64,
    dtype: DType,
}

/// Per pair, the positions that get noise, ascending.
///
/// # Errors
/// `each`; a position that the pairs lack.
pub(crate) fn spans(noise: &Noise, pairs: &[Pair]) -> Result<Vec<Vec<usize>>, ProbeError> {
    let choices = places::positions(FIELD, &noise.positions, pairs)?;
    if choices.contains(&Positions::Each) {
        let allowed = "all positions of a pair get their noise together: name them, or \"all\"".to_owned();
        return Err(ProbeError::NoSuchChoice { field: FIELD, word: EACH.to_owned(), allowed });
    }
    let of = |pair: &Pair| {
        let length = pair.clean.len();
        let mut span = BTreeSet::new();
        for choice in &choices {
            match choice {
                Positions::All | Positions::Each => span.extend(0..length),
                Positions::At(number) if *number < 0 => span.extend(length.checked_add_signed(*number as isize)),
                Positions::At(number) => span.extend(usize::try_from(*number)),
                Positions::Named(name) => span.extend(&pair.positions[name]),
            }
        }
        span.into_iter().collect()
    };
    Ok(pairs.iter().map(of).collect())
}

impl DrawnNoise {
    /// Measures the embeddings that get noise.
    ///
    /// # Errors
    /// Those of [`spans`]; reading from the device.
    pub(crate) fn new(noise: &Noise, pairs: &[Pair], subject: &Subject, seed: u64) -> Result<Self, ProbeError> {
        let spans = spans(noise, pairs)?;
        let ids = pairs.iter().zip(&spans).flat_map(|(pair, span)| span.iter().map(|&at| pair.clean[at]));
        let rows = vec![ids.collect::<Vec<u32>>()];
        let embedded = subject.model.embed(subject.model.tokens(&rows), &mut ()).stream;
        let dtype = embedded.dtype();
        let values = host_f64(embedded).map_err(ProbeError::device("the embeddings"))?;
        Ok(Self { spans, deviation: noise.sigmas * deviation(&values), seed, dtype })
    }

    /// What is added to the embeddings of some pairs of one length, `[batch, pos, d_model]`.
    pub(crate) fn of(&self, members: &[usize], pairs: &[Pair], subject: &Subject) -> Activation {
        let (width, length) = (subject.model.config().d_model, pairs[members[0]].clean.len());
        let mut values = vec![0.0; members.len() * length * width];
        for (row, &member) in values.chunks_mut(length * width).zip(members) {
            let mut draws = normals(generator(self.seed, Domain::Noise, member as u64));
            for &at in &self.spans[member] {
                let numbers = row[at * width..][..width].iter_mut().zip(&mut draws);
                numbers.for_each(|(number, draw)| *number = self.deviation * draw);
            }
        }
        let data = TensorData::new(values, [members.len(), length, width]);
        Activation::Three(Tensor::from_data(data, (&subject.model.device(), self.dtype)))
    }
}

/// The standard deviation of numbers, as `torch.std` takes it: over n − 1.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}
