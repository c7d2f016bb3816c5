//! Why parts cannot be merged.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::Holes;
use crate::files::folder::FolderError;
use crate::files::sink::SinkError;
use crate::plan::difference::Difference;
use crate::results::index::IndexError;
use crate::results::manifest::ManifestError;
use crate::terminal::{Exit, Explained};

/// Why parts cannot be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// Parts are missing.
    #[error("{}", list(.0))]
    Holes(Holes),
    /// The results cannot be listed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A record of a run cannot be used.
    #[error(transparent)]
    Record(#[from] ManifestError),
    /// A part cannot be opened.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The folder of merged tables cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A Parquet file that no run has written.
    #[error("{} is not a part of a table", path.display())]
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// A single model beside checkpoints.
    #[error("{} is of a single model, and {} of one of several checkpoints", first.display(), second.display())]
    Mixed {
        /// The single model's.
        first: PathBuf,
        /// A checkpoint's.
        second: PathBuf,
    },
    /// Parts of one table with different columns.
    #[error("{} has the columns {there}, but {} has {here}", first.display(), second.display())]
    Columns {
        /// One part.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// The columns of the first.
        there: String,
        /// The columns of the second.
        here: String,
    },
    /// Parts of one table that were made with different settings.
    #[error("{} (there) and {} (here) were made with different settings: {difference}", first.display(), second.display())]
    Settings {
        /// One part.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// In what they differ.
        difference: Difference,
    },
    /// A part with rows of another checkpoint.
    #[error("{} has rows of step {}, not {}", path.display(), word(*found), word(*expected))]
    OtherStep {
        /// The part.
        path: PathBuf,
        /// A step that stands in it.
        found: Option<i64>,
        /// The step that it is named after.
        expected: Option<i64>,
    },
    /// The rows of a part cannot be read.
    #[error("{} cannot be read to its end: {source}", path.display())]
    Rows {
        /// The part.
        path: PathBuf,
        /// What the library said.
        source: ArrowError,
    },
    /// A part was replaced meanwhile.
    #[error("{} was replaced while it was being merged", path.display())]
    Changed {
        /// The part.
        path: PathBuf,
    },
    /// A merged table cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the hub or the system said.
        source: ParquetError,
    },
}

impl Explained for MergeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Holes(_) => Exit::CellsFailed,
            Self::Index(error) => error.exit(),
            Self::Record(error) => error.exit(),
            Self::Folder(error) => error.exit(),
            Self::Write { .. } => Exit::Resources,
            Self::Stray { .. }
            | Self::Sink(_)
            | Self::Rows { .. }
            | Self::OtherStep { .. }
            | Self::Columns { .. }
            | Self::Settings { .. }
            | Self::Mixed { .. }
            | Self::Changed { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Holes(_) => "run the experiment again, or merge what there is with --allow-missing",
            Self::Stray { .. } => "move it out of results/, which is for finished parts alone",
            Self::Sink(_) | Self::Rows { .. } | Self::OtherStep { .. } => {
                "remove that file, run the experiment again, then merge"
            }
            Self::Columns { .. } | Self::Settings { .. } | Self::Mixed { .. } => {
                "make the older ones anew: remove them and run the experiment again, \
                 or give each setting an --out of its own"
            }
            Self::Changed { .. } => "merge again when the run has ended",
            Self::Write { .. } => "free some space, or choose another folder with --out DIR",
            Self::Folder(error) => return error.remedy(),
            Self::Index(error) => return error.remedy(),
            Self::Record(error) => return error.remedy(),
        };
        Some(remedy.to_owned())
    }
}

fn word(step: Option<i64>) -> String {
    step.map_or("null".to_owned(), |step| step.to_string())
}

/// The first missing parts, a line each.
fn list(holes: &Holes) -> String {
    const SHOWN: usize = 10;
    let lines = holes.missing.iter().take(SHOWN).map(|part| format!("\n  {part}"));
    let others = holes.missing.len().saturating_sub(SHOWN);
    let others = if others > 0 { format!("\n  and {others} more") } else { String::new() };
    let (missing, expected) = (holes.missing.len(), holes.expected);
    format!("{missing} of {expected} parts are missing:{}{others}", lines.collect::<String>())
}
