//! The output folder: `results/`, which readers may scan at any moment, and `state/`, which only runs use.
//!
//! A results file appears whole or not at all. Everything else that a run leaves behind lies under `state/`, because
//! one stray file under `results/` breaks a reader's scan of the whole folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pythia_files::AtomicFile;

use crate::terminal::{Exit, Explained, env};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub(crate) struct FolderError {
    /// What was tried, as a verb.
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Explained for FolderError {
    fn exit(&self) -> Exit {
        Exit::Resources
    }

    fn remedy(&self) -> Option<String> {
        Some(match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and run the same command again: finished cells are kept".into()
            }
            _ => "choose a place that can be written, or change its permissions".into(),
        })
    }
}

/// Attaches what was tried and where to an error of the system.
fn tried(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError + use<> {
    let path = path.to_owned();
    move |source| FolderError { what, path, source }
}

/// The output folder of an experiment where neither the command line nor its file names one.
pub(crate) fn default_root(name: &str) -> PathBuf {
    Path::new(env::OUT).join(name)
}

/// The output folder of one experiment.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    temporary: PathBuf,
}

impl Folder {
    /// A folder that is only read: nothing is created.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { temporary: root.join("state/tmp"), root }
    }

    /// Creates the folder with its two parts, proves that it can be written, and removes what ended runs left behind.
    pub(crate) fn create(root: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let folder = Self::at(root);
        let results = folder.results();
        fs::create_dir_all(&results).map_err(tried("create", &results))?;
        folder.prepared()
    }

    /// Creates a folder of finished files alone, such as that of merged tables. Unfinished files are in `.tmp`.
    pub(crate) fn of_files(root: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let root = root.into();
        Self { temporary: root.join(".tmp"), root }.prepared()
    }

    fn prepared(self) -> Result<Self, FolderError> {
        fs::create_dir_all(&self.temporary).map_err(tried("create", &self.temporary))?;
        pythia_files::remove_abandoned(&self.temporary).map_err(tried("clear", &self.temporary))?;
        Ok(self)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the finished tables lie, and nothing else.
    pub(crate) fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// Where the journal, the manifest and unfinished files lie.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Writes a whole file, which appears at once. `relative` counts from the root.
    pub(crate) fn write(&self, relative: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        self.begin(relative)?.write(bytes)
    }

    /// A file that is written piece by piece and appears when it is finished. `relative` counts from the root.
    pub(crate) fn begin(&self, relative: &Path) -> Result<PendingFile, FolderError> {
        let path = self.root.join(relative);
        AtomicFile::in_folder(&self.temporary, &path).map(PendingFile).map_err(tried("create", &path))
    }

    /// Removes the folder of unfinished files if it is empty.
    pub(crate) fn tidy(&self) {
        // A foreign file in it, or an empty folder that stays, does no harm.
        let _ = fs::remove_dir(&self.temporary);
    }

    /// Removes a folder with all that is in it; one that is not there is fine.
    pub(crate) fn remove(&self, relative: &Path) -> Result<(), FolderError> {
        let path = self.root.join(relative);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(tried("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes the unfinished files of this process, when a run is stopped.
    pub(crate) fn discard_unfinished(&self) -> Result<(), FolderError> {
        pythia_files::remove_own(&self.temporary).map_err(tried("clear", &self.temporary))
    }
}

/// A file that appears under its name when it is whole, and leaves nothing behind if it is dropped before.
#[derive(Debug)]
pub(crate) struct PendingFile(AtomicFile);

impl PendingFile {
    /// A file outside of any output folder. Made before the work whose result it is to hold: a place that cannot be
    /// written fails at once.
    pub(crate) fn claim(path: &Path) -> Result<Self, FolderError> {
        AtomicFile::beside(path).map(Self).map_err(tried("create", path))
    }

    /// Writes all of its content, and finishes it.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<(), FolderError> {
        let tried = tried("write", self.0.target());
        self.0.write_all(bytes).map_err(tried)?;
        self.finish()
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> Result<(), FolderError> {
        let tried = tried("write", self.0.target());
        self.0.finish().map_err(tried)
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().into_string().expect("name")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_and_leaves_nothing_beside_it() {
        let scratch = Scratch::new("whole");
        let folder = Folder::create(&scratch.0).expect("create");
        folder.write(Path::new("results/p/m/step000001.parquet"), b"one").expect("write");
        folder.write(Path::new("results/p/m/step000001.parquet"), b"two").expect("write again");
        assert_eq!(fs::read(scratch.0.join("results/p/m/step000001.parquet")).expect("read"), b"two");
        assert_eq!(names(&folder.temporary), [""; 0]);
        assert_eq!(names(&scratch.0.join("results/p/m")), ["step000001.parquet"]);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let scratch = Scratch::new("fails");
        let folder = Folder::create(&scratch.0).expect("create");
        // A folder stands where the file should go, so the rename fails after the bytes were written.
        fs::create_dir_all(scratch.0.join("results/p/x.parquet/inside")).expect("folder");
        let error = folder.write(Path::new("results/p/x.parquet"), b"bytes").expect_err("must fail");
        assert_eq!(error.what, "write");
        assert_eq!(names(&folder.temporary), [""; 0]);
    }

    #[test]
    fn a_file_in_pieces_appears_when_it_is_finished_and_not_before() {
        let scratch = Scratch::new("pieces");
        let folder = Folder::of_files(scratch.0.join("merged")).expect("create");
        let mut file = folder.begin(Path::new("t/m.parquet")).expect("begin");
        file.write_all(b"one ").expect("write");
        assert_eq!(names(&scratch.0.join("merged/t")), [""; 0]);
        drop(file);
        assert_eq!(names(&folder.temporary), [""; 0], "what was given up is gone");
        let mut file = folder.begin(Path::new("t/m.parquet")).expect("begin");
        file.write_all(b"one ").and_then(|()| file.write_all(b"two")).expect("write");
        file.finish().expect("finish");
        assert_eq!(fs::read(scratch.0.join("merged/t/m.parquet")).expect("read"), b"one two");
        folder.tidy();
        assert_eq!(names(&scratch.0.join("merged")), ["t"]);
    }

    #[test]
    fn a_file_in_the_way_is_an_error_that_names_it() {
        let scratch = Scratch::new("in-the-way");
        fs::write(scratch.0.join("results"), b"").expect("write");
        let error = Folder::create(&scratch.0).expect_err("must fail");
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert!(error.to_string().contains("results"), "{error}");
    }
}
