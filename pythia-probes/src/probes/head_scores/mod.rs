//! What attention heads attend to, on random tokens that repeat.
//!
//! Several incompatible scores share the name "induction score". All of them are given, each under its own `definition`, each
//! beside its *null*: the same formula on the same tokens for a head that spreads its attention evenly over what it can see
//! (1/(q+1) at query q). Uniform attention already scores about ln 2 / N on the induction stripe.
//!
//! The patterns are reduced while the model runs, one layer at a time, and never kept: in float64 on the CPU, else where they are.

mod detector;
mod mask;
mod observer;
mod on_device;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::prompts::Repeated;
use mask::Exclude;
pub(crate) use observer::PatternReader;
#[cfg(all(test, feature = "wgpu"))]
pub(crate) use on_device::tests::agree;

/// What a head may be scored for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Attention from a token to what followed its earlier occurrence (Olsson et al. 2022).
    Induction,
    /// Attention to the token before.
    PreviousToken,
    /// Attention to earlier occurrences of the same token.
    DuplicateToken,
    /// Attention to the token itself.
    CurrentToken,
    /// Attention to the first position, where heads rest that have nothing to do.
    BosSink,
}

impl Family {
    /// Every family, in the order of the table.
    pub const ALL: [Family; 5] =
        [Family::Induction, Family::PreviousToken, Family::DuplicateToken, Family::CurrentToken, Family::BosSink];

    /// The name in the `score` column.
    pub fn name(self) -> &'static str {
        match self {
            Family::Induction => "induction",
            Family::PreviousToken => "previous_token",
            Family::DuplicateToken => "duplicate_token",
            Family::CurrentToken => "current_token",
            Family::BosSink => "bos_sink",
        }
    }
}

/// Scores of every attention head on repeated random tokens: induction, previous token, duplicate token, current token, BOS sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeadScores {
    /// What to score; all by default.
    pub scores: Vec<Family>,
    /// Number of random prompts; every value is a mean over them.
    pub batch: usize,
    /// Tokens in the random part that is repeated (N).
    pub half_len: usize,
    /// How often the random part stands in the prompt; at least 2.
    pub repeats: usize,
    /// Leave attention to the first position out of the `tl_detect` definitions (TransformerLens: `exclude_bos`).
    pub exclude_bos: bool,
    /// Leave attention to the current token out of the `tl_detect` definitions (TransformerLens: `exclude_current_token`).
    pub exclude_current: bool,
    /// Whether a BOS stands before the random tokens; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

impl Default for HeadScores {
    fn default() -> Self {
        Self {
            scores: Family::ALL.to_vec(),
            batch: 8,
            half_len: 50,
            repeats: 2,
            exclude_bos: false,
            exclude_current: false,
            prepend_bos: None,
        }
    }
}

impl HeadScores {
    /// The prompts this probe runs on.
    pub fn layout(&self, prepend_bos: bool) -> Repeated {
        let bos = self.prepend_bos.unwrap_or(prepend_bos);
        Repeated { batch: self.batch, half_len: self.half_len, repeats: self.repeats, bos }
    }

    /// What the `tl_detect` definitions leave out.
    fn exclude(&self) -> Exclude {
        Exclude { first: self.exclude_bos, current: self.exclude_current }
    }

    /// Refuses what can have no answer.
    pub(crate) fn check(&self, prepend_bos: bool) -> Result<(), ProbeError> {
        self.layout(prepend_bos).check(2)?;
        if self.scores.is_empty() {
            return Err(ProbeError::Empty { field: "scores" });
        }
        let twice =
            Family::ALL.into_iter().find(|family| self.scores.iter().filter(|have| *have == family).count() > 1);
        twice.map_or(Ok(()), |family| Err(ProbeError::Repeated { field: "scores", name: family.name() }))
    }
}
