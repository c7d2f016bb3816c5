//! How something leaves the cache.
//!
//! A content first loses its name, then it is looked once more whether somebody has begun to use it, and only then it goes. Who
//! begins to use something leaves a note first and then looks whether it is still there. So one of the two always sees the other: either the
//! content gets its name back, or its user learns that it is gone. What a kill leaves in between is an unfinished file that is
//! whole, which the next fetch of the same content finds and needs no connection for.

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

/// What may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// What this store fetched.
    Ours,
    /// Everything.
    Anybodys,
}

/// The contents that go when an entry does: those that may, that nobody uses and no other commit needs.
fn goes(scan: &Scan, contents: &RepoContents, entry: &Entry, whose: Whose) -> Vec<(FileHash, u64)> {
    let goes = |hash: &FileHash, ours: bool| {
        let may = ours || whose == Whose::Anybodys;
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

/// Removes an entry: its contents, its links to what may go, its folder and its branches where nothing is left.
pub(super) fn evict(
    layout: &Layout,
    scan: &Scan,
    contents: &RepoContents,
    entry: &Entry,
    whose: Whose,
) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    for (hash, size) in goes(scan, contents, entry, whose) {
        if remove_blob(layout, &contents.repo, entry.commit.as_ref(), &hash)? {
            pruned = Pruned { files: pruned.files + 1, bytes: pruned.bytes + size };
        }
    }
    if let Some(commit) = &entry.commit {
        // Contents that others share stay; this commit's links to them go, so that no half of a checkpoint remains.
        for file in entry.files.iter().filter(|file| file.ours || whose == Whose::Anybodys) {
            let stays =
                layout.blob(&contents.repo, &file.hash).exists() && !contents.is_shared(Some(commit), &file.hash);
            if let Some(name) = file.name.as_ref().filter(|_| !stays) {
                layout::remove(&layout.snapshot(&contents.repo, commit, name))?;
            }
        }
        remove_commit(layout, &contents.repo, commit)?;
    }
    Ok(pruned)
}

/// Removes a content and its links; `false` when somebody has begun to use it.
fn remove_blob(layout: &Layout, repo: &Repo, commit: Option<&Commit>, hash: &FileHash) -> io::Result<bool> {
    let (blob, leaving) = (layout.blob(repo, hash), free_name(&layout.blobs(repo), hash));
    match fs::rename(&blob, &leaving) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    if notes::used(&layout.holds())?.iter().any(|used| used.repo == *repo && used.hash == *hash) {
        // A content that was gone already has no name to get back.
        let _ = fs::rename(&leaving, &blob);
        return Ok(false);
    }
    if let Some(commit) = commit {
        let dir = layout.snapshots(repo).join(commit.as_str());
        for (link, _) in files_below(&dir, "", 8)? {
            if fs::read_link(&link).is_ok_and(|target| target.ends_with(hash.as_str())) {
                layout::remove(&link)?;
            }
        }
    }
    // The record first: whoever takes the content over from here on writes a record of its own.
    Records(layout).forget(repo, hash)?;
    layout::remove(&leaving)?;
    Ok(true)
}

/// Removes the folder of a commit if nothing is in it any more, and then the branches that lead to it: a branch that leads nowhere
/// makes the whole repository unreadable for the Python client's list of the cache.
fn remove_commit(layout: &Layout, repo: &Repo, commit: &Commit) -> io::Result<()> {
    let dir = layout.snapshots(repo).join(commit.as_str());
    remove_folders(&dir);
    if dir.exists() {
        return Ok(());
    }
    for branch in branches(layout, repo)?.remove(commit).unwrap_or_default() {
        layout::remove(&layout.refs(repo).join(branch))?;
    }
    Ok(())
}

/// Removes a folder and those in it, if they hold nothing but what the dead did not finish.
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
