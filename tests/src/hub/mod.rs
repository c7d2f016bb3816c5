//! A model hub on the loopback interface. It serves repositories as the public hub does, records requests, and
//! misbehaves on demand. Plain sockets and threads, since no framework sends truncated bodies, slow drips and wrong
//! headers.
//!
//! - [`Body`]: a file's bytes, from memory, from a file on disk, or computed from the offset;
//! - [`MockRepo`]: branches, commits and files;
//! - [`Fault`]: everything that can go wrong, one at a time;
//! - [`MockHub`]: the server, and a second one on another port that it redirects large files to;
//! - [`QuickClock`]: waits that take no time;
//! - [`setup`]: a hub and a cache for one test, with what must hold of the cache.

mod body;
mod clock;
mod fault;
mod json;
mod repo;
mod request;
mod send;
mod server;
pub mod setup;

pub use body::Body;
pub use clock::QuickClock;
pub use fault::Fault;
pub use repo::{MockFile, MockRepo, commit_of};
pub use request::Seen;
pub use server::MockHub;
