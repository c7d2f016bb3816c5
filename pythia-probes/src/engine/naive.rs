//! A full forward pass per cell.

use pythia_hooks::Interventions;

use super::{Cell, Scores, Sweep};
use crate::error::ProbeError;

/// The metrics of one cell.
pub(super) fn scores(sweep: &Sweep<'_>, cell: &Cell) -> Result<Scores, ProbeError> {
    let mut hooks = Interventions::new(cell.interventions(sweep.donors), &sweep.model.anatomy())?;
    let start = sweep.model.embed(sweep.model.tokens(sweep.base.tokens()), &mut hooks);
    let end = sweep.model.advance(start, sweep.model.config().n_layers, &mut hooks);
    hooks.finish()?;
    let rows = sweep.readout.rows(&end.stream);
    let all: Vec<usize> = (0..sweep.readout.n_examples()).collect();
    sweep.readout.read(sweep.model, rows, &all, &sweep.base_rows())
}
