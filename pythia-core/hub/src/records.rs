//! The store's own records: one small file for each content, so that processes need no common lock. The modification
//! time of a record is the time of the last use of the content, because access times of a file system are unreliable.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::layout::{self, Layout};
use super::{FileHash, Repo};

const VERSION: u32 = 1;
/// A record has about 300 bytes.
const MAX_RECORD: u64 = 16 << 10;

/// The record of one content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    repo: Repo,
    hash: FileHash,
    /// Whether this store fetched it.
    pub(super) ours: bool,
    /// Size and time of the file when its hash was checked.
    verified: Option<Stamp>,
}

/// Size and modification time of a file, which change when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { size: metadata.len(), modified: u64::try_from(since.as_nanos()).unwrap_or(0) })
    }
}

impl Record {
    pub(super) fn new(repo: &Repo, hash: &FileHash, ours: bool, verified: Option<Stamp>) -> Self {
        Self { version: VERSION, repo: repo.clone(), hash: hash.clone(), ours, verified }
    }

    /// Whether the file is unchanged since it was hashed.
    pub(super) fn holds_for(&self, metadata: &Metadata) -> bool {
        Stamp::of(metadata).is_ok_and(|stamp| self.verified == Some(stamp))
    }
}

/// The records of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a>(pub(super) &'a Layout);

impl Records<'_> {
    fn path(&self, repo: &Repo, hash: &FileHash) -> PathBuf {
        self.0.records(repo).join(format!("{hash}.json"))
    }

    /// The record of a content. Without a readable record the content is hashed again and never evicted.
    pub(super) fn read(&self, repo: &Repo, hash: &FileHash) -> Option<Record> {
        let text = layout::read_small(&self.path(repo, hash), MAX_RECORD).ok()??;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.version == VERSION && record.repo == *repo && record.hash == *hash).then_some(record)
    }

    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        layout::write_small(&self.path(&record.repo, &record.hash), &text)
    }

    /// Writes a record and keeps the time of the last use.
    pub(super) fn write_keeping_use(&self, record: &Record) -> io::Result<()> {
        let used = self.used(&record.repo, &record.hash).unwrap_or(UNIX_EPOCH);
        self.write(record)?;
        self.set_used(&record.repo, &record.hash, used)
    }

    /// Sets the time of the last use to now.
    pub(super) fn touch(&self, repo: &Repo, hash: &FileHash) -> io::Result<()> {
        self.set_used(repo, hash, SystemTime::now())
    }

    fn set_used(&self, repo: &Repo, hash: &FileHash, when: SystemTime) -> io::Result<()> {
        match File::options().write(true).open(self.path(repo, hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file?.set_modified(when),
        }
    }

    /// The time of the last use; `None` without a record or a use.
    pub(super) fn used(&self, repo: &Repo, hash: &FileHash) -> Option<SystemTime> {
        let modified = fs::metadata(self.path(repo, hash)).and_then(|metadata| metadata.modified());
        modified.ok().filter(|&when| when > UNIX_EPOCH)
    }

    pub(super) fn forget(&self, repo: &Repo, hash: &FileHash) -> io::Result<()> {
        layout::remove(&self.path(repo, hash)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::TempDir;

    fn hash(digit: &str) -> FileHash {
        digit.repeat(64).parse().unwrap()
    }

    #[test]
    fn records_read_back_equal_and_hold_for_unchanged_files_only() {
        let dir = TempDir::new();
        let layout = Layout::new(dir.path());
        let (records, repo, hash) = (Records(&layout), "a/b".parse().unwrap(), hash("a"));
        let path = dir.write("x", "content");
        let metadata = fs::metadata(&path).unwrap();
        let record = Record::new(&repo, &hash, true, Some(Stamp::of(&metadata).unwrap()));
        assert_eq!(records.read(&repo, &hash), None);
        records.write(&record).unwrap();
        assert_eq!(records.read(&repo, &hash).as_ref(), Some(&record));
        assert!(record.holds_for(&metadata));
        File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(5)).unwrap();
        assert!(!record.holds_for(&fs::metadata(&path).unwrap()));
        assert!(!Record::new(&repo, &hash, true, None).holds_for(&metadata));
        records.forget(&repo, &hash).unwrap();
        assert_eq!(records.read(&repo, &hash), None);
    }

    #[test]
    fn damaged_records_and_records_of_other_contents_are_ignored() {
        let dir = TempDir::new();
        let layout = Layout::new(dir.path());
        let (records, repo, hash, other): (_, Repo, _, _) =
            (Records(&layout), "a/b".parse().unwrap(), hash("a"), hash("b"));
        records.write(&Record::new(&repo, &hash, true, None)).unwrap();
        fs::copy(records.path(&repo, &hash), records.path(&repo, &other)).unwrap();
        assert_eq!(records.read(&repo, &other), None);
        for text in ["", "{}", "[", "{\"version\": 2}"] {
            fs::write(records.path(&repo, &hash), text).unwrap();
            assert_eq!(records.read(&repo, &hash), None, "{text}");
        }
    }

    #[test]
    fn writing_a_record_can_keep_the_time_of_the_last_use() {
        let dir = TempDir::new();
        let layout = Layout::new(dir.path());
        let (records, repo, hash) = (Records(&layout), "a/b".parse().unwrap(), hash("a"));
        let record = Record::new(&repo, &hash, true, None);
        records.write(&record).unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(1000);
        records.set_used(&repo, &hash, then).unwrap();
        records.write_keeping_use(&record).unwrap();
        assert_eq!(records.used(&repo, &hash), Some(then));
        records.touch(&repo, &hash).unwrap();
        assert!(records.used(&repo, &hash).unwrap() > then);
    }
}
