//! Reading what an experiment leads to besides itself: files that probes name, and the files that describe a model.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::terminal::{Exit, Explained};
use pythia_core::config::{ConfigError, NeoxConfig};
use pythia_core::store::StoreError;
use pythia_core::tokenizer::{Tokenizer, TokenizerError};

/// Larger files are refused: they are held in memory while the experiment runs.
const MAX_BYTES: u64 = 64 << 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, or something that never ends.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is too large.
    #[error("{} has {found} bytes or more, at most {most} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes, a lower bound.
        found: u64,
        /// The most that is read.
        most: u64,
    },
    /// It is not text.
    #[error("{} is not text in UTF-8: line {line} has a byte that cannot stand there", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

impl Explained for InputError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Why a model's shape or vocabulary cannot be learned from its files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelInfoError {
    /// No chosen checkpoint has files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configuration cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration is wrong.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// A tokenizer is wrong.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokenizerError,
    },
}

impl Explained for ModelInfoError {
    fn exit(&self) -> Exit {
        Exit::BadInput
    }
}

/// The text of a regular file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, InputError> {
    let failed = |source| InputError::Io { path: path.into(), source };
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

/// Reads a `config.json`.
pub(crate) fn read_config(path: &Path) -> Result<NeoxConfig, ModelInfoError> {
    let text = fs::read_to_string(path).map_err(|source| ModelInfoError::Io { path: path.into(), source })?;
    NeoxConfig::from_json(&text).map_err(|source| ModelInfoError::Config { path: path.into(), source })
}

pub(crate) fn read_tokenizer(path: &Path) -> Result<Tokenizer, ModelInfoError> {
    Tokenizer::from_file(path).map_err(|source| ModelInfoError::Tokenizer { path: path.into(), source })
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
        assert!(matches!(read_text(&scratch.0.join("none")), Err(InputError::Io { .. })));
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
