//! The state of a cache at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::notes::{self, Note, Used};
use super::{Cached, Entry};
use crate::layout::{self, Layout};
use crate::partial::{Leftover, leftovers};
use crate::records::{Record, Records};
use crate::{Commit, FileHash, RemoteName, Repo};

/// The deepest nesting of folders in a snapshot that is read.
const MAX_DEPTH: usize = 8;

/// One content of a repository.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) size: u64,
    pub(super) ours: bool,
    pub(super) verified: bool,
    pub(super) used: Option<SystemTime>,
}

/// A link of a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: RemoteName,
    pub(super) hash: FileHash,
}

/// A repository in the cache.
#[derive(Clone, Debug)]
pub(super) struct RepoContents {
    pub(super) repo: Repo,
    pub(super) blobs: BTreeMap<FileHash, Blob>,
    pub(super) snapshots: BTreeMap<Commit, Vec<Link>>,
    pub(super) leftovers: Vec<Leftover>,
}

/// The state of a cache.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) repos: Vec<RepoContents>,
    pub(super) used: BTreeSet<Used>,
    /// Bytes that others reserved, and bytes that the caller reserved.
    pub(super) reserved: (u64, u64),
}

impl Scan {
    pub(super) fn of(layout: &Layout, own: Option<&Note>) -> io::Result<Self> {
        let repos =
            layout.repos()?.into_iter().map(|repo| RepoContents::of(layout, repo)).collect::<io::Result<_>>()?;
        let (used, reserved) = (notes::used(&layout.holds())?, notes::reserved(&layout.reservations(), own)?);
        Ok(Self { repos, used, reserved })
    }

    /// Whether a process uses a commit.
    pub(super) fn is_held(&self, repo: &Repo, commit: &Commit) -> bool {
        self.used.iter().any(|used| used.repo == *repo && used.commit == *commit)
    }

    /// Whether a process uses a content.
    pub(super) fn is_used(&self, repo: &Repo, hash: &FileHash) -> bool {
        self.used.iter().any(|used| used.repo == *repo && used.hash == *hash)
    }

    /// Bytes of the contents for which `wanted` holds.
    pub(super) fn bytes(&self, wanted: impl Fn(&RepoContents, &FileHash, &Blob) -> bool) -> u64 {
        let of = |contents: &RepoContents| -> u64 {
            let wanted = contents.blobs.iter().filter(|(hash, blob)| wanted(contents, hash, blob));
            wanted.map(|(_, blob)| blob.size).sum()
        };
        self.repos.iter().map(of).sum()
    }

    /// Bytes of the unfinished files that are idle, or of those that a process writes.
    pub(super) fn unfinished(&self, idle: bool) -> u64 {
        let all = self.repos.iter().flat_map(|contents| &contents.leftovers);
        all.filter(|left| left.is_idle() == idle).map(|left| left.size).sum()
    }
}

impl RepoContents {
    fn of(layout: &Layout, repo: Repo) -> io::Result<Self> {
        let (mut blobs, records) = (BTreeMap::new(), Records(layout));
        for path in layout::entries(&layout.blobs(&repo))? {
            let Some(hash) = name_of(&path) else { continue };
            // The file may have been removed in the meantime.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let record = records.read(&repo, &hash);
            let verified = record.as_ref().is_some_and(|record: &Record| record.holds_for(&metadata));
            let ours = record.is_some_and(|record| record.ours);
            let blob = Blob { size: metadata.len(), ours, verified, used: records.used(&repo, &hash) };
            blobs.insert(hash, blob);
        }
        let mut snapshots = BTreeMap::new();
        for path in layout::entries(&layout.snapshots(&repo))? {
            let Some(commit) = name_of::<Commit>(&path) else { continue };
            snapshots.insert(commit, links_in(&path)?);
        }
        let leftovers = leftovers(&layout.blobs(&repo))?;
        let mut contents = Self { repo, blobs, snapshots, leftovers };
        contents.add_missing(records);
        Ok(contents)
    }

    /// Contents that this store fetched and that are missing while links still point to them, because an eviction was
    /// killed. They have no bytes; evicting them removes the links.
    fn add_missing(&mut self, records: Records) {
        for link in self
            .snapshots
            .values()
            .flatten()
            .filter(|link| !self.blobs.contains_key(&link.hash))
            .cloned()
            .collect::<Vec<_>>()
        {
            if records.read(&self.repo, &link.hash).is_some_and(|record| record.ours) {
                let used = records.used(&self.repo, &link.hash);
                self.blobs.insert(link.hash, Blob { size: 0, ours: true, verified: false, used });
            }
        }
    }

    /// Whether another commit than this one links to a content.
    pub(super) fn is_shared(&self, commit: Option<&Commit>, hash: &FileHash) -> bool {
        let others = self.snapshots.iter().filter(|(other, _)| Some(*other) != commit);
        others.flat_map(|(_, links)| links).any(|link| link.hash == *hash)
    }

    /// The contents that no snapshot links to.
    pub(super) fn orphans(&self) -> Vec<FileHash> {
        let linked: BTreeSet<&FileHash> = self.snapshots.values().flatten().map(|link| &link.hash).collect();
        self.blobs.keys().filter(|hash| !linked.contains(hash)).cloned().collect()
    }

    /// The entries of this repository: its commits, then the content without one.
    pub(super) fn entries(&self, scan: &Scan, branches: &BTreeMap<Commit, Vec<String>>) -> Vec<Entry> {
        let of = |(commit, links): (&Commit, &Vec<Link>)| {
            let files = links.iter().filter_map(|link| self.cached(Some(&link.name), &link.hash)).collect();
            let held = scan.is_held(&self.repo, commit);
            self.entry(Some(commit.clone()), branches.get(commit).cloned().unwrap_or_default(), files, held)
        };
        let orphan = |hash: FileHash| {
            let held = scan.is_used(&self.repo, &hash);
            self.entry(None, Vec::new(), self.cached(None, &hash).into_iter().collect(), held)
        };
        self.snapshots.iter().map(of).chain(self.orphans().into_iter().map(orphan)).collect()
    }

    fn entry(&self, commit: Option<Commit>, branches: Vec<String>, files: Vec<Cached>, held: bool) -> Entry {
        // A file that many commits share, such as the tokenizer, is used whenever one of them is. So the file whose
        // last use is the longest ago tells when this commit was used.
        let used = files.iter().filter_map(|file| self.blobs.get(&file.hash)?.used);
        Entry { repo: self.repo.clone(), commit, branches, last_used: used.min(), files, held }
    }

    fn cached(&self, name: Option<&RemoteName>, hash: &FileHash) -> Option<Cached> {
        let Blob { size, ours, verified, .. } = *self.blobs.get(hash)?;
        Some(Cached { name: name.cloned(), hash: hash.clone(), size, ours, verified })
    }
}

/// The branches in the cache by their commits.
pub(super) fn branches(layout: &Layout, repo: &Repo) -> io::Result<BTreeMap<Commit, Vec<String>>> {
    let mut branches: BTreeMap<Commit, Vec<String>> = BTreeMap::new();
    for (path, name) in files_below(&layout.refs(repo))? {
        let text = layout::read_small(&path, 64)?.unwrap_or_default();
        let commit = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
        if let Some(commit) = commit {
            branches.entry(commit).or_default().push(name);
        }
    }
    branches.values_mut().for_each(|names| names.sort());
    Ok(branches)
}

/// Files in a folder and in its subfolders down to [`MAX_DEPTH`], with their names relative to it.
pub(super) fn files_below(dir: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    collect(dir, "", MAX_DEPTH, &mut files)?;
    Ok(files)
}

/// Adds the files in a folder and `depth` levels below it. Their names begin with `prefix`.
fn collect(dir: &Path, prefix: &str, depth: usize, files: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    for path in layout::entries(dir)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(|name| format!("{prefix}{name}")) else {
            continue;
        };
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => collect(&path, &format!("{name}/"), depth - 1, files)?,
            Ok(metadata) if !metadata.is_dir() => files.push((path, name)),
            _ => {}
        }
    }
    Ok(())
}

/// The links of a snapshot to contents, sorted by name.
fn links_in(snapshot: &Path) -> io::Result<Vec<Link>> {
    let link = |(path, name): (PathBuf, String)| {
        let hash = name_of(&fs::read_link(path).ok()?)?;
        Some(Link { name: name.parse().ok()?, hash })
    };
    let mut links: Vec<Link> = files_below(snapshot)?.into_iter().filter_map(link).collect();
    links.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(links)
}

/// The last part of a path, if it is a clean one of its kind.
pub(super) fn name_of<T: std::str::FromStr>(path: &Path) -> Option<T> {
    path.file_name()?.to_str()?.parse().ok()
}
