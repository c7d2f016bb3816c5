//! The public model hub: what it lists, what it serves, and the cache on disk that all of its clients share.
//!
//! In reading order:
//!
//! 1. [`Repo`], [`Commit`], [`FileHash`], [`RemoteName`], [`RemoteFile`]: names that a server sends. Its answers are
//!    parsed into these types first, and only these types become part of a path.
//! 2. [`Settings`], [`Connection`]: where the cache and the hub are, from the variables that the hub's Python client
//!    reads.
//! 3. [`Hub`]: lists branches and files, fetches a file into the cache, reads a range of one.
//! 4. [`Lock`]: the commit of each branch and its files, so that a pinned run needs no requests.
//! 5. [`LruCache`]: the content of the cache, its budget, and eviction.
//!
//! ```
//! use std::path::Path;
//! use pythia_files::Environment;
//! use pythia_hub::{Hub, Lock, Repo, Settings};
//!
//! // The cache that other clients use too. No connection is opened here.
//! let settings = Settings::of(Environment::of([("HF_HOME", "~/models")], Some("/data/me")));
//! assert_eq!(settings.cache, Path::new("/data/me/models/hub"));
//! let hub = Hub::new(settings);
//!
//! // A lock file has the commit of a branch at the time it was pinned.
//! let text = format!(
//!     r#"{{"version": 1, "repos": {{"EleutherAI/pythia-70m": {{"step512": {{"commit": "{}", "files": [
//!         {{"name": "config.json", "size": 567, "hash": "{}"}}]}}}}}}}}"#,
//!     "a".repeat(40),
//!     "b".repeat(40),
//! );
//! let lock = Lock::from_json(text.as_bytes())?;
//! let repo: Repo = "EleutherAI/pythia-70m".parse()?;
//! let pin = lock.pin(&repo, "step512").expect("it is pinned");
//! let config = pin.file("config.json").expect("it has one");
//! let path = hub.snapshot_path(&repo, &pin.commit, config);
//! assert!(path.starts_with("/data/me/models/hub/models--EleutherAI--pythia-70m/snapshots"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod client;
mod clock;
mod digest;
mod error;
mod fetch;
mod http;
mod layout;
mod listing;
mod lock;
mod lru;
mod name;
mod partial;
mod receive;
mod records;
mod retry;
mod settings;
mod url;
mod wait;

pub use client::Hub;
pub use clock::{Clock, RetryPolicy};
pub use error::{AnswerProblem, FileAt, HubError};
pub use lock::{Lock, LockError, Pin};
pub use lru::{Budget, Cached, Entry, FilesInUse, LruCache, LruError, Pruned, Reservation, Usage};
pub use name::{Commit, FileHash, NameError, RemoteFile, RemoteName, Repo};
pub use settings::{Certificates, Connection, Proxies, Settings, SettingsError, Token};
pub use url::{Endpoint, UrlError};

#[cfg(test)]
mod testing;
