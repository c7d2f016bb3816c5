//! Guards that keep checkpoints from being evicted, and waiting for one to be dropped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pythia_hub::FilesInUse;

/// Time between two attempts: another process may have released something.
const PAUSE: Duration = Duration::from_millis(500);

/// Counts the guards that are alive in this sweep.
#[derive(Clone, Debug, Default)]
pub(super) struct GuardCount(Arc<(Mutex<usize>, Condvar)>);

/// A checkpoint that is not evicted until this is dropped.
#[derive(Debug)]
pub(crate) struct CacheGuard {
    /// Released before the count of guards falls, so that a thread that wakes up finds the room.
    hold: Option<FilesInUse>,
    guards: GuardCount,
}

impl GuardCount {
    /// Guards a checkpoint.
    pub(crate) fn keep(&self, hold: FilesInUse) -> CacheGuard {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        CacheGuard { hold: Some(hold), guards: self.clone() }
    }

    /// Waits for a guard to be dropped, at most [`PAUSE`]; `false` if there is none.
    pub(crate) fn wait(&self) -> bool {
        let (count, changed) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            return false;
        }
        drop(changed.wait_timeout(count, PAUSE));
        true
    }
}

impl Drop for CacheGuard {
    fn drop(&mut self) {
        drop(self.hold.take());
        let (count, changed) = &*self.guards.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_all();
    }
}
