//! Bytes from a connection into a file: one thread reads and writes, another hashes what was written, and a few large buffers go round
//! between them, so that nothing is copied twice and hashing costs no time of its own.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::HubError;
use super::digest::Hasher;
use super::http::{Answer, Http, Trouble};
use super::partial::Partial;
use super::tries::Pace;

/// One buffer. Several are under way at once, and together they should stay in the processor's caches.
const BUFFER: usize = 1 << 20;
const BUFFERS: usize = 4;
/// Files up to this size are not worth a thread.
const SMALL: u64 = 1 << 20;
/// A slow connection's bytes are on the disk after this time, so that a kill loses little.
const FLUSH: Duration = Duration::from_millis(500);

/// Appends up to `max` bytes of a body to a file; fewer when the body ends or breaks.
pub(super) fn receive(
    http: &Http,
    answer: &mut Answer,
    partial: &mut Partial,
    max: u64,
    watch: &(dyn Fn(u64) + Sync),
) -> Result<(), Trouble> {
    let mut source = Source { http, answer, pace: http.pace(), left: max, watch };
    if max <= SMALL {
        let mut buffer = vec![0; max as usize];
        let (filled, trouble) = source.fill(&mut buffer);
        partial.write(&buffer[..filled]).map_err(|error| io_at(partial, error))?;
        return trouble;
    }
    let hasher = partial.take_hasher();
    let (outcome, hasher) = thread::scope(|scope| {
        let (full, hashed) = sync_channel(BUFFERS);
        let (free, empty) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            let _ = free.send(vec![0; BUFFER]);
        }
        let hashing = scope.spawn(move || hash_all(hasher, &hashed, &free));
        let outcome = pump(&mut source, &partial.file, &mut partial.written, &full, &empty);
        drop(full);
        (outcome, hashing.join())
    });
    partial.give_hasher(hasher.map_err(|_| Trouble::Broken("hashing failed".to_owned()))?);
    match outcome {
        Pumped::Ended(trouble) => trouble,
        Pumped::Disk(error) => Err(io_at(partial, error)),
    }
}

/// A body as it comes.
struct Source<'a> {
    http: &'a Http,
    answer: &'a mut Answer,
    pace: Pace,
    left: u64,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl Source<'_> {
    /// Fills a buffer, or as much of it as comes before the end, a failure, or the time after which bytes should be on the disk.
    fn fill(&mut self, buffer: &mut [u8]) -> (usize, Result<(), Trouble>) {
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
                Err(trouble) => return (filled, Err(trouble)),
            }
        }
        (filled, Ok(()))
    }
}

enum Pumped {
    /// The body's end, or what broke it.
    Ended(Result<(), Trouble>),
    /// The file could not be written.
    Disk(io::Error),
}

type Buffer = Vec<u8>;

/// Reads, writes, and passes on to be hashed.
fn pump(
    source: &mut Source,
    mut file: &File,
    written: &mut u64,
    full: &SyncSender<(Buffer, usize)>,
    empty: &Receiver<Buffer>,
) -> Pumped {
    while source.left > 0 {
        let Ok(mut buffer) = empty.recv() else { break };
        let (filled, trouble) = source.fill(&mut buffer);
        if let Err(error) = file.write_all(&buffer[..filled]) {
            return Pumped::Disk(error);
        }
        *written += filled as u64;
        if full.send((buffer, filled)).is_err() || trouble.is_err() {
            return Pumped::Ended(trouble);
        }
    }
    Pumped::Ended(Ok(()))
}

fn hash_all(mut hasher: Hasher, full: &Receiver<(Buffer, usize)>, free: &SyncSender<Buffer>) -> Hasher {
    while let Ok((buffer, filled)) = full.recv() {
        hasher.update(&buffer[..filled]);
        let _ = free.send(buffer);
    }
    hasher
}

pub(super) fn io_at(partial: &Partial, source: io::Error) -> Trouble {
    HubError::Io { path: partial.path.clone(), source }.into()
}
