//! How often a question is asked again, and what happens in between.

use core::time::Duration;

use super::HubError;
use super::http::{Http, Trouble};
use super::url::Url;

/// The least that a connection must give in [`Patience::stall`](super::Patience::stall).
pub(super) const LEAST: u64 = 1 << 10;

/// How much a connection gave lately.
pub(super) struct Pace {
    since: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Notes bytes that arrived at `now`; tells whether they come so slowly that the connection is as good as dead.
    pub(super) fn is_too_slow(&mut self, bytes: u64, now: Duration, stall: Duration) -> bool {
        self.bytes += bytes;
        let full = now.saturating_sub(self.since) >= stall;
        let slow = full && self.bytes < LEAST;
        if full {
            *self = Self::new(now);
        }
        slow
    }
}

/// Attempts at one thing.
pub(super) struct Retry<'a> {
    http: &'a Http,
    url: &'a Url,
    failed: u32,
}

impl<'a> Retry<'a> {
    pub(super) fn new(http: &'a Http, url: &'a Url) -> Self {
        Self { http, url, failed: 0 }
    }

    /// What must hold before an attempt: nobody wants to stop, and no wait that a server asked for is still running.
    pub(super) fn before(&self) -> Result<(), HubError> {
        self.http.sleep(self.http.closed_for())
    }

    /// The next failure is the first again.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// After a failed attempt: waits and comes back for the next, or gives the error.
    pub(super) fn after(&mut self, trouble: Trouble) -> Result<(), HubError> {
        let patience = self.http.settings().patience;
        self.failed += 1;
        let spent = self.failed >= patience.attempts;
        let own = patience.first_wait.saturating_mul(1 << (self.failed - 1).min(16)).min(patience.longest_wait);
        let url = self.url.shown();
        match trouble {
            Trouble::Final(error) => Err(error),
            Trouble::Broken(problem) if spent => Err(HubError::Unreachable { url, problem, attempts: self.failed }),
            Trouble::Busy { status, after } if spent || after.is_some_and(|after| after > patience.longest_asked) => {
                Err(HubError::Busy { url, status, after })
            }
            Trouble::Busy { after: Some(after), .. } => {
                self.http.close(after);
                Ok(())
            }
            Trouble::Broken(_) | Trouble::Busy { .. } => self.http.sleep(jittered(own, self.failed)),
        }
    }
}

/// Between half and the whole of a wait, so that processes that failed together do not all come back together.
fn jittered(wait: Duration, attempt: u32) -> Duration {
    let mixed = (u64::from(std::process::id()) << 8 | u64::from(attempt)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    wait / 2 + (wait / 2).mul_f64((mixed >> 40) as f64 / (1u64 << 24) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_as_good_as_nothing() {
        let (stall, second) = (Duration::from_secs(30), Duration::from_secs(1));
        let drips = |bytes: u64| {
            let mut pace = Pace::new(Duration::ZERO);
            (1..100u32).any(|at| pace.is_too_slow(bytes, second * at, stall))
        };
        assert!(drips(1) && drips(34) && !drips(35) && !drips(1 << 20));
    }

    #[test]
    fn waits_are_spread_within_bounds() {
        let wait = Duration::from_secs(8);
        for attempt in 0..20 {
            assert!((wait / 2..=wait).contains(&jittered(wait, attempt)));
        }
        assert_ne!(jittered(wait, 1), jittered(wait, 2));
    }
}
