//! One part: the only way in which a file of a table is opened.
//!
//! A file from elsewhere may say anything of itself. The libraries that decode Parquet believe it: they reserve the
//! memory that it asks for, and some of their checks are panics. So a part is checked before they see it ([`check`]):
//! where its pages are, how many values they hold, and how much memory they will take. What a library does nevertheless
//! becomes an error ([`read`], [`guarded`]).

mod layout;
mod thrift;

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet};

use super::ResultsError;
use super::guard::guarded;

/// A file of a table that is not what this program wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this part is damaged: {}: {problem}", path.display())]
pub struct DamagedPart {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl DamagedPart {
    /// A part with a problem as a library words it, which may have several lines.
    pub fn new(path: &Path, problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self { path: path.into(), problem: problem.lines().next().unwrap_or_default().trim().to_owned() }
    }

    /// Whether it is a merged table, `merged/TABLE/MODEL.parquet`, and no part of a run.
    pub(super) fn is_merged(&self) -> bool {
        self.path.ancestors().nth(2).is_some_and(|folder| folder.ends_with("merged"))
    }
}

/// Opens a part and checks its layout: every page is in the file, the pages hold as many values as the file says, and
/// their decoded size is bounded. The rows are not decoded.
///
/// # Errors
/// [`ResultsError::Io`] if the file cannot be opened, [`ResultsError::Damaged`] if its layout is wrong.
pub fn check(path: &Path) -> Result<File, ResultsError> {
    let mut file = File::open(path).map_err(|source| ResultsError::Io { path: path.into(), source })?;
    layout::check(&mut file).map_err(|error| damaged(path, error))?;
    Ok(file)
}

/// The checked footer of a part.
///
/// # Errors
/// As [`check`].
pub(super) fn footer(path: &Path) -> Result<SerializedFileReader<File>, ResultsError> {
    read(path, SerializedFileReader::new)
}

/// Reads something from a checked part with the library for Parquet.
///
/// # Errors
/// As [`check`]; also [`ResultsError::Damaged`] where `read` fails or panics.
pub fn read<T, E: ToString>(path: &Path, read: impl FnOnce(File) -> Result<T, E>) -> Result<T, ResultsError> {
    let file = check(path)?;
    match guarded(|| read(file)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(path, error)),
        Err(panic) => Err(damaged(path, panic)),
    }
}

/// Decodes all rows of a part, only to see whether that can be done.
pub(super) fn damage(path: &Path) -> Option<DamagedPart> {
    let decode = |_: File| {
        let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
        LazyFrame::scan_parquet(PlRefPath::try_from_path(path)?, args)?.collect()
    };
    match footer(path).map(|footer| footer.metadata().num_row_groups()).and_then(|_| read(path, decode)) {
        Err(ResultsError::Damaged { mut parts }) => parts.pop(),
        _ => None,
    }
}

fn damaged(path: &Path, problem: impl ToString) -> ResultsError {
    ResultsError::Damaged { parts: vec![DamagedPart::new(path, problem)] }
}

#[cfg(test)]
mod tests;
