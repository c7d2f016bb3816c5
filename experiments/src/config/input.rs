//! Reading the files that an experiment names, and the errors of those that describe a model.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pythia_core::load::LoadError;
use pythia_core::store::StoreError;
use pythia_core::tokenizer::TokenizerError;

use crate::terminal::{Exit, Explained, exits_with};

/// Larger files are refused: they are held in memory while the experiment runs.
const MAX_BYTES: u64 = 64 << 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("an empty path names no file")]
    EmptyPath,
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} has {found} bytes or more, at most {most} are read", path.display())]
    TooLarge {
        path: PathBuf,
        /// Its bytes, a lower bound.
        found: u64,
        /// The most that is read.
        most: u64,
    },
    #[error("{} is not text in UTF-8: line {line} has a byte that cannot stand there", path.display())]
    NotText { path: PathBuf, line: usize },
}

exits_with!(InputError, Usage);

impl InputError {
    /// Whether the file is not there, so that it may still come.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, InputError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why the files of a model do not tell its shape or vocabulary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelInfoError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl Explained for ModelInfoError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(_) | Self::Config(_) | Self::Tokenizer(_) => Exit::BadInput,
        }
    }
}

/// The text of a regular file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, InputError> {
    let failed = |source| InputError::Io { path: path.into(), source };
    if path.as_os_str().is_empty() {
        return Err(InputError::EmptyPath);
    }
    // Asked before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(InputError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let found = bytes.len() as u64;
    if found > MAX_BYTES {
        return Err(InputError::TooLarge { path: path.into(), found, most: MAX_BYTES });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
        InputError::NotText { path: path.into(), line }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn what_is_no_text_of_that_size_is_refused() {
        let scratch = Scratch::new("inputs-bad");
        assert!(matches!(read_text(&scratch.0), Err(InputError::NotAFile { .. })));
        assert!(matches!(read_text(Path::new("/dev/zero")), Err(InputError::NotAFile { .. })));
        let absent = read_text(&scratch.0.join("none")).expect_err("no such file");
        assert!(matches!(absent, InputError::Io { .. }) && absent.is_missing());
        let empty = read_text(Path::new("")).expect_err("no path");
        assert!(matches!(empty, InputError::EmptyPath) && !empty.is_missing());
        assert!(!read_text(&scratch.0).expect_err("a folder").is_missing());
        let path = scratch.0.join("binary");
        fs::write(&path, b"one\ntw\xff\n").expect("write");
        let error = read_text(&path).expect_err("no text");
        assert!(
            error.to_string().ends_with("is not text in UTF-8: line 2 has a byte that cannot stand there"),
            "{error}"
        );
        let file = File::create(&path).expect("create");
        file.set_len(MAX_BYTES + 1).expect("a sparse file");
        assert!(matches!(read_text(&path), Err(InputError::TooLarge { found, .. }) if found == MAX_BYTES + 1));
    }
}
