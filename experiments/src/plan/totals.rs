//! What is left of a plan, summed up.

use serde::Serialize;

use super::{Cell, Plan};
use crate::resolved::weight_scope::Location;

/// What is left of a plan, summed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) cells: usize,
    pub(crate) done: usize,
    /// Cells with results of other settings or a damaged file: a run refuses to begin.
    pub(crate) refused: usize,
    /// Cells that are not done and whose checkpoint is not there.
    pub(crate) missing: usize,
    /// What comes from the hub.
    pub(crate) fetch: Fetching,
    /// Bytes of weights to read.
    pub(crate) bytes: u64,
    pub(crate) flops: u64,
    /// Bytes of memory at the peak.
    pub(crate) peak_memory: u64,
}

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fetching {
    pub(crate) checkpoints: usize,
    pub(crate) bytes: u64,
    /// Bytes of the largest of them.
    pub(crate) largest: u64,
    /// Whether these sizes are pinned, and not what the suite's files usually have.
    pub(crate) pinned: bool,
}

impl Fetching {
    fn of(locations: impl Iterator<Item = Location>) -> Self {
        let mut fetching = Self { checkpoints: 0, bytes: 0, largest: 0, pinned: true };
        for location in locations {
            if let Location::Hub { bytes, pinned } = location {
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
    pub(crate) fn totals(&self) -> Totals {
        let open: Vec<&Cell> = self.cells.iter().filter(|cell| !cell.is_done()).collect();
        let locations =
            || open.iter().map(|cell| cell.location).chain(self.sources.iter().map(|source| source.location));
        Totals {
            cells: self.cells.len(),
            done: self.cells.len() - open.len(),
            refused: open.iter().filter(|cell| cell.is_refused()).count(),
            missing: open.iter().filter(|cell| cell.location == Location::Nowhere).count(),
            fetch: Fetching::of(locations()),
            bytes: locations().filter_map(Location::bytes).sum(),
            flops: open.iter().map(|cell| cell.cost.flops).sum(),
            peak_memory: open.iter().map(|cell| cell.cost.memory).max().unwrap_or(0),
        }
    }
}
