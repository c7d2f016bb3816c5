//! The loss of every token of every prompt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::prompts::Repeated;

/// The loss of every token, on repeated random tokens or on prompts given by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
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
        let sizes = [("batch", self.batch, 1), ("half_len", self.half_len, 1), ("repeats", self.repeats, 1)];
        if let Some(rows) = &self.tokens {
            if let Some((field, ..)) = sizes.into_iter().find(|(_, value, _)| value.is_some()) {
                return Err(ProbeError::Contradiction { field });
            }
            return self.check_given(rows, vocab, prepend_bos);
        }
        for (field, value, least) in sizes {
            if let Some(value) = value.filter(|value| *value < least) {
                return Err(ProbeError::TooSmall { field, value, least });
            }
        }
        let len = self.layout(prepend_bos).len();
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
}
