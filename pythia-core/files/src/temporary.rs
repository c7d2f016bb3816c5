//! Temporary files, `.MACHINE-PID-START-N.tmp`, and the removal of abandoned ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

use crate::Owner;

const BEGINNING: &str = ".";
const ENDING: &str = ".tmp";
/// Whether a process of another machine still runs is unknown. Its temporary files that were not written to for this
/// long count as abandoned.
const FOREIGN: Duration = Duration::from_secs(24 * 60 * 60);

/// A temporary file that is removed when it is dropped. Its name is unique to this process and this call. The folder
/// is created where it is missing. The file may be read by whoever may read other new files of this process.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let file = pythia_files::temporary_in(folder.path())?;
/// assert!(file.path().starts_with(folder.path()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system's.
pub fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    fs::create_dir_all(folder)?;
    builder(&fresh_name()).tempfile_in(folder)
}

/// A name that no process has used for a temporary file.
pub(crate) fn fresh_name() -> String {
    format!("{BEGINNING}{}{ENDING}", Owner::new_name())
}

/// A builder of a temporary file of exactly that name.
pub(crate) fn builder(name: &str) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    // The owner makes the name unique, so nothing in it is random.
    builder.prefix(name).rand_bytes(0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process' mask applies. The default of `tempfile` lets only the owner read.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

/// The owner of a temporary file; `None` for any other file.
fn owner_of(path: &Path) -> Option<Owner> {
    let name = path.file_name()?.to_str()?;
    Owner::of_name(name.strip_prefix(BEGINNING)?.strip_suffix(ENDING)?)
}

/// Whether a path is that of a temporary file whose process has ended.
pub fn is_abandoned(path: &Path) -> bool {
    owner_of(path).is_some_and(|owner| owner.has_abandoned(path, FOREIGN))
}

/// Removes the temporary files in a folder whose processes have ended. Other files stay. A missing folder has none.
///
/// # Errors
/// The system's, when the folder cannot be listed or a file cannot be removed.
pub fn remove_abandoned(folder: &Path) -> io::Result<()> {
    remove_all(folder, is_abandoned)
}

/// Removes the temporary files in a folder that this process made, before it ends without dropping them.
///
/// # Errors
/// The system's, when the folder cannot be listed or a file cannot be removed.
pub fn remove_own(folder: &Path) -> io::Result<()> {
    remove_all(folder, |path| owner_of(path).as_ref() == Some(Owner::me()))
}

fn remove_all(folder: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<()> {
    let paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
    };
    for path in paths.into_iter().filter(|path| wanted(path)) {
        match fs::remove_file(&path) {
            // Another process has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn temporary_files_of_ended_processes_alone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = temporary_in(folder.path()).unwrap();
        let me = Owner::me().to_string();
        let (machine, _) = me.split_once('-').unwrap();
        // No process has that number; process 1 began with the system.
        let dead = folder.path().join(format!(".{machine}-4294967295-5-0.tmp"));
        let far = folder.path().join(format!(".{}-7-5-0.tmp", "0".repeat(16)));
        let other = folder.path().join("table.tmp");
        for path in [&dead, &far, &other] {
            fs::write(path, "half").unwrap();
        }
        remove_abandoned(folder.path()).unwrap();
        assert!(!dead.exists() && far.exists() && other.exists() && own.path().exists());
        let file = fs::File::options().write(true).open(&far).unwrap();
        file.set_modified(SystemTime::now() - FOREIGN * 2).unwrap();
        remove_abandoned(folder.path()).unwrap();
        assert!(!far.exists());
        remove_own(folder.path()).unwrap();
        assert!(!own.path().exists() && other.exists());
        remove_own(&folder.path().join("absent")).unwrap();
    }
}
