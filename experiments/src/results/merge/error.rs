//! Why parts cannot be merged.

use std::path::PathBuf;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use super::MissingParts;
use crate::files::folder::FolderError;
use crate::files::sink::SinkError;
use crate::files::version::OtherVersion;
use crate::plan::difference::Difference;
use crate::results::index::IndexError;
use crate::results::manifest::ManifestError;
use crate::terminal::{Exit, Explained, human};

/// Why parts cannot be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("{}", list(.0))]
    MissingParts(MissingParts),
    /// A part that another version made.
    #[error(transparent)]
    Version(#[from] OtherVersion),
    /// A merged table that another version made, and that this merge would leave beside new ones.
    #[error("{0}; this merge would not replace it")]
    OldMerged(OtherVersion),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{} is not a part of a table", path.display())]
    Stray { path: PathBuf },
    #[error(
        "{} has results of a model without steps, and {} those of one of several checkpoints",
        first.display(),
        second.display()
    )]
    Mixed { first: PathBuf, second: PathBuf },
    #[error("{} has the columns {there}, but {} has {here}", first.display(), second.display())]
    Columns { first: PathBuf, second: PathBuf, there: String, here: String },
    #[error(
        "{} (there) and {} (here) were made with different settings: {difference}",
        first.display(),
        second.display()
    )]
    Settings { first: PathBuf, second: PathBuf, difference: Difference },
    #[error("{} has rows of step {}, not {}", path.display(), word(*found), word(*expected))]
    OtherStep {
        path: PathBuf,
        /// A step of its rows.
        found: Option<i64>,
        /// The step that it is named after.
        expected: Option<i64>,
    },
    #[error("{} cannot be read to its end: {source}", path.display())]
    Rows { path: PathBuf, source: ArrowError },
    #[error("{} was replaced while it was being merged", path.display())]
    Changed { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: ParquetError },
}

impl Explained for MergeError {
    fn exit(&self) -> Exit {
        match self {
            Self::MissingParts(_) => Exit::CellsFailed,
            Self::Index(error) => error.exit(),
            Self::Sink(error) => error.exit(),
            Self::Manifest(error) => error.exit(),
            Self::Folder(error) => error.exit(),
            Self::Write { .. } => Exit::Resources,
            Self::Version(_)
            | Self::OldMerged(_)
            | Self::Stray { .. }
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
            Self::MissingParts(_) => "run the experiment again, or merge what there is with --allow-missing",
            Self::Version(_) => {
                "run the experiment again with --fresh or another --out DIR, then merge; or merge with the version \
                 that made them"
            }
            Self::OldMerged(_) => "remove that file, or choose another folder for the merged tables with --out DIR",
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
            Self::Manifest(error) => return error.remedy(),
        };
        Some(remedy.to_owned())
    }
}

fn word(step: Option<i64>) -> String {
    step.map_or("null".to_owned(), |step| step.to_string())
}

/// The first missing parts, a line each.
fn list(missing_parts: &MissingParts) -> String {
    const SHOWN: usize = 10;
    let lines = missing_parts.missing.iter().take(SHOWN).map(|part| format!("\n  {part}"));
    let others = missing_parts.missing.len().saturating_sub(SHOWN);
    let others = if others > 0 { format!("\n  and {others} more") } else { String::new() };
    let (missing, expected) = (missing_parts.missing.len(), missing_parts.expected);
    format!("missing {missing} of {}:{}{others}", human::plural(expected, "part"), lines.collect::<String>())
}
