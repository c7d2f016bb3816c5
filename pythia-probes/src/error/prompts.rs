//! Why prompts that are given one by one cannot be read.

use std::path::PathBuf;

/// Why a list or a file of prompts cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptsError {
    /// A file of prompts that has none.
    #[error("{} has no prompts: every line is empty", path.display())]
    Empty {
        /// The file, as the probe names it.
        path: PathBuf,
    },
    /// More prompts than are run at once.
    #[error("{place} has {found} prompts, but at most {most} are run at once")]
    TooMany {
        /// The configuration field.
        field: &'static str,
        /// The file that has them, or else the field.
        place: String,
        /// How many there are.
        found: usize,
        /// The most that are run.
        most: usize,
    },
    /// A line of a file of prompts that is not a prompt.
    #[error("{}, line {line}, column {column}: {reason}", path.display())]
    Line {
        /// The file, as the probe names it.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Byte in the line, from 1; 0 where the reader knows none.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl PromptsError {
    /// The setting of a probe that the error is about, dotted.
    pub fn field(&self) -> &'static str {
        match self {
            PromptsError::TooMany { field, .. } => field,
            PromptsError::Empty { .. } | PromptsError::Line { .. } => "prompts.file",
        }
    }
}
