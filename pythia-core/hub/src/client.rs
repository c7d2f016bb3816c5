//! The client of the hub.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::clock::{Clock, SystemClock};
use super::fetch::{Job, at};
use super::http::Http;
use super::layout::{self, Layout};
use super::retry::AttemptError;
use super::{AnswerProblem, Commit, HubError, RemoteFile, RemoteName, Repo, Settings, listing};

/// No list of the suite has more than 200 kB.
const MAX_LIST: u64 = 16 << 20;
/// A page has up to 1,000 files.
const MAX_PAGES: usize = 100;
/// The longest range that is read: four times the largest tensor of the suite.
const MAX_RANGE: u64 = 2 << 30;

/// A client of the hub. It is cheap to create, and threads may share one.
///
/// ```no_run
/// use pythia_hub::{Endpoint, Hub, Settings};
///
/// let hub = Hub::new(Settings::new(Endpoint::default(), "cache".into()));
/// let repo = "EleutherAI/pythia-70m".parse()?;
/// let commit = &hub.branches(&repo)?["step512"];
/// for file in hub.files(&repo, commit)? {
///     let path = hub.fetch(&repo, commit, &file, &|arrived| println!("{arrived} bytes more"))?;
///     println!("{}", path.display());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hub {
    http: Http,
    layout: Layout,
}

impl Hub {
    /// A client with these settings. Opens no connection.
    pub fn new(settings: Settings) -> Self {
        Self::with_clock(settings, Box::new(SystemClock::default()))
    }

    /// The same with another clock.
    pub fn with_clock(settings: Settings, clock: Box<dyn Clock>) -> Self {
        let layout = Layout::new(&settings.cache);
        Self { http: Http::new(settings, clock), layout }
    }

    /// The settings of this client.
    pub fn settings(&self) -> &Settings {
        self.http.settings()
    }

    /// Reads the variables that connections need, so that one that cannot be used is known before the first request.
    ///
    /// # Errors
    /// [`HubError::Settings`].
    pub fn check_settings(&self) -> Result<(), HubError> {
        if self.settings().offline { Ok(()) } else { self.http.check_settings() }
    }

    /// Root of the cache.
    pub fn cache(&self) -> &Path {
        self.layout.root()
    }

    /// Makes every call that is under way, and every later one, end with [`HubError::Stopped`]; bytes that arrived are
    /// kept for the next time. A thread that handles signals calls this.
    pub fn stop(&self) {
        self.http.stop();
    }

    /// The branches of a repository and the commit each is now. Branches whose names could not be file names are left
    /// out.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn branches(&self, repo: &Repo) -> Result<BTreeMap<String, Commit>, HubError> {
        let url = self.http.connection()?.endpoint.url(&format!("/api/models/{repo}/refs"));
        let (text, _) = self.http.small(&url, MAX_LIST)?;
        listing::branches(&text).map_err(|problem| HubError::Answer { url: url.shown(), problem })
    }

    /// The files of a commit, sorted by name.
    ///
    /// # Errors
    /// [`HubError`]; [`HubError::Answer`] when any file has a name or hash that is not clean.
    pub fn files(&self, repo: &Repo, commit: &Commit) -> Result<Vec<RemoteFile>, HubError> {
        let tree = self.http.connection()?.endpoint.url(&format!("/api/models/{repo}/tree/{commit}"));
        let first = tree.with_query("recursive=true");
        let bad = |problem| HubError::Answer { url: first.shown(), problem };
        let (mut url, mut files) = (first.clone(), BTreeMap::new());
        for _ in 0..MAX_PAGES {
            let (text, link) = self.http.small(&url, MAX_LIST)?;
            listing::add_files(&text, &mut files).map_err(bad)?;
            match link.as_deref().and_then(listing::next_page) {
                Some(query) => url = first.with_query(query),
                None => return Ok(files.into_values().collect()),
            }
        }
        Err(bad(AnswerProblem::TooManyPages { max: MAX_PAGES }))
    }

    /// The file in the cache, fetched and verified if it is not there, under `snapshots/COMMIT/`. `watch` is called
    /// with the number of new bytes whenever some arrive; bytes that the cache had already do not count. A file in
    /// the cache needs no connection and works offline.
    ///
    /// # Errors
    /// [`HubError`]. On every error the cache contains no content that differs from what `file` says.
    pub fn fetch(
        &self,
        repo: &Repo,
        commit: &Commit,
        file: &RemoteFile,
        watch: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, HubError> {
        self.job(repo, commit, file).run(watch)
    }

    /// The path at which [`Hub::fetch`] puts a file. The file need not exist.
    pub fn snapshot_path(&self, repo: &Repo, commit: &Commit, file: &RemoteFile) -> PathBuf {
        self.layout.snapshot(repo, commit, &file.name)
    }

    /// Whether the cache holds content of this name and size, so that [`Hub::fetch`] would need no connection. Cheap:
    /// nothing is hashed.
    pub fn has(&self, repo: &Repo, commit: &Commit, file: &RemoteFile) -> bool {
        self.job(repo, commit, file).seems_present()
    }

    /// The bytes `range` of a file, from the cache if it has the file, else from the hub. The hub publishes no hashes
    /// of parts, so bytes from the hub are not checked.
    ///
    /// # Errors
    /// [`HubError`]; [`HubError::Range`] for a range beyond the end of the file or longer than 2 GiB.
    pub fn read_range(
        &self,
        repo: &Repo,
        commit: &Commit,
        file: &RemoteFile,
        range: Range<u64>,
    ) -> Result<Vec<u8>, HubError> {
        let Range { start, end } = range;
        let refused = |why| HubError::Range { name: file.name.clone(), start, end, why };
        if start > end || end > file.size {
            return Err(refused("it does not lie within the file"));
        }
        if end - start > MAX_RANGE {
            return Err(refused("it is longer than 2 GiB"));
        }
        let job = self.job(repo, commit, file);
        match job.present()? {
            _ if start == end => Ok(Vec::new()),
            Some(blob) => layout::read_at(&blob, start..end).map_err(|source| at(&blob, source)),
            None => self.ask_range(&job, start..end),
        }
    }

    /// Repeats the request for the missing bytes until the range is complete.
    fn ask_range(&self, job: &Job, range: Range<u64>) -> Result<Vec<u8>, HubError> {
        let (url, length) = (job.url()?, range.end - range.start);
        let mut bytes = Vec::new();
        self.http.insist(&url, || {
            let next = range.start + bytes.len() as u64;
            let mut answer = self.http.get(&url, Some(next..range.end))?;
            if answer.status != 206 || answer.range().map(|(start, _)| start) != Some(next) {
                let (name, why) = (job.file.name.clone(), "the server does not give parts of files");
                return Err(HubError::Range { name, start: range.start, end: range.end, why }.into());
            }
            let missing = length - bytes.len() as u64;
            self.http.pour(&mut answer, missing, &mut |part| bytes.extend_from_slice(part))?;
            let got = bytes.len() as u64;
            if got < length {
                Err(AttemptError::Broken(format!("it ended after {got} of {length} bytes")))
            } else {
                Ok(())
            }
        })?;
        Ok(bytes)
    }

    /// Notes in the cache that a branch is this commit, as the Python client does, so that other tools find it by name.
    ///
    /// # Errors
    /// [`HubError::Io`], or [`HubError::Name`] for a branch whose name cannot be a file name.
    pub fn note_branch(&self, repo: &Repo, branch: &str, commit: &Commit) -> Result<(), HubError> {
        let name: RemoteName = branch.parse()?;
        let path = self.layout.refs(repo).join(name.to_path());
        let known = layout::read_small(&path, 64).ok().flatten();
        if known.is_some_and(|known| known == commit.as_str().as_bytes()) {
            return Ok(());
        }
        layout::write_small(&path, commit.as_str().as_bytes()).map_err(|source| at(&path, source))
    }

    fn job<'a>(&'a self, repo: &'a Repo, commit: &'a Commit, file: &'a RemoteFile) -> Job<'a> {
        Job { http: &self.http, layout: &self.layout, repo, commit, file }
    }
}
