//! Single tensors of a checkpoint on the hub. Their bytes are written at their offsets in a sparse file that has the
//! length and the header of the whole one, so that the ordinary readers read them.
//!
//! Such a file is under `CACHE/.pythia/parts`, never in a snapshot, whose files are whole. One process uses it for one
//! cell and removes it. Files of processes that have ended are removed by the next process that needs the folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use pythia_core::params::Param;
use pythia_core::weights::{StoredCheckpoint, WeightFiles};
use pythia_files::TempPath;
use pythia_hub::{Hub, HubError, LruError, Pin, RemoteFile, Repo, Reservation};

use super::FetchError;
use super::hub::HubFetcher;
use super::ticker::Ticker;
use crate::checkpoint::load::Job;
use crate::resolved::pins::{Pins, branch};

/// Bytes of one request.
const PIECE: u64 = 64 << 20;
/// Longest header that is fetched; the reader accepts no longer one.
const MAX_HEADER: u64 = 8 << 20;
/// Gap between tensors that is fetched with them: another request takes longer than so many bytes.
const GAP: u64 = 64 << 10;

/// Files with some tensors in them, removed when dropped. Their bytes on disk are reserved until then.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The files, in the order of the checkpoint's own.
    pub(super) files: Vec<TempPath>,
    _reserved: Reservation,
}

/// The pinned branch that is fetched from.
struct From<'a> {
    hub: &'a Hub,
    repo: &'a Repo,
    pin: &'a Pin,
}

impl HubFetcher<'_> {
    /// The tensors that a job needs and the small files beside the weights; `None` if it needs more, if all
    /// weights are in the cache, or if tensors cannot be fetched alone: no safetensors files, or no range requests.
    pub(super) fn fetch_parts(&self, pins: &Pins, job: &Job<'_>) -> Result<Option<(Vec<PathBuf>, Parts)>, FetchError> {
        let (Some(only), Some(pin), Some(files)) =
            (job.scope.single_tensors(), pins.pin(job.step), pins.needed(job.step))
        else {
            return Ok(None);
        };
        let is_part = |file: &&RemoteFile| file.name.as_str().ends_with(".safetensors");
        let (shards, others): (Vec<&RemoteFile>, Vec<&RemoteFile>) = files?.into_iter().partition(is_part);
        if shards.iter().all(|file| self.hub.has(&pins.repo, &pin.commit, file)) {
            return Ok(None);
        }
        self.refuse_unreachable()?;
        let from = From { hub: self.hub, repo: &pins.repo, pin };
        match self.parts(&from, &shards, only, job) {
            Err(FetchError::Hub(HubError::Range { .. })) => Ok(None),
            Err(error) => Err(error),
            Ok(parts) => {
                let fetch = |file| Ok(self.hub.fetch(&pins.repo, &pin.commit, file, &|_| ())?);
                let others = others.into_iter().map(fetch).collect::<Result<_, FetchError>>()?;
                Ok(Some((others, parts)))
            }
        }
    }

    fn parts(
        &self,
        from: &From<'_>,
        shards: &[&RemoteFile],
        only: &BTreeSet<Param>,
        job: &Job<'_>,
    ) -> Result<Parts, FetchError> {
        let folder = folder(self.hub.cache())?;
        let files = shards.iter().map(|file| from.header(file, &folder)).collect::<Result<Vec<TempPath>, _>>()?;
        let paths = files.iter().map(|file| file.to_path_buf()).collect();
        let ranges = StoredCheckpoint::open(&job.model.config, &WeightFiles::Safetensors(paths))?.ranges(only)?;
        let ranges = joined(ranges);
        let bytes = ranges.iter().map(|(_, range)| range.end - range.start).sum();
        let reserved = self.reserve(bytes)?;
        let ticker = Ticker::new(format!("tensors of {} {}", from.repo.short(), branch(job.step)), bytes);
        for (at, range) in ranges {
            from.fill(shards[at], &files[at], range, &ticker)?;
        }
        Ok(Parts { files, _reserved: reserved })
    }
}

impl From<'_> {
    /// A file of the length of `file` with its header and nothing else.
    fn header(&self, file: &RemoteFile, folder: &Path) -> Result<TempPath, FetchError> {
        let first = self.read(file, 0..file.size.min(8))?;
        let length = first.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        // A header that claims to be too long is not fetched: its reader refuses it by its first eight bytes.
        let end = if length > MAX_HEADER { 8 } else { length + 8 }.min(file.size);
        let rest = self.read(file, first.len() as u64..end.max(first.len() as u64))?;
        let mut part = pythia_files::temporary_in(folder).map_err(|source| tried(folder, source))?;
        let written = part.as_file().set_len(file.size).and_then(|()| part.write_all(&[first, rest].concat()));
        written.map_err(|source| tried(part.path(), source))?;
        Ok(part.into_temp_path())
    }

    /// Writes a range of `file` at its offset.
    fn fill(&self, file: &RemoteFile, path: &Path, range: Range<u64>, ticker: &Ticker) -> Result<(), FetchError> {
        let mut to = File::options().write(true).open(path).map_err(|source| tried(path, source))?;
        for start in range.clone().step_by(PIECE as usize) {
            let bytes = self.read(file, start..range.end.min(start + PIECE))?;
            let written = to.seek(SeekFrom::Start(start)).and_then(|_| to.write_all(&bytes));
            written.map_err(|source| tried(path, source))?;
            ticker.add(bytes.len() as u64);
        }
        Ok(())
    }

    fn read(&self, file: &RemoteFile, range: Range<u64>) -> Result<Vec<u8>, FetchError> {
        Ok(self.hub.read_range(self.repo, &self.pin.commit, file, range)?)
    }
}

/// Joins ranges of the same file that are at most [`GAP`] apart.
fn joined(ranges: Vec<(usize, Range<u64>)>) -> Vec<(usize, Range<u64>)> {
    let mut joined: Vec<(usize, Range<u64>)> = Vec::new();
    for (at, range) in ranges {
        match joined.last_mut() {
            Some((before, last)) if *before == at && range.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push((at, range)),
        }
    }
    joined
}

/// The folder of such files, without those of processes that have ended.
fn folder(cache: &Path) -> Result<PathBuf, FetchError> {
    let folder = cache.join(".pythia").join("parts");
    pythia_files::remove_abandoned(&folder).map_err(|source| tried(&folder, source))?;
    Ok(folder)
}

fn tried(path: &Path, source: io::Error) -> FetchError {
    FetchError::Cache(LruError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_fetched_together_and_files_are_kept_apart() {
        let far = 2 * GAP;
        let ranges = vec![
            (0, 10..20),
            (0, 20..30),
            (0, 30 + GAP..40 + GAP),
            (0, far + GAP..far + GAP + 5),
            (1, far + GAP + 5..far + GAP + 9),
        ];
        let expected = [(0, 10..40 + GAP), (0, far + GAP..far + GAP + 5), (1, far + GAP + 5..far + GAP + 9)];
        assert_eq!(joined(ranges), expected);
        assert_eq!(joined(Vec::new()), []);
    }
}
