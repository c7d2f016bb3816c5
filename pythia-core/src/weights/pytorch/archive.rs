//! The directory of a zip archive of uncompressed members, as PyTorch writes it.
//!
//! Nothing is inflated, so no archive can grow in memory. Anything PyTorch does not write (compression, encryption,
//! several disks, a member listed under two names) is refused.

use std::collections::BTreeMap;

use thiserror::Error;

/// The place of a member's bytes in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// First byte.
    pub offset: u64,
    /// Number of bytes; within the file.
    pub len: u64,
}

impl Member {
    /// The member's bytes, given those of the whole archive.
    pub(super) fn bytes(self, archive: &[u8]) -> &[u8] {
        slice(archive, self.offset, self.len).unwrap_or_default()
    }
}

/// Why an archive is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZipError {
    /// No end record: truncated, or never a zip archive.
    #[error("it has no zip directory, so it is truncated or no file of PyTorch")]
    NoEnd,
    /// The format of PyTorch before version 1.6.
    #[error("it has the format of PyTorch before 1.6")]
    Legacy,
    /// A record lies outside the file or does not begin as it must.
    #[error("its {record} at byte {offset} is cut short or malformed")]
    Record {
        /// The kind of record.
        record: &'static str,
        /// Where it should be.
        offset: u64,
    },
    /// A member is compressed or encrypted.
    #[error("its member {member} is compressed or encrypted, which PyTorch never does")]
    NotPlain {
        /// Its name in the directory of the archive.
        member: String,
    },
    /// A name that is not UTF-8.
    #[error("the name of its member number {index} is not UTF-8")]
    Name {
        /// Position in the directory.
        index: u64,
    },
    /// Two members share a name.
    #[error("it has two members called {member}")]
    Duplicate {
        /// The name that both have.
        member: String,
    },
    /// The directory and the member itself disagree about the name.
    #[error("its member {member} calls itself {found} in its own header")]
    TwoNames {
        /// The name in the directory.
        member: String,
        /// The name in front of the member's bytes.
        found: String,
    },
    /// There is no `data.pkl`, or more than one.
    #[error("it has no single data.pkl one folder deep")]
    NoPickle,
    /// The values are stored in big-endian order.
    #[error("it is big-endian")]
    BigEndian,
}

impl ZipError {
    /// What helps against this cause.
    pub(in crate::weights) fn remedy(&self) -> &'static str {
        match self {
            Self::NoEnd | Self::Record { .. } => "copy or download the file again",
            Self::Legacy | Self::NotPlain { .. } | Self::BigEndian => {
                "load it with `torch.load` and save it again with a newer PyTorch, on a little-endian machine"
            }
            Self::Name { .. } | Self::Duplicate { .. } | Self::TwoNames { .. } | Self::NoPickle => {
                "`torch.save` wrote no such file: get it from its source again"
            }
        }
    }
}

const END: &[u8] = b"PK\x05\x06";
const END_LEN: u64 = 22;
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_LEN: u64 = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_LEN: u64 = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_LEN: u64 = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LEN: u64 = 30;
/// Tag of the extra field with 64-bit sizes and offset.
const EXTRA64: u16 = 1;
/// The value of a 32-bit field whose value is in the extra field.
const ELSEWHERE: u64 = 0xFFFF_FFFF;

/// Every member by name.
pub(super) fn members(archive: &[u8]) -> Result<BTreeMap<String, Member>, ZipError> {
    let directory = find_directory(archive)?;
    let mut members = BTreeMap::new();
    let mut at = directory.offset;
    for index in 0..directory.n_entries {
        let entry = Entry::read(archive, at, directory.end, index)?;
        at += entry.len;
        let member = entry.locate(archive, directory.offset)?;
        if members.insert(entry.name.clone(), member).is_some() {
            return Err(ZipError::Duplicate { member: entry.name });
        }
    }
    Ok(members)
}

/// The place of the central directory.
struct CentralDirectory {
    offset: u64,
    end: u64,
    n_entries: u64,
}

fn find_directory(archive: &[u8]) -> Result<CentralDirectory, ZipError> {
    // Pickles of protocol 2 begin so, and the old format is a row of them.
    let no_end = || if archive.starts_with(&[0x80, 2]) { ZipError::Legacy } else { ZipError::NoEnd };
    let end_at = find_end(archive).ok_or_else(no_end)?;
    let end = record(archive, end_at, END_LEN, END, "end record")?;
    let (mut n_entries, mut len, mut offset) = (u64::from(end.u16(10)), end.u32(12), end.u32(16));
    let mut limit = end_at;
    if let Some(locator_at) = end_at.checked_sub(LOCATOR64_LEN)
        && let Ok(locator) = record(archive, locator_at, LOCATOR64_LEN, LOCATOR64, "64-bit locator")
    {
        let end64_at = locator.u64(8);
        let end64 = record(archive, end64_at, END64_LEN, END64, "64-bit end record")?;
        (n_entries, len, offset) = (end64.u64(32), end64.u64(40), end64.u64(48));
        limit = end64_at;
    }
    let malformed = ZipError::Record { record: "directory", offset };
    match offset.checked_add(len) {
        // Each entry takes room in the directory, so a count that cannot fit is refused before any work.
        Some(end) if end <= limit && n_entries <= len / ENTRY_LEN => Ok(CentralDirectory { offset, end, n_entries }),
        _ => Err(malformed),
    }
}

/// The end record closes the file, except for a comment whose length it states.
fn find_end(archive: &[u8]) -> Option<u64> {
    let len = archive.len();
    let last = len.checked_sub(END_LEN as usize)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let fits = |&at: &usize| {
        let comment = usize::from(u16::from_le_bytes([archive[at + 20], archive[at + 21]]));
        archive[at..].starts_with(END) && at + END_LEN as usize + comment == len
    };
    (first..=last).rev().find(fits).map(|at| at as u64)
}

/// One entry of the central directory.
struct Entry {
    name: String,
    plain: bool,
    size: u64,
    local: u64,
    /// Bytes the entry itself takes.
    len: u64,
}

impl Entry {
    fn read(archive: &[u8], at: u64, end: u64, index: u64) -> Result<Self, ZipError> {
        let malformed = || ZipError::Record { record: "directory entry", offset: at };
        let fixed = record(archive, at, ENTRY_LEN, ENTRY, "directory entry")?;
        let [name_len, extra_len, comment_len] = [28, 30, 32].map(|field| u64::from(fixed.u16(field)));
        let len = ENTRY_LEN + name_len + extra_len + comment_len;
        if at + len > end {
            return Err(malformed());
        }
        let name = slice(archive, at + ENTRY_LEN, name_len).ok_or_else(malformed)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| ZipError::Name { index })?;
        let extra = slice(archive, at + ENTRY_LEN + name_len, extra_len).ok_or_else(malformed)?;
        let mut wide = Wide::find(extra);
        // The extra field has only the fields that are marked so, size before offset, as the format requires.
        let size = wide.resolve(fixed.u32(24)).ok_or_else(malformed)?;
        let packed = wide.resolve(fixed.u32(20)).ok_or_else(malformed)?;
        let local = wide.resolve(fixed.u32(42)).ok_or_else(malformed)?;
        let (encrypted, stored) = (fixed.u16(8) & 1 != 0, fixed.u16(10) == 0);
        Ok(Self { name, plain: stored && !encrypted && packed == size, size, local, len })
    }

    /// The offset of the bytes follows from the header in front of them.
    fn locate(&self, archive: &[u8], limit: u64) -> Result<Member, ZipError> {
        if !self.plain {
            return Err(ZipError::NotPlain { member: self.name.clone() });
        }
        let malformed = || ZipError::Record { record: "member", offset: self.local };
        let local = record(archive, self.local, LOCAL_LEN, LOCAL, "member")?;
        let [name_len, extra_len] = [26, 28].map(|field| u64::from(local.u16(field)));
        let name = slice(archive, self.local + LOCAL_LEN, name_len).ok_or_else(malformed)?;
        if name != self.name.as_bytes() {
            let found = String::from_utf8_lossy(name).into_owned();
            return Err(ZipError::TwoNames { member: self.name.clone(), found });
        }
        let offset = self.local + LOCAL_LEN + name_len + extra_len;
        match offset.checked_add(self.size) {
            Some(end) if end <= limit => Ok(Member { offset, len: self.size }),
            _ => Err(malformed()),
        }
    }
}

/// The 64-bit values of an entry, taken in order.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn find(mut extra: &'a [u8]) -> Self {
        while let Some((&[a, b, c, d], rest)) = extra.split_first_chunk::<4>() {
            let (tag, len) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
            let Some(body) = rest.get(..len) else { break };
            if tag == EXTRA64 {
                return Self(body);
            }
            extra = &rest[len..];
        }
        Self(&[])
    }

    fn resolve(&mut self, narrow: u64) -> Option<u64> {
        if narrow != ELSEWHERE {
            return Some(narrow);
        }
        let (value, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }
}

/// A fixed-size record with a signature, and its little-endian fields.
struct Record<'a>(&'a [u8]);

fn record<'a>(
    archive: &'a [u8],
    offset: u64,
    len: u64,
    signature: &[u8],
    kind: &'static str,
) -> Result<Record<'a>, ZipError> {
    let bytes = slice(archive, offset, len).filter(|bytes| bytes.starts_with(signature));
    bytes.map(Record).ok_or(ZipError::Record { record: kind, offset })
}

impl Record<'_> {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u64 {
        u64::from(self.u16(at)) | u64::from(self.u16(at + 2)) << 16
    }

    fn u64(&self, at: usize) -> u64 {
        self.u32(at) | self.u32(at + 4) << 32
    }
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}
