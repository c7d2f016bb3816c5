//! Noise in place of a corrupt prompt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PairError;

/// Noise at the embeddings of some positions of the clean prompt, whose run then stands for that of the corrupt prompt:
/// the corrupted run of causal tracing (Meng et al. 2022, arXiv 2202.05262, section 2.1).
///
/// Each number of these embeddings gets `sigmas` · σ · ε, with ε drawn from the standard normal distribution and σ the
/// standard deviation of all numbers of the embeddings at these positions, over all pairs (as the authors' code takes
/// it over the subjects). Each pair has its own draw, which follows from the seed and the pair's index; a pair that is
/// listed several times has several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The positions that get noise, all together: names of positions or spans (`subject`), numbers (from 0 with the
    /// BOS included, from the end where they are negative), or `all`.
    pub positions: Vec<String>,
    /// Size of the noise in standard deviations of the embeddings; 3 where it is left out, as in the paper.
    #[serde(default = "three")]
    pub sigmas: f64,
}

fn three() -> f64 {
    3.0
}

impl Noise {
    /// Noise of three standard deviations.
    pub fn at(positions: impl Into<Vec<String>>) -> Self {
        Noise { positions: positions.into(), sigmas: three() }
    }

    /// Refuses noise that changes nothing, or nothing that can be counted with.
    pub(super) fn check(&self) -> Result<(), PairError> {
        if self.positions.is_empty() {
            return Err(PairError::NoiseNowhere);
        }
        let sigmas = self.sigmas;
        if sigmas > 0.0 && (sigmas as f32).is_finite() {
            Ok(())
        } else {
            Err(PairError::NoiseSize { sigmas: sigmas.to_string() })
        }
    }
}
