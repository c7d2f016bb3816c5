//! The output folder: `results/`, which readers may scan at any moment, and `state/`, which is ours.
//!
//! A results file appears by rename, whole and already on disk, or it does not appear. Everything else that a run leaves
//! behind lies under `state/`, because one stray file under `results/` breaks a reader's scan of the whole folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file operation on the output folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct FolderError {
    /// What was tried, as a verb.
    pub what: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FolderError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and run the same command again: finished cells are kept"
            }
            _ => "choose a folder that can be written with --out DIR, or change its permissions",
        }
    }
}

/// Attaches what was tried and where to an error of the system.
fn tried(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError { what, path, source }
}

/// The output folder of one experiment.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    temporary: PathBuf,
    next: AtomicU64,
}

impl Folder {
    /// A folder that is only read: nothing is created.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { temporary: root.join("state/tmp"), root, next: AtomicU64::new(0) }
    }

    /// Creates the folder with its two parts, proves that it can be written, and clears what dead runs left behind.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let folder = Self::at(root);
        let results = folder.results();
        fs::create_dir_all(&results).map_err(tried("create", &results))?;
        folder.prepared()
    }

    /// Creates a folder of finished files alone, as that of merged tables is; what is unfinished lies in `.tmp` meanwhile.
    pub fn of_files(root: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let root = root.into();
        Self { temporary: root.join(".tmp"), root, next: AtomicU64::new(0) }.prepared()
    }

    fn prepared(self) -> Result<Self, FolderError> {
        fs::create_dir_all(&self.temporary).map_err(tried("create", &self.temporary))?;
        self.sweep_temporary(|owner| !owner.is_alive())?;
        Ok(self)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the finished tables lie, and nothing else.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// Where the journal, the experiment experiment and unfinished files lie.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Writes a whole file: beside its place, to the disk, then by rename into its place. `relative` counts from the root.
    pub fn write(&self, relative: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let mut unfinished = self.begin(relative)?;
        unfinished.write_all(bytes).map_err(tried("write", &unfinished.target))?;
        unfinished.finish()
    }

    /// A file that is written piece by piece, and is in its place when it is finished. `relative` counts from the root.
    pub fn begin(&self, relative: &Path) -> Result<Unfinished, FolderError> {
        let (target, temporary) = (self.root.join(relative), self.fresh_name());
        let parent = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(tried("create", parent))?;
        let file = File::create_new(&temporary).map_err(tried("create", &temporary))?;
        Ok(Unfinished { file, temporary, target })
    }

    /// Removes the folder of unfinished files where nothing is in it.
    pub fn tidy(&self) {
        // Somebody else's file in it is no fault, and an empty folder no harm.
        let _ = fs::remove_dir(&self.temporary);
    }

    /// Whether a file is there.
    pub fn has(&self, relative: &Path) -> bool {
        self.root.join(relative).is_file()
    }

    /// Removes a folder with all that is in it, for a fresh start; one that is not there is fine.
    pub fn remove(&self, relative: &Path) -> Result<(), FolderError> {
        let path = self.root.join(relative);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(tried("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes this process' unfinished files, for a run that is being stopped.
    pub fn discard_unfinished(&self) -> Result<(), FolderError> {
        self.sweep_temporary(Owner::is_this_process)
    }

    fn fresh_name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.temporary.join(Owner::this_process().file_name(number))
    }

    fn sweep_temporary(&self, condemned: impl Fn(&Owner) -> bool) -> Result<(), FolderError> {
        let folder = &self.temporary;
        for entry in fs::read_dir(folder).map_err(tried("list", folder))? {
            let path = entry.map_err(tried("list", folder))?.path();
            let owner = path.file_name().and_then(|name| Owner::of_file_name(name.to_str()?));
            if owner.is_some_and(|owner| condemned(&owner)) {
                fs::remove_file(&path).map_err(tried("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// A file on its way into a folder: nobody sees it before it is whole, and if it is dropped before, nobody ever does.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl Unfinished {
    /// Puts the file in its place: to the disk, then by rename.
    pub fn finish(self) -> Result<(), FolderError> {
        self.file.sync_all().map_err(tried("write", &self.target))?;
        fs::rename(&self.temporary, &self.target).map_err(tried("write", &self.target))?;
        // Without this the rename itself may be lost with the power.
        let parent = self.target.parent().unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(tried("sync", parent))
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    /// What is still unfinished goes away; after the rename there is nothing left to remove. A file that cannot be removed is
    /// cleared at the next start.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A place for one file outside of any output folder, claimed before the work whose result it is to hold: a place that
/// cannot be written is found out at once, and the file appears whole or not at all.
pub struct Claim {
    path: PathBuf,
    beside: PathBuf,
}

impl Claim {
    /// Makes the folder and an unfinished file beside the place.
    pub fn new(path: &Path) -> Result<Self, FolderError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(tried("create", path))?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.tmp", std::process::id()));
        let claim = Self { path: path.into(), beside: beside.into() };
        File::create_new(&claim.beside).map_err(tried("create", path))?;
        Ok(claim)
    }

    /// Puts the file in its place: to the disk, then by rename.
    pub fn write(self, bytes: &[u8]) -> Result<(), FolderError> {
        let mut file = File::create(&self.beside).map_err(tried("create", &self.path))?;
        file.write_all(bytes).map_err(tried("write", &self.path))?;
        file.sync_all().map_err(tried("write", &self.path))?;
        fs::rename(&self.beside, &self.path).map_err(tried("write", &self.path))
    }
}

impl Drop for Claim {
    /// What is still unfinished goes away; after the rename there is nothing left to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

/// The process that an unfinished file belongs to. Several machines may share one folder, so the host is part of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Owner {
    host: String,
    pid: u32,
}

impl Owner {
    pub(crate) fn this_process() -> Self {
        Self { host: host_name(), pid: std::process::id() }
    }

    /// A name for an unfinished file of the process.
    pub(crate) fn file_name(&self, number: u64) -> String {
        format!("{}.{}.{number}.tmp", self.host, self.pid)
    }

    /// The owner of the file of that name.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".tmp")?.rsplitn(3, '.');
        let (_number, pid, host) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { host: host.into(), pid: pid.parse().ok()? })
    }

    fn is_this_process(&self) -> bool {
        *self == Self::this_process()
    }

    /// Whether the owner may still be writing. Another machine's process is taken for alive: its files are not ours to judge.
    /// An earlier process with this one's number is dead.
    pub(crate) fn is_alive(&self) -> bool {
        let elsewhere = self.host != host_name();
        elsewhere || (self.pid != std::process::id() && Path::new("/proc").join(self.pid.to_string()).exists())
    }
}

/// The machine's name with the characters that a file name bears; "host" where the system does not say.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if clean.is_empty() { "host".into() } else { clean }
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
    fn leftovers_of_dead_runs_go_and_those_of_live_ones_stay() {
        let scratch = Scratch::new("leftovers");
        let temporary = Folder::create(&scratch.0).expect("create").temporary.clone();
        let host = host_name();
        // No process has the number u32::MAX; process 1 always lives.
        let (dead, live, far) = (format!("{host}.4294967295.0.tmp"), format!("{host}.1.0.tmp"), "elsewhere.7.0.tmp");
        for name in [&dead, &live, far] {
            fs::write(temporary.join(name), b"half").expect("write");
        }
        Folder::create(&scratch.0).expect("create again");
        let mut left = vec![far.to_string(), live];
        left.sort();
        assert_eq!(names(&temporary), left);
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
