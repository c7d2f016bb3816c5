//! Atomic creation and replacement of files.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::temporary::{builder, fresh_name, temporary_in};

/// A file that is invisible under its name until it is finished.
///
/// It is an ordinary file for writing and seeking. [`finish`](Self::finish) gives it its name; dropped before, it is
/// removed.
///
/// ```
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("new/table.csv");
/// // Fails here, before any work, where the place cannot be written.
/// let mut file = pythia_files::AtomicFile::beside(&path)?;
/// writeln!(file, "step,loss")?;
/// assert!(!path.exists());
/// file.finish()?;
/// assert!(path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// A new file that will be `target`. Until then it is a temporary file in the same folder. A missing folder is
    /// created.
    ///
    /// # Errors
    /// The system's, when the folder or the file cannot be created.
    pub fn beside(target: &Path) -> io::Result<Self> {
        Self::in_folder(parent(target), target)
    }

    /// The same with the temporary file in another folder of the same file system, for targets in folders that
    /// readers may list at any moment. Missing folders are created.
    ///
    /// # Errors
    /// The system's, when a folder or the file cannot be created.
    pub fn in_folder(temporaries: &Path, target: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent(target))?;
        Ok(Self { temporary: temporary_in(temporaries)?, target: target.to_owned() })
    }

    /// The path that the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Syncs the content to the disk, renames the file to the target, replacing an old one, and syncs the folder.
    ///
    /// # Errors
    /// The system's. On an error before the rename the target is unchanged and the temporary file is removed. An
    /// error after it means that the name may not survive a loss of power.
    pub fn finish(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.target).map_err(|refused| refused.error)?;
        sync_folder(parent(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.temporary.as_file_mut().seek(position)
    }
}

/// Writes a file with a closure, which gets an empty file, open for reading and writing. The file gets its name only
/// if the closure succeeds, so the closure can check the content. Folders above `path` are created.
///
/// # Errors
/// The closure's, or the system's; then `path` is as it was. See [`AtomicFile::finish`] for the one exception.
pub fn write_atomic<T, E: From<io::Error>>(path: &Path, write: impl FnOnce(&mut File) -> Result<T, E>) -> Result<T, E> {
    let mut file = AtomicFile::beside(path)?;
    let written = write(file.file())?;
    file.finish()?;
    Ok(written)
}

/// Replaces `path` by what `make` creates at a temporary path beside it, such as a link. Folders above
/// `path` are created. Content is not synced to the disk: `make` must sync a file that it creates.
///
/// # Errors
/// Those of `make`, or the system's; then `path` is as it was.
pub fn replace_atomic(path: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder)?;
    let made = builder(&fresh_name()).make_in(folder, make)?;
    made.into_temp_path().persist(path).map_err(|refused| refused.error)?;
    sync_folder(folder)
}

/// Renames a file that the caller has written under another name: syncs the content, renames it, syncs the folder.
///
/// # Errors
/// The system's.
pub fn rename_synced(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(from, to)?;
    sync_folder(parent(to))
}

/// The folder of a path; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the names in a folder, so that they survive a loss of power. File systems that cannot do this are not an
/// error. On systems where folders cannot be opened there is only the rename.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        for text in ["one", "two"] {
            write_atomic(&path, |file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let refused = write_atomic(&path, |file| {
            file.write_all(b"new")?;
            Err::<(), _>(io::Error::other("checked and found wrong"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "checked and found wrong");
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["file".into()], "old".into()));
        // A folder stands where the file should go, so the rename fails after the content was written.
        fs::create_dir_all(folder.path().join("taken/inside")).unwrap();
        assert!(write_atomic(&folder.path().join("taken"), |file| file.write_all(b"x")).is_err());
        assert_eq!(names(folder.path()), ["file", "taken"]);
    }

    #[test]
    fn an_unfinished_file_is_removed_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (path, temporaries) = (folder.path().join("results/t"), folder.path().join("tmp"));
        let mut file = AtomicFile::in_folder(&temporaries, &path).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!((names(&folder.path().join("results")).len(), names(&temporaries).len()), (0, 1));
        drop(file);
        assert_eq!(names(&temporaries).len(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, atomic) = (folder.path().join("plain"), folder.path().join("atomic"));
        fs::write(&plain, "").unwrap();
        write_atomic(&atomic, |file| file.write_all(b"")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in/link");
        write_atomic(&path, |file| file.write_all(b"file")).unwrap();
        replace_atomic(&path, |at| std::os::unix::fs::symlink("target", at)).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("target"));
        assert!(replace_atomic(&path, |_| Err(io::Error::other("no"))).is_err());
        assert_eq!(names(path.parent().unwrap()), ["link"]);
    }
}
