//! The paths of the cache, and how files get there: a name appears only when its content is complete.
//!
//! ```text
//! CACHE/models--ORGANISATION--NAME/blobs/HASH                the contents
//!                                  snapshots/COMMIT/NAME     links to them
//!                                  refs/BRANCH               a commit
//! CACHE/.locks/models--ORGANISATION--NAME/HASH.lock          as other clients use them, not relied on
//! CACHE/.pythia/blobs/models--ORGANISATION--NAME/HASH.json   the store's own record of each content
//!               holds/  reservations/
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Commit, FileHash, RemoteName, Repo};

/// The layout of a cache.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn repo(&self, repo: &Repo) -> PathBuf {
        self.root.join(repo.folder())
    }

    pub(super) fn blobs(&self, repo: &Repo) -> PathBuf {
        self.repo(repo).join("blobs")
    }

    pub(super) fn blob(&self, repo: &Repo, hash: &FileHash) -> PathBuf {
        self.blobs(repo).join(hash.as_str())
    }

    pub(super) fn snapshots(&self, repo: &Repo) -> PathBuf {
        self.repo(repo).join("snapshots")
    }

    pub(super) fn snapshot(&self, repo: &Repo, commit: &Commit, name: &RemoteName) -> PathBuf {
        self.snapshots(repo).join(commit.as_str()).join(name.to_path())
    }

    pub(super) fn refs(&self, repo: &Repo) -> PathBuf {
        self.repo(repo).join("refs")
    }

    pub(super) fn lock(&self, repo: &Repo, hash: &FileHash) -> PathBuf {
        self.root.join(".locks").join(repo.folder()).join(format!("{hash}.lock"))
    }

    pub(super) fn records(&self, repo: &Repo) -> PathBuf {
        self.own().join("blobs").join(repo.folder())
    }

    pub(super) fn holds(&self) -> PathBuf {
        self.own().join("holds")
    }

    pub(super) fn reservations(&self) -> PathBuf {
        self.own().join("reservations")
    }

    /// The folder that only this store uses.
    fn own(&self) -> PathBuf {
        self.root.join(".pythia")
    }

    /// The repositories of models that have a folder in the cache, sorted.
    pub(super) fn repos(&self) -> io::Result<Vec<Repo>> {
        let folders = entries(&self.root)?;
        let names = folders.iter().filter_map(|path| path.file_name()?.to_str());
        let mut repos: Vec<Repo> = names.filter_map(repo_of).collect();
        repos.sort();
        Ok(repos)
    }
}

/// The repository of a folder's name.
pub(super) fn repo_of(folder: &str) -> Option<Repo> {
    let (organisation, name) = folder.strip_prefix("models--")?.split_once("--")?;
    format!("{organisation}/{name}").parse().ok()
}

/// The paths in a folder, unordered. A missing folder has none.
pub(super) fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

/// The beginning of a file, up to `max` bytes; `None` where there is no such file.
pub(super) fn read_small(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file?.take(max).read_to_end(&mut bytes).map(|_| Some(bytes)),
    }
}

/// Bytes of a file, all of them.
pub(super) fn read_at(path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let (mut bytes, length) = (Vec::new(), range.end - range.start);
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes a small file atomically.
pub(super) fn write_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    pythia_files::write_atomic(path, |file| file.write_all(bytes))
}

/// Removes a file if it exists. Returns whether it did.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Links the name in a snapshot to its content. The link is relative, as the Python client's links are. Systems
/// without links get a copy.
pub(super) fn link(blob: &Path, hash: &FileHash, snapshot: &Path, name: &RemoteName) -> io::Result<()> {
    let ups = "../".repeat(name.as_str().split('/').count() + 1);
    let target = PathBuf::from(format!("{ups}blobs/{hash}"));
    if fs::read_link(snapshot).is_ok_and(|found| found == target) {
        return Ok(());
    }
    pythia_files::replace_atomic(snapshot, |at| make_link(blob, &target, at))
}

#[cfg(unix)]
fn make_link(_: &Path, target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn make_link(blob: &Path, _: &Path, at: &Path) -> io::Result<()> {
    fs::copy(blob, at).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn folders_name_repositories() {
        let repo: Repo = "EleutherAI/pythia-70m".parse().unwrap();
        assert_eq!(repo_of(&repo.folder()), Some(repo));
        for folder in ["models--gpt2", "datasets--a--b", "models--a--b--c", ".locks", "models--..--x"] {
            assert_eq!(repo_of(folder), None, "{folder}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_relative_and_replace_what_stood_there() {
        let dir = TempDir::new();
        let layout = Layout::new(dir.path());
        let (repo, commit) = ("a/b".parse().unwrap(), "c".repeat(40).parse().unwrap());
        let hash: FileHash = "d".repeat(64).parse().unwrap();
        let blob = layout.blob(&repo, &hash);
        dir.write(&format!("models--a--b/blobs/{hash}"), "content");
        for name in ["x", "in/side/x"] {
            let name: RemoteName = name.parse().unwrap();
            let snapshot = layout.snapshot(&repo, &commit, &name);
            link(&blob, &hash, &snapshot, &name).unwrap();
            assert_eq!(fs::read(&snapshot).unwrap(), b"content");
            assert!(fs::read_link(&snapshot).unwrap().is_relative());
            fs::remove_file(&snapshot).unwrap();
            fs::write(&snapshot, "something else").unwrap();
            link(&blob, &hash, &snapshot, &name).unwrap();
            link(&blob, &hash, &snapshot, &name).unwrap();
            assert_eq!(fs::read(&snapshot).unwrap(), b"content");
            assert_eq!(entries(snapshot.parent().unwrap()).unwrap().iter().filter(|path| path.is_file()).count(), 1);
        }
    }
}
