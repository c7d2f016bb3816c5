//! Why results cannot be read.

use std::path::PathBuf;

use parquet::errors::ParquetError;
use polars::error::PolarsError;

/// Results that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The folder is no output folder.
    #[error("{} holds no results: neither results/TABLE/MODEL/*.parquet nor merged/TABLE/MODEL.parquet", root.display())]
    NotResults {
        /// The folder.
        root: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part is no Parquet file.
    #[error("{} is not a readable Parquet file: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: ParquetError,
    },
    /// The record of an experiment is not what this program writes.
    #[error("{} is not the record of an experiment: {problem}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A table cannot be read or computed with.
    #[error("table `{table}`: {source}")]
    Polars {
        /// The table.
        table: String,
        /// What the library said.
        source: PolarsError,
    },
    /// A table lacks what its kind promises.
    #[error("table `{table}` has no column `{column}` of {wanted}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type it must have.
        wanted: &'static str,
    },
}

impl ResultsError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotResults { .. } => "name the folder that `pythia run` wrote to, the one that holds results/",
            Self::Io { .. } => "check that the folder can be read",
            Self::Parquet { .. } => {
                "remove the damaged file and run the same experiment again: the cell is computed anew"
            }
            Self::Record { .. } => "move the file away, or run its experiment again, which writes the record anew",
            Self::Polars { .. } | Self::Column { .. } => {
                "parts of other versions or of other programs lie among the results: move them away, or run with --fresh"
            }
        }
    }
}
