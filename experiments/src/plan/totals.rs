//! What is left of a plan, summed up.

use serde::Serialize;

use super::{Cell, Plan};
use crate::resolved::weight_scope::Source;

/// What is left of a plan, summed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Cells of the plan.
    pub cells: usize,
    /// Cells that are done.
    pub done: usize,
    /// Cells in whose place lie results of other settings, or a damaged file: a run refuses to begin.
    pub refused: usize,
    /// Cells that are not done and whose checkpoint is not there.
    pub missing: usize,
    /// What comes from the hub.
    pub fetch: Fetching,
    /// Bytes of weights to read.
    pub bytes: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of memory at the peak.
    pub peak_memory: u64,
}

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetching {
    /// Checkpoints.
    pub checkpoints: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the largest of them.
    pub largest: u64,
    /// Whether these sizes are pinned, and not what the suite's files usually have.
    pub pinned: bool,
}

impl Fetching {
    fn of(sources: impl Iterator<Item = Source>) -> Self {
        let mut fetching = Self { checkpoints: 0, bytes: 0, largest: 0, pinned: true };
        for source in sources {
            if let Source::Hub { bytes, pinned } = source {
                fetching.checkpoints += 1;
                fetching.bytes += bytes;
                fetching.largest = fetching.largest.max(bytes);
                fetching.pinned &= pinned;
            }
        }
        fetching
    }
}

impl Plan {
    /// The sums over the cells that are not done.
    pub fn totals(&self) -> Totals {
        let open: Vec<&Cell> = self.cells.iter().filter(|cell| !cell.is_done()).collect();
        let sources = || open.iter().map(|cell| cell.source).chain(self.donors.iter().map(|donor| donor.source));
        Totals {
            cells: self.cells.len(),
            done: self.cells.len() - open.len(),
            refused: open.iter().filter(|cell| cell.is_refused()).count(),
            missing: open.iter().filter(|cell| cell.source == Source::Nowhere).count(),
            fetch: Fetching::of(sources()),
            bytes: sources().filter_map(Source::bytes).sum(),
            flops: open.iter().map(|cell| cell.cost.flops).sum(),
            peak_memory: open.iter().map(|cell| cell.cost.memory).max().unwrap_or(0),
        }
    }
}
