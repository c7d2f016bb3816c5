//! Errors of the commands themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pythia_report::figures::PublishedError;

use crate::terminal::{Exit, Explained};

/// The text of a file that is named on the command line.
pub(crate) fn read_file(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|source| CommandError::Read { path: path.into(), source })
}

/// An error of a command itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("--out {} is one of the files that this command reads, or among them", .0.display())]
    OutIsInput(PathBuf),
    #[error("{model} has no tokenizer.json beside {}", config.display())]
    NoTokenizer {
        model: String,
        /// The configuration beside which the tokenizer was looked for.
        config: PathBuf,
    },
    #[error("{} is not a list of token ids, or of such lists: {source}", path.display())]
    Tokens { path: PathBuf, source: serde_json::Error },
    #[error("{} holds no published curves: {problem}", path.display())]
    Published { path: PathBuf, problem: PublishedError },
    #[error("`{name}` cannot be chosen here: only the lists of steps, hooks and probes take a name")]
    NothingOfThatName { name: String },
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl Explained for CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { .. } | Self::OutIsInput(_) | Self::NothingOfThatName { .. } => Exit::Usage,
            Self::NoTokenizer { .. } | Self::Tokens { .. } | Self::Published { .. } => Exit::BadInput,
            Self::Signals(_) | Self::Stdout(_) => Exit::Resources,
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Read { .. } => "check the path, and that the file is text in UTF-8",
            Self::OutIsInput(_) => "choose another place with --out",
            Self::NothingOfThatName { .. } => "leave the name out: the whole list is printed",
            Self::NoTokenizer { .. } => "copy the model's tokenizer.json there, or give ids with --tokens FILE",
            Self::Tokens { .. } => "write for example [[0, 5, 9], [0, 7, 2]]",
            Self::Published { .. } => "give a CSV with the columns model, step, task, metric and value",
            Self::Signals(_) | Self::Stdout(_) => return None,
        };
        Some(remedy.to_owned())
    }
}
