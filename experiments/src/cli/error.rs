//! Errors of the commands themselves.

use std::io;
use std::path::PathBuf;

use pythia_report::figures::PublishedError;

use crate::terminal::{Exit, Explained};

/// An error of a command itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// A file named on the command line cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is to be written would replace what is to be read.
    #[error("--out {} is one of the files that this command reads", .0.display())]
    OutIsInput(PathBuf),
    /// A text was given for a model that has no tokenizer.
    #[error("{model} has no tokenizer.json beside {}", config.display())]
    NoTokenizer {
        /// The model's label.
        model: String,
        /// The configuration beside which the tokenizer was looked for.
        config: PathBuf,
    },
    /// A file of token ids is not one.
    #[error("{} is not a list of token ids, or of such lists: {source}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A file of published curves is none.
    #[error("{} holds no published curves: {problem}", path.display())]
    Published {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: PublishedError,
    },
    /// The handlers of signals could not be set up.
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    /// Machine output could not be written to stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl Explained for CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { .. } | Self::OutIsInput(_) => Exit::Usage,
            Self::NoTokenizer { .. } | Self::Tokens { .. } | Self::Published { .. } => Exit::BadInput,
            Self::Signals(_) | Self::Stdout(_) => Exit::Resources,
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Read { .. } => "check the path, and that the file is text in UTF-8",
            Self::OutIsInput(_) => "choose another file with --out FILE",
            Self::NoTokenizer { .. } => "copy the model's tokenizer.json there, or give ids with --tokens FILE",
            Self::Tokens { .. } => "write for example [[0, 5, 9], [0, 7, 2]]",
            Self::Published { .. } => "give a CSV with the columns model, step, task, metric and value",
            Self::Signals(_) | Self::Stdout(_) => return None,
        };
        Some(remedy.to_owned())
    }
}
