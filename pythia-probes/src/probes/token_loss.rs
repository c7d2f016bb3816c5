//! The loss of every token of every prompt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::loss::PromptLoss;
use crate::prompts::{Prompts, Repeated};
use crate::table::{ColumnKind, Table, measured};

/// The loss of every token, on repeated random tokens or on prompts given by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenLoss {
    /// Prompts by their token ids, of any lengths; random prompts where this is left out.
    pub tokens: Option<Vec<Vec<u32>>>,
    /// Number of random prompts; 8 where it is left out.
    pub batch: Option<usize>,
    /// Tokens in the random part that is repeated; 50 where it is left out.
    pub half_len: Option<usize>,
    /// How often the random part stands in the prompt; 2 where it is left out.
    pub repeats: Option<usize>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

impl TokenLoss {
    /// Whether a BOS stands before each prompt.
    pub fn bos(&self, prepend_bos: bool) -> bool {
        self.prepend_bos.unwrap_or(prepend_bos)
    }

    /// The random prompts this probe runs on where it is given none.
    pub fn layout(&self, prepend_bos: bool) -> Repeated {
        Repeated {
            batch: self.batch.unwrap_or(8),
            half_len: self.half_len.unwrap_or(50),
            repeats: self.repeats.unwrap_or(2),
            bos: self.bos(prepend_bos),
        }
    }

    /// Prompts and tokens in the longest of them.
    pub fn size(&self, prepend_bos: bool) -> (usize, usize) {
        match &self.tokens {
            Some(rows) => {
                let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
                (rows.len(), longest + usize::from(self.bos(prepend_bos)))
            }
            None => (self.layout(prepend_bos).batch, self.layout(prepend_bos).len()),
        }
    }

    /// Refuses what can have no answer.
    pub(crate) fn check(&self, vocab: usize, prepend_bos: bool) -> Result<(), ProbeError> {
        let sizes = [("batch", self.batch), ("half_len", self.half_len), ("repeats", self.repeats)];
        if let Some(rows) = &self.tokens {
            let chosen = sizes.into_iter().find(|(_, value)| value.is_some());
            chosen.map_or(Ok(()), |(field, _)| Err(ProbeError::Contradiction { field }))?;
            return self.check_given(rows, vocab, prepend_bos);
        }
        let layout = self.layout(prepend_bos);
        layout.check(1)?;
        let len = layout.len();
        if len < 2 { Err(ProbeError::PromptTooShort { prompt: 0, len }) } else { Ok(()) }
    }

    fn check_given(&self, rows: &[Vec<u32>], vocab: usize, prepend_bos: bool) -> Result<(), ProbeError> {
        if rows.is_empty() {
            return Err(ProbeError::Empty { field: "tokens" });
        }
        for (prompt, row) in rows.iter().enumerate() {
            let len = row.len() + usize::from(self.bos(prepend_bos));
            if len < 2 {
                return Err(ProbeError::PromptTooShort { prompt, len });
            }
            if let Some(index) = row.iter().position(|id| *id as usize >= vocab) {
                return Err(ProbeError::IdOutOfVocab { prompt, index, id: row[index], vocab });
            }
        }
        Ok(())
    }

    /// Columns `prompt_id`, `pos`, `token_id`, `loss`, `status`: one row per token that something stands before. `pos` is the
    /// position of the token `token_id` itself, from 1 on, and `loss` its −ln p in nats.
    pub(crate) fn table(prompts: &Prompts, losses: &[PromptLoss]) -> Table {
        let mut table = Table::builder([
            ("prompt_id", ColumnKind::Int),
            ("pos", ColumnKind::Int),
            ("token_id", ColumnKind::Int),
            ("loss", ColumnKind::Float),
            ("status", ColumnKind::Text),
        ]);
        for (prompt, (row, losses)) in prompts.rows().iter().zip(losses).enumerate() {
            for (position, (id, loss)) in (1_usize..).zip(row.iter().skip(1).zip(&losses.losses)) {
                let (loss, status) = measured(*loss);
                table.row([prompt.into(), position.into(), (*id).into(), loss.into(), status.into()]);
            }
        }
        table.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::Vocabulary;

    #[test]
    fn a_row_stands_at_the_token_it_is_about() {
        let rows = [vec![7, 8], vec![9]];
        let prompts = Prompts::given(&rows, true, Vocabulary { size: 10, bos: 0 }).expect("ids are in range");
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
    fn random_sizes_and_given_tokens_exclude_each_other() {
        let given = TokenLoss { tokens: Some(vec![vec![1, 2], vec![3]]), ..TokenLoss::default() };
        assert_eq!(given.check(10, true), Ok(()));
        assert_eq!(given.size(true), (2, 3));
        assert_eq!(given.check(10, false), Err(ProbeError::PromptTooShort { prompt: 1, len: 1 }));
        assert_eq!(given.check(3, true), Err(ProbeError::IdOutOfVocab { prompt: 1, index: 0, id: 3, vocab: 3 }));
        let both = TokenLoss { half_len: Some(4), ..given };
        assert_eq!(both.check(10, true), Err(ProbeError::Contradiction { field: "half_len" }));
        let one = TokenLoss { half_len: Some(1), repeats: Some(1), ..TokenLoss::default() };
        assert_eq!(one.check(10, false), Err(ProbeError::PromptTooShort { prompt: 0, len: 1 }));
    }
}
