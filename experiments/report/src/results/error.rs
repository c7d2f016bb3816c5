//! Why results cannot be read.

use std::path::PathBuf;

use polars::error::PolarsError;

use super::columns::ColumnType;
use super::{DamagedPart, TABLE_VERSION};

/// Why results cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The folder is not an output folder.
    #[error("{} holds no results: neither results/TABLE/MODEL/*.parquet nor \
             merged/TABLE/MODEL.parquet", root.display())]
    NotResults {
        /// The folder that was named.
        root: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Files of tables cannot be decoded.
    #[error("{}", lines(parts))]
    Damaged {
        /// At least one.
        parts: Vec<DamagedPart>,
    },
    /// The metadata of a file is not what this program writes.
    #[error("{} states no configuration: its metadata `pythia.config` is not JSON: {problem}", path.display())]
    Metadata {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The manifest of an experiment is not what this program writes.
    #[error("{} is not the manifest of an experiment: {problem}", path.display())]
    Manifest {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file was made by a version of this program whose tables differ.
    #[error(
        "{} was made by another version: it has table version {found}, and this version reads {TABLE_VERSION}",
        path.display()
    )]
    Version {
        /// Where it is.
        path: PathBuf,
        /// The version that its metadata states.
        found: String,
    },
    /// A file lacks a column which its probe declares, or has it with another type.
    #[error("{}: table `{table}` needs a column `{column}` of {wanted}, and the file {found}", path.display())]
    FileColumn {
        /// Where it is.
        path: PathBuf,
        /// Its name.
        table: String,
        /// The name of the column.
        column: String,
        /// What its values must be.
        wanted: ColumnType,
        /// What the file has instead.
        found: String,
    },
    /// A table cannot be read or computed with.
    #[error("table `{table}`: {source}")]
    Polars {
        /// Its name.
        table: String,
        /// Why Polars refused.
        source: PolarsError,
    },
    /// What was computed from a table lacks a column.
    #[error("table `{table}` has no column `{column}` of {wanted}")]
    Column {
        /// Its name.
        table: String,
        /// The name of the column.
        column: String,
        /// The type it must have.
        wanted: ColumnType,
    },
}

impl ResultsError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotResults { .. } => "name the folder that `pythia run` wrote to, the one that holds results/",
            Self::Io { .. } => "check that the folder can be read",
            Self::Damaged { parts } if parts.iter().all(DamagedPart::is_merged) => {
                "remove the damaged file and merge again, where its parts are"
            }
            Self::Damaged { .. } | Self::Metadata { .. } => {
                "remove the damaged file and run the same experiment again: the cell is computed anew"
            }
            Self::Manifest { .. } => "move the file away, or run its experiment again, which writes the manifest anew",
            Self::Version { .. } => {
                "run the experiment again into another folder, or read this folder with the version that wrote it"
            }
            Self::FileColumn { .. } | Self::Polars { .. } | Self::Column { .. } => {
                "files of other versions or of other programs are among the results: move them away, or run with \
                 --fresh"
            }
        }
    }
}

/// An error that may be due to damaged parts.
pub trait NamesDamage {
    /// The parts; none where the error has another cause.
    fn damaged(&self) -> &[DamagedPart];
}

impl NamesDamage for ResultsError {
    fn damaged(&self) -> &[DamagedPart] {
        if let Self::Damaged { parts } = self { parts } else { &[] }
    }
}

/// Damaged parts that are named one by one.
const NAMED: usize = 10;

/// A line for each part.
fn lines(parts: &[DamagedPart]) -> String {
    let mut lines: Vec<String> = parts.iter().take(NAMED).map(ToString::to_string).collect();
    let others = parts.len().saturating_sub(NAMED);
    if others > 0 {
        lines.push(format!("and {others} more"));
    }
    lines.join("\n")
}
