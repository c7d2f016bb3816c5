//! A cell run again from the layer it touches first: for sites that the wave does not know.

use pythia_core::model::Residual;
use pythia_hooks::{Interventions, Site};

use super::super::{Cell, Scores, Sweep};
use crate::error::ProbeError;

/// The metrics of one cell.
pub fn scores(sweep: &Sweep<'_>, cell: &Cell) -> Result<Scores, ProbeError> {
    let n_layers = sweep.model.config().n_layers;
    let mut hooks = Interventions::new(cell.interventions(sweep.donors), &sweep.model.anatomy())?;
    let first = cell.changes.iter().filter_map(|change| change.point.layer()).min().unwrap_or(n_layers);
    let touches_embed = cell.changes.iter().any(|change| change.point.site() == Site::Embed);
    let start = match sweep.base.get(Site::ResidPre.at(first)) {
        Some(stream) if !touches_embed => {
            stream.clone().into_tensor::<3>().map(|stream| Residual { layer: first, stream })
        }
        _ => None,
    };
    let start = start.unwrap_or_else(|| sweep.model.embed(sweep.model.tokens(sweep.base.tokens()), &mut hooks));
    let end = sweep.model.advance(start, n_layers, &mut hooks);
    hooks.finish()?;
    let rows = sweep.readout.rows(&end.stream);
    let all: Vec<usize> = (0..sweep.readout.n_examples()).collect();
    sweep.readout.read(sweep.model, rows, &all, &sweep.base_rows())
}
