//! The journal: one line of JSON per event under `state/`, for people and scripts that ask what a run did.
//!
//! Only `pythia status` reads it. What is done is decided by the results alone, so a journal that is lost or cut loses
//! history and nothing else.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pythia_files::host_name;
use serde::Serialize;

use crate::files::folder::{Folder, FolderError};

/// What happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A run began.
    Started {
        name: &'a str,
        version: &'a str,
        /// Hash of the manifest.
        experiment: &'a str,
        /// Cells in the plan.
        cells: usize,
        /// Cells of the plan that were done already.
        done: usize,
    },
    /// A cell's tables are in their places.
    Done {
        cell: &'a str,
        /// Seconds from the start of its computation to its last file.
        seconds: f64,
        /// Hash of the weights it ran on; null where only some of them were read.
        weights: Option<&'a str>,
    },
    /// A cell was left out, because its checkpoint is bad.
    LeftOut {
        cell: &'a str,
        /// What is wrong with the checkpoint.
        reason: &'a str,
    },
    /// A cell failed.
    Failed { cell: &'a str, error: &'a str },
    /// The run gave way to another process, which had begun before it.
    Withdrawn {},
    /// The run went through.
    Finished {
        /// Cells that failed.
        failed: usize,
        seconds: f64,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: u64,
    /// The machine: several may share a folder.
    host: &'a str,
    pid: u32,
    event: &'a Event<'a>,
}

/// An open journal; lines are appended, also by several processes.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    host: String,
}

impl Journal {
    /// Opens `state/journal.jsonl`.
    pub(crate) fn open(folder: &Folder) -> Result<Self, FolderError> {
        let path = folder.state().join("journal.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|source| FolderError { what: "open", path: path.clone(), source })?;
        Ok(Self { file, path, host: host_name() })
    }

    /// Appends an event in one write, so that lines of several processes do not mix.
    pub(crate) fn note(&mut self, event: &Event<'_>) -> Result<(), FolderError> {
        let line = Line { time: now(), host: &self.host, pid: std::process::id(), event };
        let failed = |source| FolderError { what: "write", path: self.path.clone(), source };
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn events_are_lines_of_json_that_survive_a_reopening() {
        let scratch = Scratch::new("journal");
        let folder = Folder::create(&scratch.0).expect("create");
        for error in ["first\nline", "second"] {
            let mut journal = Journal::open(&folder).expect("open");
            journal.note(&Event::Failed { cell: "nano step 0", error }).expect("note");
        }
        let text = std::fs::read_to_string(scratch.0.join("state/journal.jsonl")).expect("read");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["event"]["failed"]["error"], "first\nline");
        assert_eq!(lines[0]["host"], host_name());
        assert_eq!(lines[1]["event"]["failed"]["cell"], "nano step 0");
    }
}
