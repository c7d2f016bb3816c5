//! Notes in the cache by which processes tell each other what they use and how many bytes they reserve. A note is a
//! small file with its owner in its name. Notes of processes that have ended are ignored and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pythia_files::Owner;
use serde::{Deserialize, Serialize};

use crate::layout;
use crate::{Commit, FileHash, Repo};

/// Whether a process of another machine still runs is unknown. No checkpoint is in use for longer than this.
const FOREIGN: Duration = Duration::from_secs(24 * 60 * 60);
/// A note lists the few files of a checkpoint, so one of more than 16 MiB is invalid.
const MAX_NOTE: u64 = 16 << 20;

/// One file in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) repo: Repo,
    pub(super) commit: Commit,
    pub(super) hash: FileHash,
}

/// A note of this process, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
}

impl Note {
    /// Writes a note in a folder.
    pub(super) fn leave(dir: &Path, text: &[u8]) -> io::Result<Self> {
        let note = Self { path: dir.join(Owner::new_name()) };
        note.rewrite(text)?;
        Ok(note)
    }

    /// Replaces the text of the note.
    pub(super) fn rewrite(&self, text: &[u8]) -> io::Result<()> {
        layout::write_small(&self.path, text)
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The notes of running processes in a folder, with their texts.
fn notes(dir: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut notes = Vec::new();
    for path in layout::entries(dir)? {
        let Some(owner) = path.file_name().and_then(|name| Owner::of_name(name.to_str()?)) else { continue };
        if owner.has_abandoned(&path, FOREIGN) {
            let _ = fs::remove_file(&path);
        } else if let Some(text) = layout::read_small(&path, MAX_NOTE)? {
            notes.push((path, text));
        }
    }
    Ok(notes)
}

/// The files that any process uses now.
pub(super) fn used(dir: &Path) -> io::Result<BTreeSet<Used>> {
    let lists = notes(dir)?.into_iter();
    Ok(lists.flat_map(|(_, text)| serde_json::from_slice::<Vec<Used>>(&text).unwrap_or_default()).collect())
}

/// The bytes that other notes reserve, and those of `own`.
pub(super) fn reserved(dir: &Path, own: Option<&Note>) -> io::Result<(u64, u64)> {
    let (mut others, mut mine) = (0u64, 0u64);
    for (path, text) in notes(dir)? {
        let bytes = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let sum = if own.is_some_and(|note| note.is_at(&path)) { &mut mine } else { &mut others };
        *sum = sum.saturating_add(bytes);
    }
    Ok((others, mine))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn notes_of_running_processes_count_until_dropped() {
        let dir = TempDir::new();
        let at = dir.path().join("notes");
        let own = Note::leave(&at, b"5").unwrap();
        let other = Note::leave(&at, b"7").unwrap();
        assert_eq!(reserved(&at, Some(&own)).unwrap(), (7, 5));
        own.rewrite(b"4").unwrap();
        drop(other);
        assert_eq!(reserved(&at, None).unwrap(), (4, 0));
        dir.write("notes/what-is-this", "9");
        dir.write(&format!("notes/{}", Owner::new_name()), "nonsense");
        assert_eq!(reserved(&at, None).unwrap(), (4, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn notes_of_ended_processes_are_removed() {
        let dir = TempDir::new();
        let (me, at) = (Owner::me().to_string(), dir.path());
        let parts: Vec<&str> = me.split('-').collect();
        let dead = dir.write(&format!("{}-{}-1-0", parts[0], parts[1]), "9");
        let far = dir.write(&format!("{}-{}-1-0", "0".repeat(16), parts[1]), "11");
        assert_eq!(reserved(at, None).unwrap(), (11, 0));
        assert!(!dead.exists());
        let file = fs::File::options().write(true).open(&far).unwrap();
        file.set_modified(SystemTime::now() - FOREIGN * 2).unwrap();
        assert_eq!(reserved(at, None).unwrap(), (0, 0));
    }
}
