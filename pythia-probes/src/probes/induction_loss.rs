//! How much better the second half of a repeated random sequence is predicted than the first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::loss::PromptLoss;
use crate::prompts::Repeated;
use crate::table::{ColumnKind, Table, measured};

/// Position of the late token of the in-context score of Olsson et al. 2022.
const LATE: usize = 500;
/// Position of the early one.
const EARLY: usize = 50;

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
        self.layout(prepend_bos).check(2)?;
        let len = self.layout(prepend_bos).len();
        for (field, chosen) in [("late", self.late), ("early", self.early)] {
            if let Some(position) = chosen.filter(|position| !(1..len).contains(position)) {
                return Err(ProbeError::NoSuchPosition { field, position, len });
            }
        }
        Ok(())
    }

    /// Columns `prompt_id`, `metric`, `value`, `status`; one row per prompt and metric. On `[bos?] R R` with N tokens in R:
    ///
    /// | metric | value (losses in nats) |
    /// |---|---|
    /// | `loss_first_half` | mean loss of the tokens of the first R; without a BOS nothing predicts the first of them, so N−1 |
    /// | `loss_second_half` | mean loss of all N tokens of the second R, its unpredictable first one included |
    /// | `loss_ratio` | second ÷ first |
    /// | `tl_induction_loss` | mean over `loss[N+1:]`, as `evals.induction_loss` of TransformerLens: the first **two** tokens of the second R are left out. With a BOS the same tokens count (TransformerLens overwrites the first token by it, here it stands before) |
    /// | `second_half_accuracy` | share of the N tokens of the second R that are the most likely one, padding rows left out |
    /// | `in_context_score` | loss of the token at position `late` − that at `early` (Olsson et al. 2022: 500 and 50; negative means that context helps). Positions count from 0, the BOS included; undefined where the sequence is too short for the default positions |
    pub(crate) fn table(&self, losses: &[PromptLoss], prepend_bos: bool) -> Table {
        let mut table = Table::builder([
            ("prompt_id", ColumnKind::Int),
            ("metric", ColumnKind::Text),
            ("value", ColumnKind::Float),
            ("status", ColumnKind::Text),
        ]);
        let start = usize::from(self.layout(prepend_bos).bos);
        for (prompt, losses) in losses.iter().enumerate() {
            for (metric, value) in self.metrics(losses, start) {
                let (value, status) = measured(value);
                table.row([prompt.into(), metric.into(), value.into(), status.into()]);
            }
        }
        table.build()
    }

    /// The metrics of one prompt whose first R begins at `start`; NaN where undefined.
    fn metrics(&self, losses: &PromptLoss, start: usize) -> [(&'static str, f64); 6] {
        let (middle, end) = (start + self.half_len, start + 2 * self.half_len);
        let (first, second) = (losses.mean(start, middle), losses.mean(middle, end));
        let at = |position: usize| losses.at(position).unwrap_or(f64::NAN);
        [
            ("loss_first_half", first),
            ("loss_second_half", second),
            ("loss_ratio", second / first),
            ("tl_induction_loss", losses.mean((middle + 2).min(end), end)),
            ("second_half_accuracy", losses.accuracy(middle, end)),
            ("in_context_score", at(self.late.unwrap_or(LATE)) - at(self.early.unwrap_or(EARLY))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses 1, 2, 3, … at the positions 1, 2, 3, …; every even position is a hit.
    fn rising(len: usize) -> PromptLoss {
        let losses = (1..len).map(|position| position as f64).collect();
        PromptLoss { losses, hits: (1..len).map(|position| position % 2 == 0).collect() }
    }

    fn values(probe: &InductionLoss, prepend_bos: bool) -> Vec<Option<f64>> {
        let losses = rising(probe.layout(prepend_bos).len());
        let table = probe.table(&[losses.clone(), losses], prepend_bos);
        assert_eq!(table.n_rows(), 12);
        table.column("value").and_then(crate::Column::floats).expect("numbers")[..6].to_vec()
    }

    #[test]
    fn halves_are_told_apart_with_and_without_a_bos() {
        let probe = InductionLoss { half_len: 4, late: Some(7), early: Some(2), ..InductionLoss::default() };
        // Without a BOS: R at 0 to 3 and 4 to 7.
        let expected = [2.0, 5.5, 2.75, 6.5, 0.5, 5.0];
        assert_eq!(values(&probe, false), expected.map(Some));
        // With one: R at 1 to 4 and 5 to 8.
        let expected = [2.5, 6.5, 2.6, 7.5, 0.5, 5.0];
        assert_eq!(values(&probe, true), expected.map(Some));
    }

    #[test]
    fn what_a_short_sequence_lacks_is_undefined() {
        let probe = InductionLoss { half_len: 1, ..InductionLoss::default() };
        let value = values(&probe, false);
        assert_eq!(value, [None, Some(1.0), None, None, Some(0.0), None]);
        let chosen = InductionLoss { late: Some(101), ..InductionLoss::default() };
        let error = ProbeError::NoSuchPosition { field: "late", position: 101, len: 101 };
        assert_eq!(chosen.check(true), Err(error));
        assert_eq!(InductionLoss { late: Some(100), ..chosen }.check(true), Ok(()));
    }
}
