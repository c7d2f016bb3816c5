//! The public model hub: what it lists, what it serves, and the cache on disk that its clients share.
//!
//! Nothing a server says is believed before it is parsed: [`Repo`], [`Commit`], [`FileHash`] and [`RemoteName`] are the types
//! that its answers become, and nothing else ever turns into part of a path.
//!
//! - [`Settings`]: the environment variables of the hub's Python client;
//! - [`Hub`]: lists branches and files, fetches a file into the cache, reads a range of one;
//! - [`Lock`]: which commit a branch was, and what it held, so that a pinned run asks the hub nothing;
//! - [`LruCache`]: what the cache holds, a budget of disk, and what may go when it is spent.

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
mod proxy;
mod receive;
mod records;
mod retry;
mod settings;
mod url;
mod wait;

pub use client::Hub;
pub use clock::{Clock, Patience, SystemClock};
pub use error::{AnswerProblem, FileAt, HubError};
pub use lock::{Lock, LockError, Pin};
pub use lru::{Budget, Cached, Entry, Hold, LruCache, LruError, Pruned, Reservation, Usage};
pub use name::{Commit, FileHash, NameError, RemoteFile, RemoteName, Repo};
pub use proxy::Proxies;
pub use settings::{Settings, SettingsError, Token};
pub use url::{Endpoint, UrlError};

#[cfg(test)]
mod testing;
