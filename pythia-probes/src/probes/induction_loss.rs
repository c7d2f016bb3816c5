//! How much better the second half of a repeated random sequence is predicted than the first.
//!
//! On `[bos?] R R` with N tokens in R:
//!
//! - `loss_first_half`: mean loss of the tokens of the first R. Without a BOS nothing predicts the first of them, so
//!   N−1.
//! - `loss_second_half`: mean loss of all N tokens of the second R, its unpredictable first one included.
//! - `loss_ratio`: second ÷ first.
//! - `tl_induction_loss`: mean over `loss[N+1:]`, as `evals.induction_loss` of TransformerLens: the first **two**
//!   tokens of the second R are left out. With a BOS the same tokens count (TransformerLens overwrites the first
//!   token by it, here it stands before).
//! - `second_half_accuracy`: share of the N tokens of the second R that are the most likely one, padding rows left out.
//! - `in_context_score`: loss of the token at position `late` − that at `early` (Olsson et al. 2022: 500 and 50;
//!   negative means that context helps). Positions count from 0, the BOS included. Undefined where the sequence is
//!   too short for the default positions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::families::reading::{Reader, ReadingInput, ReadingProbe, ReadingRun};
use crate::loss::PromptLoss;
use crate::probe::{Answer, Probe};
use crate::prompts::PromptSource;
use crate::subject::Context;
use crate::table::columns::{PROMPT_ID, STATUS};
use crate::table::{ColumnSpec, Table, TableSpec, measured};

const KIND: &str = "induction_loss";
/// Position of the late token of the in-context score of Olsson et al. 2022.
const LATE: usize = 500;
/// Position of the early one.
const EARLY: usize = 50;

/// Loss on the first and the second half of repeated random tokens, accuracy on the second, and the in-context score.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InductionLoss {
    /// The prompts, random tokens and the same again: `{ n = 8, half_len = 50 }` by default.
    pub prompts: PromptSource<8, 50>,
    /// Position of the late token of the in-context score; 500 where it is left out.
    pub late: Option<usize>,
    /// Position of the early token of the in-context score; 50 where it is left out.
    pub early: Option<usize>,
}

impl InductionLoss {
    pub(crate) const TABLES: &'static [TableSpec] = &[TableSpec {
        suffix: "",
        doc: "A row per prompt and metric",
        columns: &[&[
            PROMPT_ID,
            ColumnSpec::text(
                "metric",
                "`loss_first_half`, `loss_second_half`, `loss_ratio`, `tl_induction_loss`, `second_half_accuracy`, \
                 `in_context_score`",
            ),
            ColumnSpec::float(
                "value",
                "",
                "Value of the metric: losses and their difference in nats, ratio and accuracy without a unit",
            ),
            STATUS,
        ]],
    }];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { prompts: PromptSource::random(2, 6), ..Self::default() }
    }

    fn table(&self, losses: &[PromptLoss], prepend_bos: bool) -> Table {
        let mut table = Self::TABLES[0].builder();
        let start = usize::from(self.prompts.layout(prepend_bos).bos);
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
        let half_len = self.prompts.layout(false).half_len;
        let (middle, end) = (start + half_len, start + 2 * half_len);
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

impl Probe for InductionLoss {
    /// The default positions of the in-context score may lie outside a short sequence, and its value is undefined then.
    /// Positions that somebody chose may not.
    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let layout = self.prompts.repeats_only(KIND, context)?;
        if layout.repeats != 2 {
            let allowed = "the losses are those of two halves, so it is 2".to_owned();
            let word = layout.repeats.to_string();
            return Err(ProbeError::NoSuchChoice { field: "prompts.repeats", word, allowed });
        }
        let len = layout.len();
        for (field, chosen) in [("late", self.late), ("early", self.early)] {
            if let Some(position) = chosen.filter(|position| !(1..len).contains(position)) {
                return Err(ProbeError::NoSuchPosition { field, position, len });
            }
        }
        Ok(())
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.prompts.size(context)
    }
}

impl ReadingProbe for InductionLoss {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        self.prompts.prompts(context).map(ReadingInput::from)
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        Box::new(HalvesReader { probe: self, prepend_bos: run.context.prepend_bos })
    }

    fn reads_losses(&self) -> bool {
        true
    }
}

/// Reads nothing but the losses.
struct HalvesReader<'a> {
    probe: &'a InductionLoss,
    prepend_bos: bool,
}

impl Reader for HalvesReader<'_> {
    fn finish(self: Box<Self>, losses: &[PromptLoss]) -> Result<Answer, ProbeError> {
        Ok(vec![self.probe.table(losses, self.prepend_bos)])
    }
}

#[cfg(test)]
mod tests {
    use pythia_core::config::NeoxConfig;

    use super::*;
    use crate::Subject;
    use crate::prompts::PromptKind;

    /// Losses 1, 2, 3, … at the positions 1, 2, 3, …; every even position is a hit.
    fn rising(len: usize) -> PromptLoss {
        let losses = (1..len).map(|position| position as f64).collect();
        PromptLoss { losses, hits: (1..len).map(|position| position % 2 == 0).collect() }
    }

    fn values(probe: &InductionLoss, prepend_bos: bool) -> Vec<Option<f64>> {
        let losses = rising(probe.prompts.layout(prepend_bos).len());
        let table = probe.table(&[losses.clone(), losses], prepend_bos);
        assert_eq!(table.n_rows(), 12);
        table.column("value").and_then(crate::Column::floats).expect("numbers")[..6].to_vec()
    }

    #[test]
    fn halves_are_told_apart_with_and_without_a_bos() {
        let probe = InductionLoss { prompts: PromptSource::random(8, 4), late: Some(7), early: Some(2) };
        // Without a BOS: R at 0 to 3 and 4 to 7.
        let expected = [2.0, 5.5, 2.75, 6.5, 0.5, 5.0];
        assert_eq!(values(&probe, false), expected.map(Some));
        // With one: R at 1 to 4 and 5 to 8.
        let expected = [2.5, 6.5, 2.6, 7.5, 0.5, 5.0];
        assert_eq!(values(&probe, true), expected.map(Some));
    }

    #[test]
    fn what_a_short_sequence_lacks_is_undefined() {
        let probe = InductionLoss { prompts: PromptSource::random(8, 1), ..InductionLoss::default() };
        let value = values(&probe, false);
        assert_eq!(value, [None, Some(1.0), None, None, Some(0.0), None]);
        let chosen = InductionLoss { late: Some(101), ..InductionLoss::default() };
        let error = ProbeError::NoSuchPosition { field: "late", position: 101, len: 101 };
        let model = crate::testing::model(true);
        let config = NeoxConfig { n_ctx: 101, ..model.config().clone() };
        let context = Context { config: &config, ..Subject::new(&model, 21, true, 0).context(0) };
        assert_eq!(chosen.check(&context), Err(error));
        assert_eq!(InductionLoss { late: Some(100), ..chosen.clone() }.check(&context), Ok(()));
        let thrice = PromptKind::Random { n: 8, half_len: 5, repeats: 3 }.into();
        let error = InductionLoss { prompts: thrice, ..chosen }.check(&context).expect_err("two halves");
        assert_eq!(error.field(), Some("prompts.repeats"));
    }
}
