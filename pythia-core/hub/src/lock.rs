//! The lock file: the commit of each branch and its files.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Commit, FileHash, Hub, HubError, RemoteFile, RemoteName, Repo};

const VERSION: u64 = 1;
/// A lock of all 16 models with all their branches has about 4 MB.
const MAX_BYTES: u64 = 256 << 20;
/// Lists requested at once. The hub allows 500 requests in five minutes.
const AT_ONCE: usize = 4;

/// The commit and the files of a branch at the time it was pinned.
///
/// ```
/// use std::collections::BTreeSet;
/// use pythia_hub::{LockError, Pin, RemoteFile};
///
/// let file = |name: &str| -> Result<RemoteFile, pythia_hub::NameError> {
///     Ok(RemoteFile { name: name.parse()?, size: 1, hash: "0".repeat(64).parse()? })
/// };
/// let (config, weights) = (file("config.json")?, file("model.safetensors")?);
/// let mut pin = Pin { commit: "c".repeat(40).parse()?, files: vec![config, weights, file("README.md")?] };
/// // The files that a run needs.
/// assert_eq!(pin.needed(&BTreeSet::new()).unwrap().len(), 2);
/// pin.files.remove(1);
/// assert!(matches!(pin.needed(&BTreeSet::new()), Err(LockError::NoWeights { .. })));
/// # Ok::<(), pythia_hub::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Commit that the branch pointed to when it was pinned.
    pub commit: Commit,
    /// Its files, sorted by name.
    pub files: Vec<RemoteFile>,
}

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    repos: BTreeMap<Repo, BTreeMap<String, Pin>>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Pinned branches of repositories: the content of a lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Repository → branch → pin.
    pub repos: BTreeMap<Repo, BTreeMap<String, Pin>>,
}

/// A lock file, or a pin, that cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// Longer than any lock file can be.
    #[error("the lock file has {found} bytes, more than the {max} that are read")]
    TooLarge {
        /// Its bytes.
        found: u64,
        /// Bytes that are read.
        max: u64,
    },
    /// Not a lock file.
    #[error("not a lock file: {0}")]
    Json(#[from] serde_json::Error),
    /// Made by a later version of the program.
    #[error("the lock file has version {found}, and this program reads version {known}")]
    Version {
        /// Its version.
        found: u64,
        /// The version that is read.
        known: u64,
    },
    /// A branch whose name is not a clean relative path.
    #[error("{found:?} is not the name of a branch")]
    Branch {
        /// The name, cut to a readable length.
        found: String,
    },
    /// A pin lists a file twice.
    #[error("{branch} of {repo} lists {name} twice")]
    Twice {
        /// Repository of the pin.
        repo: Repo,
        /// Branch of the pin.
        branch: String,
        /// File name that stands there twice.
        name: String,
    },
    /// The repository has no such branch.
    #[error("{repo} has no branch {branch}")]
    NoBranch {
        /// Repository that was asked.
        repo: Repo,
        /// Branch that was asked for.
        branch: String,
    },
    /// The commit has no configuration.
    #[error("commit {commit} has no config.json")]
    NoConfig {
        /// Commit that was asked for.
        commit: Commit,
    },
    /// The commit has no weights in a form that can be read.
    #[error("commit {commit} has no weights: neither safetensors nor PyTorch's, whole or in shards with their index")]
    NoWeights {
        /// Commit that was asked for.
        commit: Commit,
    },
    /// A request to the hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// [`LockError`] says what is wrong with it.
    pub fn from_json(text: &[u8]) -> Result<Self, LockError> {
        let found = text.len() as u64;
        if found > MAX_BYTES {
            return Err(LockError::TooLarge { found, max: MAX_BYTES });
        }
        // The version is read first, because this program may not understand the rest of a later one.
        let Version { version: found } = serde_json::from_slice(text)?;
        if found != VERSION {
            return Err(LockError::Version { found, known: VERSION });
        }
        let File { repos, .. } = serde_json::from_slice(text)?;
        let lock = Self { repos };
        lock.checked()
    }

    /// The text of the lock file. It is sorted, so that equal locks have equal texts, and ends with a line end.
    pub fn to_json(&self) -> String {
        let mut repos = self.repos.clone();
        let pins = repos.values_mut().flat_map(BTreeMap::values_mut);
        pins.for_each(|pin| pin.files.sort_by(|a, b| a.name.cmp(&b.name)));
        let text = serde_json::to_string_pretty(&File { version: VERSION, repos });
        text.expect("names, hashes and sizes can always be written as JSON") + "\n"
    }

    /// Refuses names of branches that are not clean relative paths, and files that are listed twice.
    fn checked(mut self) -> Result<Self, LockError> {
        for (repo, pins) in &mut self.repos {
            for (branch, pin) in pins {
                if branch.parse::<RemoteName>().is_err() {
                    return Err(LockError::Branch { found: branch.chars().take(80).collect() });
                }
                pin.files.sort_by(|a, b| a.name.cmp(&b.name));
                if let Some(twice) = pin.files.windows(2).find(|pair| pair[0].name == pair[1].name) {
                    let (repo, branch, name) = (repo.clone(), branch.clone(), twice[0].name.to_string());
                    return Err(LockError::Twice { repo, branch, name });
                }
            }
        }
        Ok(self)
    }

    /// The pin of a branch.
    pub fn pin(&self, repo: &Repo, branch: &str) -> Option<&Pin> {
        self.repos.get(repo)?.get(branch)
    }

    /// Asks the hub for the current commits of these branches and their files: one request for the commits, one for
    /// each list of files, four at a time. `watch` is called with the number of lists received and of all lists.
    ///
    /// # Errors
    /// [`LockError::NoBranch`] or [`LockError::Hub`].
    pub fn resolve(
        hub: &Hub,
        repo: &Repo,
        branches: &[String],
        watch: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<BTreeMap<String, Pin>, LockError> {
        let known = hub.branches(repo)?;
        let commit = |branch: &String| match known.get(branch) {
            Some(commit) => Ok((branch.clone(), commit.clone())),
            None => Err(LockError::NoBranch { repo: repo.clone(), branch: branch.clone() }),
        };
        let commits: BTreeMap<String, Commit> = branches.iter().map(commit).collect::<Result<_, _>>()?;
        let lists = lists(hub, repo, commits.values().cloned().collect(), watch)?;
        let pin = |commit: Commit| Pin { files: lists[&commit].clone(), commit };
        Ok(commits.into_iter().map(|(branch, commit)| (branch, pin(commit))).collect())
    }
}

/// The files of each of these commits.
fn lists(
    hub: &Hub,
    repo: &Repo,
    commits: BTreeSet<Commit>,
    watch: &(dyn Fn(usize, usize) + Sync),
) -> Result<BTreeMap<Commit, Vec<RemoteFile>>, HubError> {
    let (commits, next): (Vec<Commit>, _) = (commits.into_iter().collect(), AtomicUsize::new(0));
    let lists = Mutex::new(BTreeMap::new());
    let ask = || -> Result<(), HubError> {
        while let Some(commit) = commits.get(next.fetch_add(1, Ordering::Relaxed)) {
            let files = hub.files(repo, commit).inspect_err(|_| next.store(commits.len(), Ordering::Relaxed))?;
            let known = {
                let mut lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
                lists.insert(commit.clone(), files);
                lists.len()
            };
            watch(known, commits.len());
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(commits.len())).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    Ok(lists.into_inner().unwrap_or_else(PoisonError::into_inner))
}

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// A format of weights: `model.safetensors`, or `model-00001-of-00002.safetensors` and so on with an index.
struct Form {
    stem: &'static str,
    ending: &'static str,
}

/// The formats, the preferred one first.
const FORMS: [Form; 2] =
    [Form { stem: "model", ending: ".safetensors" }, Form { stem: "pytorch_model", ending: ".bin" }];

impl Form {
    /// The number of a shard and the number of all shards.
    fn shard(&self, name: &str) -> Option<(u32, u32)> {
        let numbers = name.strip_prefix(self.stem)?.strip_prefix('-')?.strip_suffix(self.ending)?;
        let (number, of) = numbers.split_once("-of-")?;
        Some((number.parse().ok()?, of.parse().ok()?))
    }
}

impl Pin {
    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }

    /// The files that a run needs: `config.json`, `tokenizer.json` where there is one, and the weights:
    /// `model.safetensors`, else its shards with their index, else `pytorch_model.bin`, else its shards with their
    /// index. A format that has a file with a hash in `avoid` (weights known to belong to another step) is skipped if
    /// another format of the commit has no such file.
    ///
    /// # Errors
    /// [`LockError::NoConfig`], [`LockError::NoWeights`].
    pub fn needed(&self, avoid: &BTreeSet<FileHash>) -> Result<Vec<&RemoteFile>, LockError> {
        let config = self.file(CONFIG).ok_or_else(|| LockError::NoConfig { commit: self.commit.clone() })?;
        let forms: Vec<Vec<&RemoteFile>> = FORMS.iter().filter_map(|form| self.form(form)).collect();
        let is_good = |form: &&Vec<&RemoteFile>| !form.iter().any(|file| avoid.contains(&file.hash));
        let weights = forms.iter().find(is_good).or(forms.first());
        let weights = weights.ok_or_else(|| LockError::NoWeights { commit: self.commit.clone() })?;
        Ok([Some(config), self.file(TOKENIZER)].into_iter().flatten().chain(weights.iter().copied()).collect())
    }

    /// The files of the weights in one format, if the commit has all of them.
    fn form(&self, form: &Form) -> Option<Vec<&RemoteFile>> {
        if let Some(whole) = self.file(&format!("{}{}", form.stem, form.ending)) {
            return Some(vec![whole]);
        }
        let index = self.file(&format!("{}{}.index.json", form.stem, form.ending))?;
        let shard = |file: &&RemoteFile| form.shard(file.name.as_str()).is_some();
        let shards: Vec<&RemoteFile> = self.files.iter().filter(shard).collect();
        let numbers: BTreeSet<(u32, u32)> = shards.iter().filter_map(|file| form.shard(file.name.as_str())).collect();
        let all = u32::try_from(numbers.len()).ok()?;
        let whole = all > 0 && numbers.iter().zip(1..).all(|(&(number, of), at)| number == at && of == all);
        whole.then(|| [index].into_iter().chain(shards).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, digit: char) -> RemoteFile {
        RemoteFile { name: name.parse().unwrap(), size: 7, hash: String::from(digit).repeat(64).parse().unwrap() }
    }

    fn pin(files: &[(&str, char)]) -> Pin {
        let files = files.iter().map(|&(name, digit)| file(name, digit)).collect();
        Pin { commit: "c".repeat(40).parse().unwrap(), files }
    }

    fn needed(files: &[(&str, char)], avoid: &[char]) -> Vec<String> {
        let avoid = avoid.iter().map(|&digit| file("x", digit).hash).collect();
        pin(files).needed(&avoid).unwrap().into_iter().map(|file| file.name.to_string()).collect()
    }

    const CONFIGURED: [(&str, char); 2] = [("config.json", '0'), ("tokenizer.json", '1')];

    #[test]
    fn a_lock_reads_back_equal_and_equal_locks_have_equal_texts() {
        let pins = BTreeMap::from([("step1".to_owned(), pin(&[("b", 'b'), ("a", 'a')]))]);
        let lock = Lock { repos: [("a/b".parse().unwrap(), pins)].into() };
        let text = lock.to_json();
        let again = Lock::from_json(text.as_bytes()).unwrap();
        assert_eq!(again.to_json(), text);
        assert_eq!(again.pin(&"a/b".parse().unwrap(), "step1").unwrap().files[0].name.as_str(), "a");
        assert!(
            text.ends_with("}\n") && Lock::default() == Lock::from_json(Lock::default().to_json().as_bytes()).unwrap()
        );
    }

    #[test]
    fn hostile_locks_are_refused() {
        let commit = "c".repeat(40);
        let with = |repo: &str, branch: &str, commit: &str, files: &str| {
            let pin = format!(r#"{{"commit": "{commit}", "files": [{files}]}}"#);
            let text = format!(r#"{{"version": 1, "repos": {{"{repo}": {{"{branch}": {pin}}}}}}}"#);
            Lock::from_json(text.as_bytes())
        };
        let one = format!(r#"{{"name": "x", "size": 1, "hash": "{}"}}"#, "a".repeat(40));
        assert!(with("a/b", "main", &commit, &one).is_ok());
        assert!(matches!(with("a/b", "../main", &commit, &one), Err(LockError::Branch { .. })));
        assert!(matches!(with("a/b", "main", &commit, &format!("{one},{one}")), Err(LockError::Twice { .. })));
        for (repo, commit, file) in [
            ("../b", commit.as_str(), one.as_str()),
            ("a/b", "main", &one),
            ("a/b", &commit, &one.replace("\"x", "\"../x")),
            ("a/b", &commit, &one.replace("1,", "-1,")),
        ] {
            assert!(matches!(with(repo, "main", commit, file), Err(LockError::Json(_))), "{repo} {commit} {file}");
        }
        let later = r#"{"version": 2, "more": []}"#;
        assert!(matches!(Lock::from_json(later.as_bytes()), Err(LockError::Version { found: 2, .. })));
        for text in ["", "[]", "{}", "{\"version\": 1}", &"[".repeat(100_000)] {
            assert!(matches!(Lock::from_json(text.as_bytes()), Err(LockError::Json(_))), "{text:.20}");
        }
    }

    #[test]
    fn a_run_needs_the_best_form_that_is_whole() {
        let [config, tokenizer] = CONFIGURED;
        let (whole, bin) = (("model.safetensors", '2'), ("pytorch_model.bin", '3'));
        assert_eq!(
            needed(&[config, tokenizer, bin, whole], &[]),
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        assert_eq!(needed(&[config, bin], &[]), ["config.json", "pytorch_model.bin"]);
        let index = ("model.safetensors.index.json", '4');
        let shards = [("model-00001-of-00002.safetensors", '5'), ("model-00002-of-00002.safetensors", '6')];
        let names = ["config.json", index.0, shards[0].0, shards[1].0];
        assert_eq!(needed(&[config, shards[1], index, shards[0], bin], &[]).len(), names.len());
        // A shard is missing, or the index: then the other form.
        for files in [[config, index, shards[0], bin], [config, shards[0], shards[1], bin]] {
            assert_eq!(needed(&files, &[]), ["config.json", "pytorch_model.bin"]);
        }
        assert!(matches!(pin(&[bin]).needed(&BTreeSet::new()), Err(LockError::NoConfig { .. })));
        assert!(matches!(pin(&[config, shards[0]]).needed(&BTreeSet::new()), Err(LockError::NoWeights { .. })));
    }

    #[test]
    fn a_format_with_weights_of_another_step_is_skipped_where_there_is_another() {
        let [config, _] = CONFIGURED;
        let files = [config, ("model.safetensors", '2'), ("pytorch_model.bin", '3')];
        assert_eq!(needed(&files, &['2']), ["config.json", "pytorch_model.bin"]);
        assert_eq!(needed(&files, &['3']), ["config.json", "model.safetensors"]);
        assert_eq!(needed(&files, &['2', '3']), ["config.json", "model.safetensors"]);
    }
}
