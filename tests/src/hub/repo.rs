//! Repositories that the hub serves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use sha1::{Digest, Sha1};

use super::Body;

/// A file of a commit, and what the hub claims about it.
#[derive(Clone, Debug)]
pub struct MockFile {
    /// Its name, which may be hostile.
    pub name: String,
    /// What the hub serves.
    pub body: Body,
    /// The size that the hub lists.
    pub size: u64,
    /// The hash that the hub lists: of large storage if it has 64 digits, else git's.
    pub oid: String,
}

impl MockFile {
    /// A file that is listed as it is: weights with their SHA-256, served by the second server, others with git's hash.
    pub fn new(name: &str, body: Body) -> Self {
        let large = [".safetensors", ".bin"].iter().any(|ending| name.ends_with(ending));
        let oid = if large { body.sha256() } else { body.git_sha1() };
        Self { name: name.to_owned(), size: body.size(), oid, body }
    }

    /// Whether it is served from the second server.
    pub fn is_large(&self) -> bool {
        self.oid.len() == 64
    }
}

/// A model repository as the mock hub serves it.
#[derive(Clone, Debug, Default)]
pub struct MockRepo {
    /// `ORGANISATION/NAME`.
    pub name: String,
    /// Branch → commit.
    pub branches: BTreeMap<String, String>,
    /// Commit → files.
    pub commits: BTreeMap<String, Vec<MockFile>>,
}

impl MockRepo {
    /// A repository without branches.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds a branch with these files. Its commit follows from the names of the repository and the branch.
    pub fn branch(mut self, branch: &str, files: Vec<MockFile>) -> Self {
        let commit = commit_of(&self.name, branch);
        self.branches.insert(branch.to_owned(), commit.clone());
        self.commits.insert(commit, files);
        self
    }

    /// The folders of `dir` as branches with the files in them, without subfolders. Files beside the folders, such as
    /// a tokenizer, belong to every branch.
    pub fn from_folder(name: &str, dir: &Path) -> io::Result<Self> {
        let mut repo = Self::new(name);
        let common = files_in(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                let branch = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let files = [files_in(&path)?, common.clone()].concat();
                repo = repo.branch(&branch, files);
            }
        }
        Ok(repo)
    }
}

fn files_in(dir: &Path) -> io::Result<Vec<MockFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(MockFile::new(&name, Body::file(&path)?));
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The commit of a branch that nobody moved.
pub fn commit_of(repo: &str, branch: &str) -> String {
    Sha1::digest(format!("{repo}@{branch}")).iter().map(|byte| format!("{byte:02x}")).collect()
}
