//! Files that appear whole or not at all, on disks that several processes and machines share.
//!
//! A file is written under a temporary name in the same file system, synced to the disk and renamed, and its folder
//! is synced. A reader sees the old content or the new one. A kill or a loss of power leaves a temporary file at
//! worst. Its name says which process made it, so that a later process can tell abandoned files from files that are
//! being written.
//!
//! 1. [`write_atomic`]: the usual case, a closure that writes. What it checks before it returns is checked before the
//!    rename.
//! 2. [`AtomicFile`]: a file that is written over a longer time, or is claimed before the work whose result it will
//!    hold.
//! 3. [`replace_atomic`]: anything else that has a path, such as a link.
//! 4. [`rename_synced`]: the last step alone, for a caller with its own temporary names.
//! 5. [`Owner`]: the process in the name of a temporary file, and whether it still runs.
//! 6. [`temporary_in`], [`remove_abandoned`], [`remove_own`]: temporary files that never get another name, and sweeping
//!    up.
//! 7. [`found`]: what is at a path, where "cannot be looked at" is not "absent".
//! 8. [`Environment`], [`hub_cache`]: variables and `~` in paths, and the folder of the cache that they name.
//!
//! ```
//! use std::io::Write;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("table.csv");
//! pythia_files::write_atomic(&path, |file| file.write_all(b"step,loss\n"))?;
//! assert_eq!(std::fs::read(&path)?, b"step,loss\n");
//!
//! // An error in the closure leaves the old content, and nothing beside it.
//! let refused = pythia_files::write_atomic(&path, |file| {
//!     file.write_all(b"half of")?;
//!     Err::<(), _>(std::io::Error::other("the source broke off"))
//! });
//! assert!(refused.is_err());
//! assert_eq!(std::fs::read(&path)?, b"step,loss\n");
//! assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod atomic;
mod environment;
mod hub_cache;
mod owner;
mod presence;
mod temporary;

pub use atomic::{AtomicFile, rename_synced, replace_atomic, write_atomic};
pub use environment::{Environment, PathError};
pub use hub_cache::{hub_cache, hub_home};
pub use owner::{Owner, host_name};
pub use presence::found;
pub use tempfile::{NamedTempFile, TempPath};
pub use temporary::{is_abandoned, remove_abandoned, remove_own, temporary_in};
