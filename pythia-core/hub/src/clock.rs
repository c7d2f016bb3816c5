//! The clock that the client uses, which tests replace, and the limits on waiting for a server.

use std::time::{Duration, Instant, SystemTime};

/// The time as the client sees it. Tests use a clock that does not wait.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use pythia_hub::{Clock, Endpoint, Hub, Settings};
///
/// struct Frozen;
///
/// impl Clock for Frozen {
///     fn elapsed(&self) -> Duration {
///         Duration::ZERO
///     }
///     fn today(&self) -> SystemTime {
///         SystemTime::UNIX_EPOCH
///     }
///     fn sleep(&self, _: Duration) {}
/// }
///
/// let hub = Hub::with_clock(Settings::new(Endpoint::default(), "cache".into()), Box::new(Frozen));
/// ```
pub trait Clock: Send + Sync {
    /// Time since a fixed moment. It never decreases.
    fn elapsed(&self) -> Duration;
    /// The calendar's time, for dates that a server names.
    fn today(&self) -> SystemTime;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn today(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// How often and how long the client waits for a server. A failure that follows at least [`RetryPolicy::PROGRESS`] new
/// bytes counts as the first again.
///
/// ```
/// use pythia_hub::{Endpoint, RetryPolicy, Settings};
///
/// let mut settings = Settings::new(Endpoint::default(), "cache".into());
/// settings.retry = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in a row without progress before an error is given.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each one that follows.
    pub first_wait: Duration,
    /// The longest wait between attempts where the server asks for none.
    pub longest_wait: Duration,
    /// The longest wait that a server may ask for; one that asks for more is given up at once. The public hub's windows
    /// have five minutes.
    pub longest_asked: Duration,
    /// The longest time for establishing a connection.
    pub connect: Duration,
    /// The time after which a connection that gives almost no bytes is given up.
    pub stall: Duration,
}

impl RetryPolicy {
    /// Bytes that count as progress.
    pub const PROGRESS: u64 = 1 << 20;
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            longest_asked: Duration::from_secs(330),
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
        }
    }
}
