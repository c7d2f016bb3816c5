//! A line now and then while a checkpoint is fetched.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::terminal::human;
use crate::terminal::say;

/// A line appears at most this often; what is quicker needs none.
const EVERY: Duration = Duration::from_secs(5);

/// How far a fetch is.
pub(super) struct Ticker {
    name: String,
    total: u64,
    state: Mutex<State>,
}

struct State {
    done: u64,
    started: Instant,
    last: Instant,
}

impl Ticker {
    /// Starts counting to `total` bytes of the checkpoint called `name`.
    pub(crate) fn new(name: String, total: u64) -> Self {
        let now = Instant::now();
        Self { name, total, state: Mutex::new(State { done: 0, started: now, last: now }) }
    }

    /// Counts bytes that arrived.
    pub(crate) fn add(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += bytes;
        let now = Instant::now();
        if now.duration_since(state.last) >= EVERY {
            state.last = now;
            let line = self.line(state.done, now.duration_since(state.started).as_secs_f64());
            say!("{line}");
        }
    }

    fn line(&self, done: u64, seconds: f64) -> String {
        let rate = done as f64 / seconds.max(f64::MIN_POSITIVE);
        let left = human::seconds(self.total.saturating_sub(done) as f64 / rate.max(1.0));
        let [done, total, rate] = [done, self.total, rate as u64].map(human::bytes);
        format!("fetching {}: {done} of {total}, {rate}/s, {left} left", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_long() {
        let ticker = Ticker::new("pythia-12b step1000".into(), 24_000_000_000);
        let line = "fetching pythia-12b step1000: 4.0 GB of 24.0 GB, 100.0 MB/s, 3.3 min left";
        assert_eq!(ticker.line(4_000_000_000, 40.0), line);
    }
}
