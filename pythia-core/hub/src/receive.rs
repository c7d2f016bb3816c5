//! Copies bytes from a connection into a file. One thread reads and writes, another hashes, a third syncs to the
//! disk. The first two exchange a few large buffers, so that nothing is copied twice and hashing overlaps with
//! reading.

use std::fs::File;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::HubError;
use super::digest::Hasher;
use super::http::{Answer, Http};
use super::partial::Partial;
use super::retry::{AttemptError, Pace};

/// Bytes of a buffer. Measured: larger ones gain nothing, smaller ones make the two threads wait for each other.
const BUFFER: usize = 2 << 20;
const BUFFERS: usize = 4;
/// Files up to this size are received without threads.
const SMALL: u64 = 1 << 20;
/// After so many new bytes the file is synced while more arrive, so that the last sync is short.
const SYNC: u64 = 64 << 20;
/// Bytes of a slow connection are written after this time, so that a kill loses few.
const FLUSH: Duration = Duration::from_millis(500);

/// Appends up to `max` bytes of a body to a file; fewer when the body ends or breaks.
pub(super) fn receive(
    http: &Http,
    answer: &mut Answer,
    partial: &mut Partial,
    max: u64,
    watch: &(dyn Fn(u64) + Sync),
) -> Result<(), AttemptError> {
    let mut source = Source { http, answer, pace: http.pace(), left: max, watch };
    if max <= SMALL {
        let mut buffer = vec![0; max as usize];
        let (filled, failure) = source.fill(&mut buffer);
        partial.write(&buffer[..filled]).map_err(|error| io_at(partial, error))?;
        return failure;
    }
    let hasher = partial.take_hasher();
    let (pumped, hasher, synced) = thread::scope(|scope| {
        let (full, hashed) = sync_channel(BUFFERS);
        let (free, empty) = sync_channel(BUFFERS);
        let (due, dues) = sync_channel(1);
        for _ in 0..BUFFERS {
            let _ = free.send(vec![0; BUFFER]);
        }
        let file = &partial.file;
        let hashing = scope.spawn(move || hash_all(hasher, &hashed, &free));
        let syncing = scope.spawn(move || dues.iter().try_for_each(|()| file.sync_data()));
        let pumped = Pump { file, full, empty, due }.run(&mut source, &mut partial.written);
        // A panic of either thread is a mistake of the program: neither a lost connection nor a file that was synced.
        let hasher = hashing.join().unwrap_or_else(|panic| resume_unwind(panic));
        let synced = syncing.join().unwrap_or_else(|panic| resume_unwind(panic));
        (pumped, hasher, synced)
    });
    partial.give_hasher(hasher);
    // The system reports an error of the disk once, so the last sync would not report this one again.
    synced.map_err(|error| io_at(partial, error))?;
    match pumped {
        Pumped::Ended(failure) => failure,
        Pumped::Disk(error) => Err(io_at(partial, error)),
    }
}

/// The body of an answer.
struct Source<'a> {
    http: &'a Http,
    answer: &'a mut Answer,
    pace: Pace,
    left: u64,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl Source<'_> {
    /// Fills a buffer until it is full, the body ends, the connection fails, or [`FLUSH`] has passed.
    fn fill(&mut self, buffer: &mut [u8]) -> (usize, Result<(), AttemptError>) {
        let (mut filled, since) = (0, Instant::now());
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        while filled < room && (filled == 0 || since.elapsed() < FLUSH) {
            match self.http.read(self.answer, &mut buffer[filled..room], &mut self.pace) {
                Ok(0) => {
                    self.left = 0;
                    break;
                }
                Ok(read) => {
                    filled += read;
                    self.left -= read as u64;
                    (self.watch)(read as u64);
                }
                Err(failure) => return (filled, Err(failure)),
            }
        }
        (filled, Ok(()))
    }
}

enum Pumped {
    /// The body ended, or the connection failed.
    Ended(Result<(), AttemptError>),
    /// The file could not be written.
    Disk(io::Error),
}

type Buffer = Vec<u8>;

/// Writes received buffers and passes them on to be hashed.
struct Pump<'a> {
    file: &'a File,
    full: SyncSender<(Buffer, usize)>,
    empty: Receiver<Buffer>,
    /// Signals that the file has enough new bytes to be synced.
    due: SyncSender<()>,
}

impl Pump<'_> {
    /// Reads, writes, and passes on to be hashed.
    fn run(mut self, source: &mut Source, written: &mut u64) -> Pumped {
        let mut synced = *written;
        while source.left > 0 {
            let Ok(mut buffer) = self.empty.recv() else { break };
            let (filled, failure) = source.fill(&mut buffer);
            if let Err(error) = self.file.write_all(&buffer[..filled]) {
                return Pumped::Disk(error);
            }
            *written += filled as u64;
            if *written - synced >= SYNC && self.due.try_send(()).is_ok() {
                synced = *written;
            }
            if self.full.send((buffer, filled)).is_err() || failure.is_err() {
                return Pumped::Ended(failure);
            }
        }
        Pumped::Ended(Ok(()))
    }
}

fn hash_all(mut hasher: Hasher, full: &Receiver<(Buffer, usize)>, free: &SyncSender<Buffer>) -> Hasher {
    while let Ok((buffer, filled)) = full.recv() {
        hasher.update(&buffer[..filled]);
        let _ = free.send(buffer);
    }
    hasher
}

pub(super) fn io_at(partial: &Partial, source: io::Error) -> AttemptError {
    HubError::Io { path: partial.path.clone(), source }.into()
}
