//! The public model hub: what it lists, what it serves, and the cache on disk that its clients share.
//!
//! Nothing a server says is believed before it is parsed: [`name`] holds the types that its answers become, and nothing
//! else ever turns into part of a path.

mod name;

pub use name::{Commit, FileHash, NameError, RemoteFile, RemoteName, Repo};
