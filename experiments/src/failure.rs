//! Why a command could not do what it was asked, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigErrors;
use crate::exit::Exit;
use crate::folder::FolderError;
use crate::sink::SinkError;

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The experiment is wrong, or its models are.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A file named on the command line cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output folder cannot be used.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The output folder holds results of something else.
    #[error("{} was made by another experiment, or by this one with other settings ({others} more such files).\nit: {found}\nnow: {wanted}", path.display())]
    Foreign {
        /// The first such file.
        path: PathBuf,
        /// How many more there are.
        others: usize,
        /// The configuration it carries.
        found: String,
        /// The configuration of this run.
        wanted: String,
    },
    /// A results file cannot be written or read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The handlers of signals could not be set up.
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    /// Machine output could not be written to stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Config(errors) if errors.are_about_data() => Exit::BadInput,
            Failure::Config(_) | Failure::Read { .. } => Exit::Usage,
            Failure::Folder(_) | Failure::Signals(_) | Failure::Stdout(_) => Exit::Resources,
            Failure::Foreign { .. } | Failure::Sink(_) => Exit::BadInput,
        }
    }

    /// The whole message for people: what is wrong and what to do.
    pub fn report(&self, color: bool) -> String {
        match self {
            Failure::Config(errors) => errors.render(color),
            other => {
                let remedy = other.remedy().map(|remedy| format!("\nremedy: {remedy}")).unwrap_or_default();
                format!("error: {other}{remedy}")
            }
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            Failure::Folder(error) => Some(error.remedy()),
            Failure::Foreign { .. } => {
                Some("choose another folder with --out DIR, or replace these results with --fresh")
            }
            Failure::Read { .. } => Some("check the path"),
            _ => None,
        }
    }
}
