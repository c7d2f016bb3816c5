//! Mapped files: the only unsafe code of the crate.
//!
//! Weights are read from the page cache. Copying every checkpoint first would cost as much as decoding it. Mapping is
//! unsafe because the bytes of a shared `&[u8]` can change, and the mapping can shrink, when another process writes
//! to the file. It is acceptable here because:
//!
//! * files are opened for reading only and mapped privately; this program never writes to a checkpoint in place (new
//!   ones appear by rename, which leaves an open file as it was), and neither does the public hub's client;
//! * bytes are only ever read as plain integers and floats, for which every bit pattern is valid, and no decision that
//!   a later access relies on is read from the mapping twice;
//! * ranges are checked against the file's length before they are mapped, so that a file that was truncated earlier is
//!   an error and not a fault.
//!
//! A file that another program truncates while it is being read still ends this program with a bus error.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};

/// An open file of known length, parts of which can be mapped.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl MappedFile {
    /// Opens a regular file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { path: path.to_owned(), file, len: meta.len() })
    }

    /// The path by which it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file. Pages are only read when they are touched.
    pub(super) fn whole(&self) -> io::Result<Mmap> {
        let len = usize::try_from(self.len).map_err(|_| out_of_range())?;
        self.range(0, len)
    }

    /// `len` bytes from `offset` on. Mapping tensors one by one keeps the file's pages out of this process once they
    /// are decoded.
    pub(super) fn range(&self, offset: u64, len: usize) -> io::Result<Mmap> {
        let end = offset.checked_add(len as u64).ok_or_else(out_of_range)?;
        if end > self.file.metadata()?.len() {
            return Err(out_of_range());
        }
        // SAFETY: see the head of this module.
        unsafe { MmapOptions::new().offset(offset).len(len).map(&self.file) }
    }

    /// Tells the system that a range is going to be read, so that it can fetch it meanwhile. This is a hint, so
    /// failures are ignored.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    pub(super) fn expect(&self, offset: u64, len: usize) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(
            &self.file,
            offset,
            std::num::NonZeroU64::new(len as u64),
            rustix::fs::Advice::WillNeed,
        );
    }
}

fn out_of_range() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its own directory says")
}
