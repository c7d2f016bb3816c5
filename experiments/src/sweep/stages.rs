//! The threads of a sweep and the bounded queues between them.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::timeline::{Stage, Timeline};
use super::write::{ComputedCell, Writer};
use crate::checkpoint::fetch::{FetchError, Fetched, HubFetcher};
use crate::checkpoint::load::{self, Job, LoadError, Loaded};
use crate::files::folder::FolderError;
use crate::sweep::outcome::Outcome;

/// A checkpoint whose files were fetched, or the error.
type Delivery<'a> = (Job<'a>, Result<Fetched, FetchError>);

/// Fetches the files of checkpoints in order, as many ahead as the fetcher has room for.
pub(super) fn fetch<'scope>(
    scope: &'scope Scope<'scope, '_>,
    jobs: Vec<Job<'scope>>,
    fetcher: &'scope HubFetcher<'_>,
    timeline: &'scope Timeline,
) -> Receiver<Delivery<'scope>> {
    // One more is under way, and one more is being loaded.
    let (sender, receiver) = sync_channel(fetcher.ahead());
    scope.spawn(move || {
        for job in jobs {
            let fetched = timeline.time(Stage::Fetch, &job.name(), || fetcher.fetch(&job));
            // The receiver goes away when the sweep stops early.
            if sender.send((job, fetched)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The checkpoints of a sweep, in the order in which they are asked for.
pub(super) struct Arriving {
    asking: Sender<()>,
    loaded: Receiver<Result<Loaded, LoadError>>,
}

impl Arriving {
    /// The next checkpoint.
    pub(crate) fn next(&self) -> Result<Loaded, LoadError> {
        // If the loader has ended, `recv` fails below.
        let _ = self.asking.send(());
        self.loaded.recv().unwrap_or(Err(LoadError::ReaderEnded))
    }
}

/// Loads checkpoints, each when it is asked for, or one `ahead` of that: then exactly one more is in memory, decoded
/// and waiting, while one computes, which is what bounds the memory of a sweep.
pub(super) fn load<'scope>(
    scope: &'scope Scope<'scope, '_>,
    fetched: Receiver<Delivery<'scope>>,
    ahead: bool,
    fetcher: &'scope HubFetcher<'_>,
    timeline: &'scope Timeline,
) -> Arriving {
    let (sender, loaded) = sync_channel(0);
    let (asking, asked) = channel();
    if ahead {
        // One request in advance makes every load one checkpoint ahead.
        let _ = asking.send(());
    }
    scope.spawn(move || {
        for (job, fetched) in fetched {
            // The sender is gone when the sweep stops early.
            if asked.recv().is_err() {
                return;
            }
            let loaded = timeline.time(Stage::Load, &job.name(), || take(&job, fetched, fetcher));
            if sender.send(loaded).is_err() {
                return;
            }
        }
    });
    Arriving { asking, loaded }
}

/// Loads what was fetched. If another process that shares the cache has evicted it meanwhile, it is fetched once more.
fn take(job: &Job<'_>, fetched: Result<Fetched, FetchError>, fetcher: &HubFetcher<'_>) -> Result<Loaded, LoadError> {
    match load::load(job, fetched?) {
        Err(error) if error.is_absence() && fetcher.can_fetch(job) => load::load(job, fetcher.fetch(job)?),
        loaded => loaded,
    }
}

/// Writes answers. One may wait: the writer is far quicker than what fills it.
pub(super) fn write<'scope, 'c: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    writer: Writer<'scope>,
) -> (SyncSender<ComputedCell<'c>>, ScopedJoinHandle<'scope, Result<Outcome, FolderError>>) {
    let (sender, receiver) = sync_channel(1);
    (sender, scope.spawn(move || writer.run(receiver)))
}
