//! Which field of the configuration an error is about.

use super::ProbeError;

impl ProbeError {
    /// The field of the configuration that the error is about, where it is about one; dotted where it lies deeper.
    pub fn field(&self) -> Option<&str> {
        match self {
            ProbeError::TooSmall { field, .. }
            | ProbeError::TooLarge { field, .. }
            | ProbeError::Empty { field }
            | ProbeError::Repeated { field, .. }
            | ProbeError::NoSuchPosition { field, .. }
            | ProbeError::NoSuchChoice { field, .. }
            | ProbeError::NeedsRepeats { field, .. }
            | ProbeError::NoTokens { field, .. }
            | ProbeError::TooLong { field, .. }
            | ProbeError::PromptTooLong { field, .. }
            | ProbeError::PromptTooShort { field, .. }
            | ProbeError::IdOutOfVocab { field, .. }
            | ProbeError::NeedsTokenizer { field }
            | ProbeError::Tokenizer { field, .. } => Some(field),
            ProbeError::Pairs(error) => Some(error.field()),
            ProbeError::Hook(_) => Some("hooks"),
            ProbeError::NoSourceCheckpoint { .. } => Some("source_step"),
            ProbeError::Vector { .. } => Some("vector"),
            ProbeError::NoSuchParam { .. } => Some("params"),
            ProbeError::Edit { .. } => Some("runs"),
            ProbeError::Prompts(error) => Some(error.field()),
            ProbeError::VocabTooSmall { .. }
            | ProbeError::TooManyRows { .. }
            | ProbeError::Shape { .. }
            | ProbeError::Device { .. }
            | ProbeError::NotFired { .. }
            | ProbeError::VocabTooLarge { .. }
            | ProbeError::NoSuchBos { .. }
            | ProbeError::NoUnembedding { .. }
            | ProbeError::WeightsAlone { .. }
            | ProbeError::NeedsModel { .. }
            | ProbeError::AsPublished { .. }
            | ProbeError::NoFile { .. } => None,
        }
    }
}
