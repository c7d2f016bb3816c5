//! Progress on stderr: a bar on a terminal, otherwise a plain line every ten seconds, for log files.

use std::time::{Duration, Instant};

use crate::terminal::say;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A plain line appears at most this often, apart from the first and the last one.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

const STYLE: &str = "{prefix} {wide_bar} {pos}/{len} {msg} (eta {eta})";

/// The progress of a known number of units.
#[derive(Debug)]
pub(crate) struct Progress {
    title: String,
    total: usize,
    done: usize,
    started: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts counting to `total`.
    pub(crate) fn new(title: impl Into<String>, total: usize) -> Self {
        let title = title.into();
        // Without a terminal the library prints nothing at all, hence the second form.
        let bar = (!ProgressDrawTarget::stderr().is_hidden()).then(|| bar(&title, total));
        Self { title, total, done: 0, started: Instant::now(), last_line: None, bar }
    }

    /// Counts one more unit, which was `what`.
    pub(crate) fn advance(&mut self, what: &str) {
        self.advance_to(self.done + 1, what);
    }

    /// Sets the count, for work that counts by itself.
    pub(crate) fn advance_to(&mut self, done: usize, what: &str) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.set_position(done as u64);
        } else if self.line_is_due(Instant::now()) {
            say!("{}", self.line(what));
        }
    }

    /// Prints a line of its own, above the bar where there is one.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn line_is_due(&mut self, now: Instant) -> bool {
        let due = self.last_line.is_none_or(|last| now.duration_since(last) >= PLAIN_EVERY) || self.done == self.total;
        if due {
            self.last_line = Some(now);
        }
        due
    }

    fn line(&self, what: &str) -> String {
        let elapsed = self.started.elapsed();
        let left = self.total.saturating_sub(self.done);
        let eta = elapsed.checked_div(self.done.max(1) as u32).unwrap_or_default() * left as u32;
        format!("{} {}/{} {what}, {} left", self.title, self.done, self.total, HumanDuration(eta))
    }
}

fn bar(title: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(500));
    match ProgressStyle::with_template(STYLE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_first_last_and_rarely() {
        let mut progress = Progress::new("sweep", 3);
        let start = Instant::now();
        progress.done = 1;
        assert!(progress.line_is_due(start));
        progress.done = 2;
        assert!(!progress.line_is_due(start + Duration::from_secs(1)));
        assert!(progress.line_is_due(start + Duration::from_secs(11)));
        progress.done = 3;
        assert!(progress.line_is_due(start + Duration::from_secs(12)));
        assert!(progress.line("nano step 2").starts_with("sweep 3/3 nano step 2, 0 seconds left"));
    }

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(STYLE).is_ok());
    }
}
