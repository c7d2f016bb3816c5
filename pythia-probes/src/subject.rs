//! The model a probe looks at, and what may be asked of it.

use pythia_core::model::GptNeoX;

use crate::error::ProbeError;
use crate::prompts::Vocabulary;

/// A model together with what its tokenizer says about its ids.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The model. Without its unembedding it can still be asked for what needs no logits.
    pub model: &'a GptNeoX,
    /// Ids 0 to `vocab - 1` are tokens: only these stand in random prompts and count in statistics over the vocabulary.
    pub vocab: usize,
    /// Whether a BOS stands before a prompt where the probe does not say otherwise.
    pub prepend_bos: bool,
    /// The id of the BOS.
    pub bos: u32,
}

impl Subject<'_> {
    /// The ids a prompt may use.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary { size: self.vocab, bos: self.bos }
    }

    /// Refuses ids the model has no embedding for: looking one up would be a panic in the middle of a run.
    pub(crate) fn check(&self) -> Result<(), ProbeError> {
        let rows = self.model.config().vocab_size;
        if self.vocab > rows {
            return Err(ProbeError::VocabTooLarge { vocab: self.vocab, rows });
        }
        if self.bos as usize >= rows { Err(ProbeError::NoSuchBos { bos: self.bos, rows }) } else { Ok(()) }
    }
}
