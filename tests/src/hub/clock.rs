//! A clock for tests: waits end at once and are counted.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pythia_hub::Clock;

/// A clock whose waits are over at once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct QuickClock {
    waited: Arc<Mutex<Duration>>,
}

impl QuickClock {
    /// The sum of all waits.
    pub fn waited(&self) -> Duration {
        *self.waited.lock().expect("no test panics with it")
    }
}

impl Clock for QuickClock {
    fn elapsed(&self) -> Duration {
        self.waited()
    }

    fn today(&self) -> SystemTime {
        // Sun, 06 Nov 1994 08:49:37 GMT.
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn sleep(&self, time: Duration) {
        *self.waited.lock().expect("no test panics with it") += time;
    }
}
