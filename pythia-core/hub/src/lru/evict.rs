//! Removing content from the cache.
//!
//! Eviction renames a content, checks once more whether a process has begun to use it, and only then removes it. A
//! process that begins to use a content writes a note first and then checks that the content is still there. So at
//! least one of the two notices the other: either the content is renamed back, or its user gets an error. A kill in
//! between leaves a complete file under the name of an unfinished one, which the next fetch of the same content takes
//! over without a connection.

use std::fs;
use std::io;
use std::path::Path;

use super::notes;
use super::scan::{RepoContents, Scan, branches, files_below};
use super::{Entry, Pruned};
use crate::layout::{self, Layout};
use crate::partial::free_name;
use crate::records::Records;
use crate::{Commit, FileHash, Repo};

/// Which content may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evictable {
    /// Content that this store fetched.
    Ours,
    /// All content.
    All,
}

/// The contents that are removed with an entry: those that may be removed, that no process uses and no other commit
/// links to.
fn goes(scan: &Scan, contents: &RepoContents, entry: &Entry, evictable: Evictable) -> Vec<(FileHash, u64)> {
    let goes = |hash: &FileHash, ours: bool| {
        let may = ours || evictable == Evictable::All;
        may && !scan.is_used(&contents.repo, hash) && !contents.is_shared(entry.commit.as_ref(), hash)
    };
    let mut going: Vec<(FileHash, u64)> = entry
        .files
        .iter()
        .filter(|file| goes(&file.hash, file.ours))
        .map(|file| (file.hash.clone(), file.size))
        .collect();
    going.sort();
    // One commit may have the same content under two names.
    going.dedup();
    going
}

/// Removes an entry: its contents, its links to them, and its folder and branches if nothing is left.
pub(super) fn evict(
    layout: &Layout,
    scan: &Scan,
    contents: &RepoContents,
    entry: &Entry,
    evictable: Evictable,
) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    for (hash, size) in goes(scan, contents, entry, evictable) {
        if remove_blob(layout, &contents.repo, entry.commit.as_ref(), &hash)? {
            pruned = Pruned { files: pruned.files + 1, bytes: pruned.bytes + size };
        }
    }
    if let Some(commit) = &entry.commit {
        // Contents that other commits share stay. The links of this commit to them are removed, so that no incomplete
        // checkpoint remains.
        for file in entry.files.iter().filter(|file| file.ours || evictable == Evictable::All) {
            let stays =
                layout.blob(&contents.repo, &file.hash).try_exists()? && !contents.is_shared(Some(commit), &file.hash);
            if let Some(name) = file.name.as_ref().filter(|_| !stays) {
                layout::remove(&layout.snapshot(&contents.repo, commit, name))?;
            }
        }
        remove_commit(layout, &contents.repo, commit)?;
    }
    Ok(pruned)
}

/// Removes a content and its links; `false` if a process has begun to use it.
fn remove_blob(layout: &Layout, repo: &Repo, commit: Option<&Commit>, hash: &FileHash) -> io::Result<bool> {
    let (blob, leaving) = (layout.blob(repo, hash), free_name(&layout.blobs(repo), hash));
    match fs::rename(&blob, &leaving) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    if notes::used(&layout.holds())?.iter().any(|used| used.repo == *repo && used.hash == *hash) {
        // A content that was missing already need not be renamed back.
        let _ = fs::rename(&leaving, &blob);
        return Ok(false);
    }
    if let Some(commit) = commit {
        let dir = layout.snapshots(repo).join(commit.as_str());
        for (link, _) in files_below(&dir)? {
            if fs::read_link(&link).is_ok_and(|target| target.ends_with(hash.as_str())) {
                layout::remove(&link)?;
            }
        }
    }
    // The record is removed first: a process that takes the content over from now on writes its own.
    Records(layout).forget(repo, hash)?;
    layout::remove(&leaving)?;
    Ok(true)
}

/// Removes the folder of a commit if it is empty, and then the branches that point to it: the Python client cannot
/// list a repository that has a branch without its commit.
fn remove_commit(layout: &Layout, repo: &Repo, commit: &Commit) -> io::Result<()> {
    let dir = layout.snapshots(repo).join(commit.as_str());
    remove_folders(&dir);
    if dir.try_exists()? {
        return Ok(());
    }
    for branch in branches(layout, repo)?.remove(commit).unwrap_or_default() {
        layout::remove(&layout.refs(repo).join(branch))?;
    }
    Ok(())
}

/// Removes a folder and its subfolders if they contain only temporary files of processes that have ended.
fn remove_folders(dir: &Path) {
    for path in layout::entries(dir).unwrap_or_default() {
        if path.is_dir() && !path.is_symlink() {
            remove_folders(&path);
        } else if pythia_files::is_abandoned(&path) {
            let _ = fs::remove_file(&path);
        }
    }
    let _ = fs::remove_dir(dir);
}
