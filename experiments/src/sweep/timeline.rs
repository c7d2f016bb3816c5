//! How long each stage of a sweep worked, and on what.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// A stage; each has a thread of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Fetching files; hashes are checked while they are written.
    Fetch,
    /// Reading weights: hashed and decoded at once.
    Load,
    /// Running the model under the probes.
    Compute,
    /// Encoding and writing tables.
    Write,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Fetch, Stage::Load, Stage::Compute, Stage::Write];

    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Fetch => "fetching",
            Stage::Load => "loading",
            Stage::Compute => "computing",
            Stage::Write => "writing",
        }
    }
}

/// A piece of work; seconds count from the start of the sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Span {
    pub(crate) stage: Stage,
    /// The checkpoint, as in messages.
    pub(crate) cell: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// The work of all stages.
#[derive(Debug)]
pub(crate) struct Timeline {
    started: Instant,
    spans: Mutex<Vec<Span>>,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), spans: Mutex::default() }
    }

    /// Does a piece of work and notes how long it took.
    pub(crate) fn time<T>(&self, stage: Stage, cell: &str, work: impl FnOnce() -> T) -> T {
        let from = self.seconds();
        let result = work();
        let span = Span { stage, cell: cell.to_owned(), from, to: self.seconds() };
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        result
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What was noted so far.
    pub(crate) fn summary(&self) -> Summary {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spans.sort_by(|a, b| a.from.total_cmp(&b.from).then(a.stage.cmp(&b.stage)));
        Summary { seconds: self.seconds(), spans }
    }
}

/// A finished timeline.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) seconds: f64,
    /// Every piece of work, in order of their beginnings.
    pub(crate) spans: Vec<Span>,
}

impl Summary {
    /// For `state/timeline.json`.
    pub(crate) fn json(&self) -> String {
        // Numbers and names always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Seconds that a stage worked.
    pub(crate) fn busy(&self, stage: Stage) -> f64 {
        self.spans.iter().filter(|span| span.stage == stage).fold(0.0, |sum, span| sum + span.to - span.from)
    }

    /// The stage that worked longest.
    pub(crate) fn slowest(&self) -> Stage {
        Stage::ALL.into_iter().max_by(|a, b| self.busy(*a).total_cmp(&self.busy(*b))).unwrap_or(Stage::Compute)
    }
}

impl fmt::Display for Summary {
    /// One line: `Slowest stage: computing (93 % of the time); fetching 0 %, loading 31 %, writing 1 %.`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |stage| 100.0 * self.busy(stage) / self.seconds.max(f64::MIN_POSITIVE);
        let slowest = self.slowest();
        let others = Stage::ALL.into_iter().filter(|stage| *stage != slowest);
        let others: Vec<String> = others.map(|stage| format!("{} {:.0} %", stage.name(), share(stage))).collect();
        write!(f, "Slowest stage: {} ({:.0} % of the time); {}.", slowest.name(), share(slowest), others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(stage: Stage, from: f64, to: f64) -> Span {
        Span { stage, cell: "c".into(), from, to }
    }

    #[test]
    fn the_busiest_stage_bounds_the_sweep() {
        let spans = vec![span(Stage::Load, 0.0, 1.0), span(Stage::Compute, 1.0, 4.0), span(Stage::Load, 1.0, 2.0)];
        let summary = Summary { seconds: 4.0, spans };
        assert_eq!((summary.busy(Stage::Load), summary.slowest()), (2.0, Stage::Compute));
        let line = "Slowest stage: computing (75 % of the time); fetching 0 %, loading 50 %, writing 0 %.";
        assert_eq!(summary.to_string(), line);
    }

    #[test]
    fn work_is_noted_in_order() {
        let timeline = Timeline::start();
        assert_eq!(timeline.time(Stage::Compute, "a", || 7), 7);
        timeline.time(Stage::Write, "a", || ());
        let summary = timeline.summary();
        assert_eq!(summary.spans.iter().map(|span| span.stage).collect::<Vec<_>>(), [Stage::Compute, Stage::Write]);
        assert!(summary.spans.iter().all(|span| span.from <= span.to && span.to <= summary.seconds));
    }
}
