//! The loss of every token of every prompt.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::families::reading::{Reader, ReadingInput, ReadingProbe, ReadingRun};
use crate::loss::PromptLoss;
use crate::probe::{Answer, Probe};
use crate::prompts::{PromptSource, Prompts};
use crate::subject::Context;
use crate::table::columns::{PROMPT_ID, STATUS};
use crate::table::{ColumnSpec, Table, TableSpec, measured};

/// The loss of every token, on random tokens that repeat or on prompts of your own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenLoss {
    /// The prompts, at least two tokens each: random tokens that repeat, `{ n = 8, half_len = 50, repeats = 2 }`
    /// by default, or one of texts, tokens and file.
    pub prompts: PromptSource<8, 50>,
}

impl TokenLoss {
    pub(crate) const TABLES: &'static [TableSpec] = &[TableSpec {
        suffix: "",
        doc: "A row per token after the first",
        columns: &[&[
            PROMPT_ID,
            ColumnSpec::int("pos", "Position of the token in the prompt, from 1, the BOS included"),
            ColumnSpec::int("token_id", "Id of the token"),
            ColumnSpec::float(
                "loss",
                "nats",
                "-ln p of the token, softmax over the whole unembedding, padding rows included",
            ),
            STATUS,
        ]],
    }];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { prompts: PromptSource::tokens([vec![3, 1, 4, 1, 5], vec![9, 2]]) }
    }

    fn table(prompts: &Prompts, losses: &[PromptLoss]) -> Table {
        let mut table = Self::TABLES[0].builder();
        for (prompt, (row, losses)) in prompts.rows().iter().zip(losses).enumerate() {
            for (position, (id, loss)) in (1_usize..).zip(row.iter().skip(1).zip(&losses.losses)) {
                let (loss, status) = measured(*loss);
                table.row([prompt.into(), position.into(), (*id).into(), loss.into(), status.into()]);
            }
        }
        table.build()
    }
}

impl Probe for TokenLoss {
    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let lengths = self.prompts.lengths(context)?;
        let short = lengths.into_iter().enumerate().find(|(_, len)| *len < 2);
        let field = self.prompts.field();
        short.map_or(Ok(()), |(prompt, len)| Err(ProbeError::PromptTooShort { field, prompt, len }))
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.prompts.size(context)
    }

    fn files(&self) -> Vec<&Path> {
        self.prompts.files()
    }
}

impl ReadingProbe for TokenLoss {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        self.prompts.prompts(context).map(ReadingInput::from)
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        Box::new(TokenReader { prompts: &run.input.prompts })
    }

    fn reads_losses(&self) -> bool {
        true
    }
}

/// Reads nothing but the losses.
struct TokenReader<'a> {
    prompts: &'a Prompts,
}

impl Reader for TokenReader<'_> {
    fn finish(self: Box<Self>, losses: &[PromptLoss]) -> Result<Answer, ProbeError> {
        Ok(vec![TokenLoss::table(self.prompts, losses)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subject;
    use crate::prompts::PromptKind;
    use crate::random::Vocabulary;
    use crate::testing::model;

    #[test]
    fn a_row_stands_at_the_token_it_is_about() {
        let rows = [vec![7, 8], vec![9]];
        let prompts = Prompts::given("prompts.tokens", &rows, true, Vocabulary { size: 10, bos: 0 });
        let prompts = prompts.expect("ids are in range");
        let losses = [
            PromptLoss { losses: vec![0.5, f64::NAN], hits: vec![true, false] },
            PromptLoss { losses: vec![1.5], hits: vec![false] },
        ];
        let table = TokenLoss::table(&prompts, &losses);
        let ints = |name| table.column(name).and_then(crate::Column::ints).expect("whole numbers").to_vec();
        assert_eq!(ints("prompt_id"), [Some(0), Some(0), Some(1)]);
        assert_eq!(ints("pos"), [Some(1), Some(2), Some(1)]);
        assert_eq!(ints("token_id"), [Some(7), Some(8), Some(9)]);
        assert_eq!(table.column("loss").and_then(crate::Column::floats), Some([Some(0.5), None, Some(1.5)].as_slice()));
    }

    #[test]
    fn a_loss_needs_two_tokens() {
        let model = model(true);
        let check = |prompts: PromptSource<8, 50>, bos| {
            TokenLoss { prompts }.check(&Subject::new(&model, 10, bos, 0).context(0))
        };
        let given = PromptSource::tokens([vec![1, 2], vec![3]]);
        assert_eq!(check(given.clone(), true), Ok(()));
        let field = "prompts.tokens";
        assert_eq!(check(given, false), Err(ProbeError::PromptTooShort { field, prompt: 1, len: 1 }));
        let foreign = ProbeError::IdOutOfVocab { field, prompt: 1, index: 0, id: 10, vocab: 10 };
        assert_eq!(check(PromptSource::tokens([vec![1, 2], vec![10]]), true), Err(foreign));
        let one = PromptKind::Random { n: 8, half_len: 1, repeats: 1 }.into();
        assert_eq!(check(one, false), Err(ProbeError::PromptTooShort { field: "prompts", prompt: 0, len: 1 }));
    }
}
