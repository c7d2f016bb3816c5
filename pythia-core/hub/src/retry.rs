//! How often a request is made again, and how long to wait before.

use std::time::Duration;

use super::url::Url;
use super::{HubError, RetryPolicy};

/// The fewest bytes that a connection must give in [`RetryPolicy::stall`](super::RetryPolicy::stall).
pub(super) const LEAST: u64 = 1 << 10;

/// The bytes of a connection in the current interval.
pub(super) struct Pace {
    since: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Adds bytes that arrived at `now`. Returns whether the connection is too slow to go on with.
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

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// The connection failed; the next attempt may succeed.
    Broken(String),
    /// The server is busy.
    Busy { status: u16, after: Option<Duration> },
    /// Another attempt would not help.
    Final(HubError),
}

impl From<HubError> for AttemptError {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// What comes before the next attempt.
#[derive(Debug)]
pub(super) enum Wait {
    /// The server asks all requests to wait.
    ForServer(Duration),
    /// The wait between attempts where the server asks for none.
    Backoff(Duration),
}

/// The attempts at one request.
pub(super) struct Retry<'a> {
    policy: RetryPolicy,
    url: &'a Url,
    failed: u32,
}

impl<'a> Retry<'a> {
    pub(super) fn new(policy: RetryPolicy, url: &'a Url) -> Self {
        Self { policy, url, failed: 0 }
    }

    /// Counts the next failure as the first again.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// After a failed attempt: how long to wait for the next, or the error where there is none.
    pub(super) fn after(&mut self, failure: AttemptError) -> Result<Wait, HubError> {
        let RetryPolicy { attempts, first_wait, longest_wait, longest_asked, .. } = self.policy;
        self.failed += 1;
        let spent = self.failed >= attempts;
        let own = first_wait.saturating_mul(1 << (self.failed - 1).min(16)).min(longest_wait);
        let url = self.url.shown();
        match failure {
            AttemptError::Final(error) => Err(error),
            AttemptError::Broken(problem) if spent => {
                Err(HubError::Unreachable { url, problem, attempts: self.failed })
            }
            AttemptError::Busy { status, after } if spent || after.is_some_and(|after| after > longest_asked) => {
                Err(HubError::Busy { url, status, after })
            }
            AttemptError::Busy { after: Some(after), .. } => Ok(Wait::ForServer(after)),
            AttemptError::Broken(_) | AttemptError::Busy { .. } => Ok(Wait::Backoff(jittered(own, self.failed))),
        }
    }
}

/// Between half and the whole of a wait, so that processes that failed together do not all try again together.
fn jittered(wait: Duration, attempt: u32) -> Duration {
    let mixed = (u64::from(std::process::id()) << 8 | u64::from(attempt)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    wait / 2 + (wait / 2).mul_f64((mixed >> 40) as f64 / (1u64 << 24) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_with_less_than_the_least_pace_is_too_slow() {
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
