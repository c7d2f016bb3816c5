//! A mock hub with a cache for one test, and the invariants that hold after every fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pythia_hub::{Commit, FileHash, Hub, HubError, RemoteFile, Repo, Settings};

use super::{Body, MockFile, MockHub, MockRepo, QuickClock};
use crate::paths;

/// Bytes of the weights: several buffers, and not a round number of them.
pub const WEIGHTS: u64 = 3 * (1 << 20) + 12_345;

/// A hub with one model, and a cache in a folder of its own.
pub struct HubSetup {
    /// Server that the cache is filled from.
    pub mock: MockHub,
    /// Everything on disk; the cache is one of its folders.
    pub dir: PathBuf,
    /// The clock of [`HubSetup::hub`].
    pub clock: QuickClock,
    /// What lay beside the cache at the beginning.
    outside: BTreeMap<PathBuf, Vec<u8>>,
}

impl HubSetup {
    /// The model of all tests, `org/model`, with branches step0 and step1.
    pub fn new(test: &str) -> Self {
        Self::with(test, vec![model()])
    }

    /// A hub with these repositories.
    pub fn with(test: &str, repos: Vec<MockRepo>) -> Self {
        let dir = paths::scratch(test);
        fs::write(dir.join("precious"), "must not change").expect("a file can be written");
        let outside = beside(&dir);
        Self { mock: MockHub::start(repos), dir, clock: QuickClock::default(), outside }
    }

    /// Root of the cache.
    pub fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// Settings for the mock hub and the cache.
    pub fn settings(&self) -> Settings {
        Settings::new(self.mock.endpoint().parse().expect("an address"), self.cache())
    }

    /// A client that does not wait.
    pub fn hub(&self) -> Hub {
        self.hub_with(self.settings())
    }

    /// A client with these settings that does not wait.
    pub fn hub_with(&self, settings: Settings) -> Hub {
        Hub::with_clock(settings, Box::new(self.clock.clone()))
    }

    /// A process with a client of its own: the helper with these arguments.
    pub fn command(&self, helper: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(helper);
        command.args(arguments).env_clear().env("HF_ENDPOINT", self.mock.endpoint());
        command.env("HF_HUB_CACHE", self.cache()).env("HOME", &self.dir);
        command
    }

    /// Fetches the weights of step0 with a client that does not wait.
    pub fn fetch(&self) -> Result<PathBuf, HubError> {
        self.hub().fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ())
    }

    /// Fails unless every content in the cache is what its name says, and nothing outside has changed.
    pub fn assert_clean(&self) {
        for (path, bytes) in contents(&self.cache()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.parent().is_some_and(|dir| dir.ends_with("blobs"))
                && !name.ends_with(".part")
                && path.starts_with("models--org--model")
            {
                let found = Body::Bytes(bytes);
                let hash = if name.len() == 64 { found.sha256() } else { found.git_sha1() };
                assert_eq!(hash, name, "bad content was kept");
            }
        }
        assert_eq!(beside(&self.dir), self.outside, "something was written outside the cache");
    }

    /// How many unfinished files lie in the cache.
    pub fn unfinished(&self) -> usize {
        contents(&self.cache()).keys().filter(|path| path.to_string_lossy().ends_with(".part")).count()
    }

    /// How many contents lie in the cache.
    pub fn blobs(&self) -> usize {
        let is_blob = |path: &&PathBuf| {
            path.parent().is_some_and(|dir| dir.ends_with("blobs")) && path.starts_with("models--org--model")
        };
        contents(&self.cache()).keys().filter(is_blob).count() - self.unfinished()
    }
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if dir.exists() { paths::contents(dir) } else { BTreeMap::new() }
}

fn beside(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    contents(dir).into_iter().filter(|(path, _)| !path.starts_with("cache")).collect()
}

/// The repository of all tests.
pub fn repo() -> Repo {
    "org/model".parse().expect("a name")
}

/// The commit of a branch of [`repo`] that nobody moved.
pub fn commit(branch: &str) -> Commit {
    super::commit_of("org/model", branch).parse().expect("a commit")
}

/// The weights of a branch, as the hub lists them.
pub fn weights(branch: &str) -> RemoteFile {
    listed(&MockFile::new("model.safetensors", weights_body(branch)))
}

/// A file as the hub lists it.
pub fn listed(file: &MockFile) -> RemoteFile {
    let hash: FileHash = file.oid.parse().expect("a hash");
    RemoteFile { name: file.name.parse().expect("a name"), size: file.size, hash }
}

/// The weights of a branch.
pub fn weights_body(branch: &str) -> Body {
    Body::Pattern { seed: branch.len() as u64 * 1000 + u64::from(branch.as_bytes()[branch.len() - 1]), size: WEIGHTS }
}

/// The files of a branch.
pub fn files(branch: &str) -> Vec<MockFile> {
    vec![
        MockFile::new("config.json", Body::Bytes(b"{\"hidden_size\": 8}".to_vec())),
        MockFile::new("model.safetensors", weights_body(branch)),
        MockFile::new("tokenizer.json", Body::Bytes(b"{}".to_vec())),
    ]
}

fn model() -> MockRepo {
    MockRepo::new("org/model").branch("step0", files("step0")).branch("step1", files("step1"))
}
