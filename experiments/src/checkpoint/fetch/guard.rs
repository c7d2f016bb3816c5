//! Files that are kept while a cell needs them, and waiting for one of them to be let go.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pythia_hub::Hold;

/// Looked at again this often, in case another process let something go.
const NAP: Duration = Duration::from_millis(500);

/// How many checkpoints this sweep keeps from being evicted.
#[derive(Clone, Debug, Default)]
pub(super) struct GuardCount(Arc<(Mutex<usize>, Condvar)>);

/// A checkpoint that is not evicted until this is dropped.
#[derive(Debug)]
pub(crate) struct CacheGuard {
    // Before the count of guards, so that whoever is woken finds it gone.
    hold: Option<Hold>,
    guards: GuardCount,
}

impl GuardCount {
    /// Keeps a checkpoint.
    pub(crate) fn keep(&self, hold: Hold) -> CacheGuard {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        CacheGuard { hold: Some(hold), guards: self.clone() }
    }

    /// Waits until something was let go, or a moment; `false` where nothing is kept that could be.
    pub(crate) fn wait(&self) -> bool {
        let (count, changed) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            return false;
        }
        drop(changed.wait_timeout(count, NAP));
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
