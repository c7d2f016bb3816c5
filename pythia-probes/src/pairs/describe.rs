//! Parts of the messages of [`PairError`], and the setting that each is about.

use super::{Dropped, PairError};
use crate::counted::tokens as count;

/// Reasons of pairs left out that an error repeats; the rest is counted.
const REASONS: usize = 3;

/// Why pairs were left out: the first of them with their lines, and how many more there are.
pub fn reasons(dropped: &[Dropped]) -> String {
    let told = dropped.iter().take(REASONS).map(|one| format!("line {}: {}", one.source, one.reason));
    let rest = dropped.len().saturating_sub(REASONS);
    let more = (rest > 0).then(|| format!("and {rest} more"));
    told.chain(more).collect::<Vec<_>>().join("; ")
}

/// How many tokens, and which of them come first.
pub(super) fn pieces(tokens: &[u32]) -> String {
    const TOLD: usize = 8;
    if tokens.len() <= TOLD {
        return format!("{} {tokens:?}", count(tokens.len()));
    }
    format!("{}, the first of them {:?}", count(tokens.len()), &tokens[..TOLD])
}

/// The advice to put a space in front, where that makes one token.
pub(super) fn hint(spaced: Option<&str>) -> String {
    spaced.map_or_else(String::new, |spaced| format!("; {spaced:?}, with a space in front, is one token"))
}

impl PairError {
    /// The setting of a probe that the error is about, dotted.
    pub fn field(&self) -> &'static str {
        match self {
            PairError::TooSmall { field, .. } | PairError::TooLarge { field, .. } => field,
            PairError::HalfLen { .. } | PairError::VocabTooSmall { .. } => "pairs.half_len",
            PairError::TaskNeedsTokenizer { .. } | PairError::Wordless { .. } | PairError::NoCandidate { .. } => {
                "pairs.task"
            }
            PairError::NoSource | PairError::TwoSources { .. } => "pairs",
            PairError::NoiseNowhere => "pairs.noise.positions",
            PairError::NoiseSize { .. } => "pairs.noise.sigmas",
            PairError::NoText { .. }
            | PairError::LineNeedsTokenizer { .. }
            | PairError::Tokenizer { .. }
            | PairError::TooManyLines { .. }
            | PairError::LineTooLong { .. }
            | PairError::Malformed { .. }
            | PairError::PositionUnclear { .. }
            | PairError::BosCounted { .. }
            | PairError::NoSuchPosition { .. }
            | PairError::EndElsewhere { .. }
            | PairError::TooLong { .. }
            | PairError::NoLines
            | PairError::NothingLeft { .. }
            | PairError::Lengths { .. }
            | PairError::Same { .. }
            | PairError::AnswerTokens { .. }
            | PairError::IdOutOfVocab { .. }
            | PairError::AnswerTwice { .. }
            | PairError::Moved { .. } => "pairs.file",
        }
    }
}
