//! A forward pass with hooks per cell: in full, or from the layer that the cell touches first.

use pythia_core::model::Residual;
use pythia_hooks::{Interventions, Site};

use super::{IntervenedRun, Scores, Sweep};
use crate::error::ProbeError;

/// The metrics of one cell, by a full forward pass.
pub(super) fn scores(sweep: &Sweep<'_>, cell: &IntervenedRun) -> Result<Scores, ProbeError> {
    run(sweep, cell, None)
}

/// The metrics of one cell, by running on from the base run's stream before the first layer that it touches. For sites that the
/// cone does not know.
pub(super) fn restarted(sweep: &Sweep<'_>, cell: &IntervenedRun) -> Result<Scores, ProbeError> {
    // A change of the embedding lies before every layer, and what has no layer otherwise lies behind them all.
    let embed = cell.changes.iter().any(|change| change.point.site() == Site::Embed);
    let first = cell.changes.iter().filter_map(|change| change.point.layer()).min().filter(|_| !embed);
    let stream =
        first.and_then(|layer| Some((layer, sweep.base.get(Site::ResidPre.at(layer))?.clone().into_tensor()?)));
    run(sweep, cell, stream.map(|(layer, stream)| Residual { layer, stream }))
}

/// Runs on from `start`, or from the tokens.
fn run(sweep: &Sweep<'_>, cell: &IntervenedRun, start: Option<Residual>) -> Result<Scores, ProbeError> {
    let mut hooks = Interventions::new(cell.interventions(sweep.sources), &sweep.model.model_shape())?;
    let start = start.unwrap_or_else(|| sweep.model.embed(sweep.model.tokens(sweep.base.tokens()), &mut hooks));
    let end = sweep.model.advance(start, sweep.model.config().n_layers, &mut hooks);
    hooks.finish()?;
    let rows = sweep.readout.rows(&end.stream);
    let all: Vec<usize> = (0..sweep.readout.n_examples()).collect();
    sweep.readout.read(sweep.model, rows, &all, &sweep.base_rows())
}
