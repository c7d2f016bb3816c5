//! Files that are being fetched into the cache. Each is written under a name that belongs to one process, hashed
//! while it is written, and renamed when its size and hash are right.
//!
//! ```text
//! blobs/HASH.MACHINE-PID-START-N.part        a process writes it
//! blobs/HASH.free-MACHINE-PID-START-N.part   no process does: an earlier attempt failed, or it is being evicted
//! ```
//!
//! An unfinished file is taken over by renaming it, which only one process can do, and is hashed again from the disk,
//! so that nothing depends on a lock or a journal. A file is continued in place only if the process that began it is
//! known to have ended. A file of another machine is copied once it has not been written to for a while, because its
//! owner may still hold it open.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pythia_files::{Owner, rename_synced};

use super::digest::Hasher;
use super::layout::{self, Layout};
use super::{FileHash, RemoteFile, Repo};

const ENDING: &str = ".part";
const FREE: &str = "free-";
/// A file of another machine that was not written to for this long counts as abandoned. No connection may be silent
/// for that long.
const STALE: Duration = Duration::from_secs(30 * 60);

/// An unfinished file in the cache, by its name.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub(super) path: PathBuf,
    pub(super) hash: FileHash,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// The process that writes it; `None` for one that is free.
    owner: Option<Owner>,
}

impl Leftover {
    /// The unfinished file at a path, if it is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
        let (hash, maker) = name.split_once('.')?;
        let owner = match maker.strip_prefix(FREE) {
            Some(maker) => Owner::of_name(maker).map(|_| None)?,
            None => Some(Owner::of_name(maker)?),
        };
        let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Self { path: path.to_owned(), hash: hash.parse().ok()?, size: metadata.len(), modified, owner })
    }

    /// Whether certainly no process writes it, so that it may be continued in place.
    fn is_free(&self) -> bool {
        self.owner.as_ref().is_none_or(Owner::is_gone)
    }

    /// Whether no process is known to write it.
    pub(super) fn is_idle(&self) -> bool {
        let age = SystemTime::now().duration_since(self.modified).unwrap_or_default();
        let local = self.owner.as_ref().is_some_and(Owner::is_local);
        self.is_free() || (!local && age > STALE)
    }
}

/// The unfinished files in a folder of contents.
pub(super) fn leftovers(blobs: &Path) -> io::Result<Vec<Leftover>> {
    Ok(layout::entries(blobs)?.iter().filter_map(|path| Leftover::at(path)).collect())
}

/// The name of an unfinished or evicted file that any process may take over.
pub(super) fn free_name(blobs: &Path, hash: &FileHash) -> PathBuf {
    blobs.join(format!("{hash}.{FREE}{}{ENDING}", Owner::new_name()))
}

/// A file that this process writes.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) written: u64,
    hasher: Hasher,
    blobs: PathBuf,
    wanted: RemoteFile,
    /// Whether its name has been changed or removed already.
    settled: bool,
}

impl Partial {
    /// Continues what an earlier attempt left of the file, or creates a new one.
    pub(super) fn begin(layout: &Layout, repo: &Repo, wanted: &RemoteFile) -> io::Result<Self> {
        let blobs = layout.blobs(repo);
        fs::create_dir_all(&blobs)?;
        let mut found = leftovers(&blobs)?;
        found.retain(|left| left.hash == wanted.hash && left.is_idle());
        found.sort_by_key(|left| std::cmp::Reverse(left.size));
        for left in found {
            if let Some(partial) = Self::take_over(&blobs, wanted, &left)? {
                return Ok(partial);
            }
        }
        Self::create(&blobs, wanted)
    }

    fn create(blobs: &Path, wanted: &RemoteFile) -> io::Result<Self> {
        let path = own_name(blobs, &wanted.hash);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self::new(path, file, blobs, wanted))
    }

    fn new(path: PathBuf, file: File, blobs: &Path, wanted: &RemoteFile) -> Self {
        let hasher = Hasher::new(&wanted.hash, wanted.size);
        Self { path, file, written: 0, hasher, blobs: blobs.to_owned(), wanted: wanted.clone(), settled: false }
    }

    /// `None` if another process was faster, or if the file is too long to be a beginning.
    fn take_over(blobs: &Path, wanted: &RemoteFile, left: &Leftover) -> io::Result<Option<Self>> {
        let path = own_name(blobs, &wanted.hash);
        match fs::rename(&left.path, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed?,
        }
        let mut old = Self::new(path.clone(), open_plain(&path)?, blobs, wanted);
        if left.size > wanted.size {
            old.discard();
            return Ok(None);
        }
        if left.is_free() {
            let mut hasher = Hasher::new(&wanted.hash, wanted.size);
            old.written = hasher.update_from(&mut old.file)?;
            old.hasher = hasher;
            return Ok(Some(old));
        }
        let mut copy = Self::create(blobs, wanted)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match old.file.read(&mut buffer)? {
                read if read > 0 && copy.written + read as u64 <= wanted.size => copy.write(&buffer[..read])?,
                _ => break,
            }
        }
        old.discard();
        Ok(Some(copy))
    }

    /// Writes and hashes what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Removes the hasher, so that another thread can continue it; [`Partial::give_hasher`] returns it.
    pub(super) fn take_hasher(&mut self) -> Hasher {
        let fresh = Hasher::new(&self.wanted.hash, self.wanted.size);
        std::mem::replace(&mut self.hasher, fresh)
    }

    pub(super) fn give_hasher(&mut self, hasher: Hasher) {
        self.hasher = hasher;
    }

    /// Forgets everything that was written.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.written = 0;
        self.hasher = Hasher::new(&self.wanted.hash, self.wanted.size);
        Ok(())
    }

    /// The hash of what was written.
    pub(super) fn hash(&self) -> FileHash {
        self.hasher.clone().finish()
    }

    /// Gives the file its final name. The caller has checked size and hash. `before` runs when the content is on the
    /// disk and before the rename.
    pub(super) fn commit(mut self, before: impl FnOnce(&fs::Metadata) -> io::Result<()>) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        before(&self.file.metadata()?)?;
        let blob = self.blobs.join(self.wanted.hash.as_str());
        rename_synced(&self.file, &self.path, &blob)?;
        self.settled = true;
        Ok(blob)
    }

    /// Removes it.
    pub(super) fn discard(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.settled = true;
    }
}

impl Drop for Partial {
    /// An unfinished file stays for the next attempt of any process.
    fn drop(&mut self) {
        match (self.settled, self.written) {
            (true, _) => {}
            (false, 0) => self.discard(),
            (false, _) => drop(fs::rename(&self.path, free_name(&self.blobs, &self.wanted.hash))),
        }
    }
}

fn own_name(blobs: &Path, hash: &FileHash) -> PathBuf {
    blobs.join(format!("{hash}.{}{ENDING}", Owner::new_name()))
}

/// Opens a plain file. It does not follow links.
fn open_plain(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hash_of;
    use crate::testing::TempDir;

    const TEXT: &[u8] = b"the whole content";

    fn wanted(dir: &TempDir) -> RemoteFile {
        let like: FileHash = "a".repeat(64).parse().unwrap();
        let hash = hash_of(&dir.write("whole", TEXT), &like).unwrap();
        RemoteFile { name: "x".parse().unwrap(), size: TEXT.len() as u64, hash }
    }

    fn begin(dir: &TempDir) -> Partial {
        Partial::begin(&Layout::new(dir.path()), &"a/b".parse().unwrap(), &wanted(dir)).unwrap()
    }

    fn blobs(dir: &TempDir) -> Vec<PathBuf> {
        layout::entries(&dir.path().join("models--a--b/blobs")).unwrap()
    }

    /// An unfinished file of another process.
    fn leave(dir: &TempDir, maker: &str, bytes: &[u8]) -> PathBuf {
        dir.write(&format!("models--a--b/blobs/{}.{maker}.part", wanted(dir).hash), bytes)
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_whole() {
        let dir = TempDir::new();
        let mut partial = begin(&dir);
        partial.write(TEXT).unwrap();
        assert_eq!(partial.hash(), wanted(&dir).hash);
        let blob = partial.commit(|_| Ok(())).unwrap();
        assert_eq!((fs::read(&blob).unwrap(), blobs(&dir)), (TEXT.to_vec(), vec![blob]));
    }

    #[test]
    fn what_is_left_unfinished_is_continued_and_hashed_again() {
        let dir = TempDir::new();
        begin(&dir).write(&TEXT[..5]).unwrap();
        drop(begin(&dir));
        let mut partial = begin(&dir);
        assert_eq!(partial.written, 5);
        // Only one can continue it.
        assert_eq!(begin(&dir).written, 0);
        partial.write(&TEXT[5..]).unwrap();
        assert_eq!(partial.hash(), wanted(&dir).hash);
        partial.restart().unwrap();
        partial.write(TEXT).unwrap();
        assert_eq!(partial.hash(), wanted(&dir).hash);
        partial.discard();
        drop(partial);
        assert!(blobs(&dir).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unfinished_downloads_are_taken_over_only_from_processes_that_have_ended() {
        let dir = TempDir::new();
        let me = Owner::me().to_string();
        let (machine, rest) = me.split_once('-').unwrap();
        let (pid, _) = rest.split_once('-').unwrap();
        // The living: this process. It keeps its file.
        leave(&dir, &format!("{me}-99"), &TEXT[..3]);
        assert_eq!(begin(&dir).written, 0);
        // Of a process that has ended: the same number, another start. It is continued in place.
        leave(&dir, &format!("{machine}-{pid}-1-0"), &TEXT[..4]);
        let mut partial = begin(&dir);
        assert_eq!(partial.written, 4);
        partial.discard();
        // Of another machine: nothing is known of its process, so only an old file is taken over. It is copied, and
        // what its process may still write has no effect.
        let foreign = leave(&dir, &format!("{}-{pid}-1-0", "0".repeat(16)), &TEXT[..6]);
        assert_eq!(begin(&dir).written, 0);
        let owner = File::options().write(true).open(&foreign).unwrap();
        owner.set_modified(SystemTime::now() - STALE * 2).unwrap();
        let mut partial = begin(&dir);
        assert_eq!(partial.written, 6);
        (&owner).write_all(b"XXXXXX").unwrap();
        partial.write(&TEXT[6..]).unwrap();
        let blob = partial.commit(|_| Ok(())).unwrap();
        assert_eq!(fs::read(blob).unwrap(), TEXT);
    }

    #[test]
    fn what_cannot_be_a_beginning_is_not_continued() {
        let dir = TempDir::new();
        leave(&dir, &format!("free-{}-0", Owner::me()), &[TEXT, b"and more"].concat());
        assert_eq!(begin(&dir).written, 0);
        assert!(blobs(&dir).is_empty(), "more than the whole is worth nothing");
        let odd = leave(&dir, "free-somebody", TEXT);
        assert!(Leftover::at(&odd).is_none());
        #[cfg(unix)]
        {
            let link = odd.with_file_name(format!("{}.free-{}-1.part", wanted(&dir).hash, Owner::me()));
            std::os::unix::fs::symlink(dir.path().join("whole"), &link).unwrap();
            assert_eq!(begin(&dir).written, 0);
            assert_eq!(fs::read(dir.path().join("whole")).unwrap(), TEXT);
        }
    }
}
