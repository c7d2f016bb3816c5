//! How much better the second half of a repeated random sequence is predicted than the first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::prompts::Repeated;

/// Loss on the first and the second half of repeated random tokens, accuracy on the second, and the in-context score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InductionLoss {
    /// Number of random prompts.
    pub batch: usize,
    /// Tokens in the random half (N); the prompt is that half twice.
    pub half_len: usize,
    /// Position of the late token of the in-context score; 500 where it is left out.
    pub late: Option<usize>,
    /// Position of the early token of the in-context score; 50 where it is left out.
    pub early: Option<usize>,
    /// Whether a BOS stands before the random tokens; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

impl Default for InductionLoss {
    fn default() -> Self {
        Self { batch: 8, half_len: 50, late: None, early: None, prepend_bos: None }
    }
}

impl InductionLoss {
    /// The prompts this probe runs on.
    pub fn layout(&self, prepend_bos: bool) -> Repeated {
        let bos = self.prepend_bos.unwrap_or(prepend_bos);
        Repeated { batch: self.batch, half_len: self.half_len, repeats: 2, bos }
    }

    /// Refuses what can have no answer. The default positions of the in-context score may lie outside a short sequence (its
    /// value is undefined then); positions that somebody chose may not.
    pub(crate) fn check(&self, prepend_bos: bool) -> Result<(), ProbeError> {
        for (field, value, least) in [("batch", self.batch, 1), ("half_len", self.half_len, 1)] {
            if value < least {
                return Err(ProbeError::TooSmall { field, value, least });
            }
        }
        let len = self.layout(prepend_bos).len();
        for (field, chosen) in [("late", self.late), ("early", self.early)] {
            if let Some(position) = chosen.filter(|position| !(1..len).contains(position)) {
                return Err(ProbeError::NoSuchPosition { field, position, len });
            }
        }
        Ok(())
    }
}
