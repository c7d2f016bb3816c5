//! A forward pass with hooks per intervention: in full, or from the first layer that the intervention edits.

use pythia_core::model::Residual;
use pythia_hooks::{Interventions, Site};

use super::{EngineInput, IntervenedRun, Outcome};
use crate::error::ProbeError;

/// What one intervention did, by a full forward pass.
pub(super) fn outcome(input: &EngineInput<'_>, intervention: &IntervenedRun) -> Result<Outcome, ProbeError> {
    run(input, intervention, None)
}

/// What one intervention did, starting at the first layer that it edits, from the base run's residual stream.
/// For sites that the cone does not know.
pub(super) fn restarted(input: &EngineInput<'_>, intervention: &IntervenedRun) -> Result<Outcome, ProbeError> {
    // The embedding lies before every layer and has none itself, so a change there needs the full pass.
    let embed = intervention.changes.iter().any(|change| change.point.site() == Site::Embed);
    let first = intervention.changes.iter().filter_map(|change| change.point.layer()).min().filter(|_| !embed);
    let stream =
        first.and_then(|layer| Some((layer, input.base.get(Site::ResidPre.at(layer))?.clone().into_tensor()?)));
    run(input, intervention, stream.map(|(layer, stream)| Residual { layer, stream }))
}

/// Runs on from `start`, or from the tokens.
fn run(input: &EngineInput<'_>, intervention: &IntervenedRun, start: Option<Residual>) -> Result<Outcome, ProbeError> {
    // What makes the base run comes before what changes it; from a later layer on it is in the stream already.
    let made = if start.is_none() { input.base.edits() } else { Vec::new() };
    let list = made.into_iter().chain(intervention.hooks(input.sources)).collect();
    let mut hooks = Interventions::new(list, &input.model.model_shape())?;
    let start = start.unwrap_or_else(|| input.model.embed(input.model.tokens(input.base.tokens()), &mut hooks));
    let end = input.model.advance(start, input.model.config().n_layers, &mut hooks);
    hooks.finish()?;
    let rows = input.readout.rows(&end.stream);
    let all: Vec<usize> = (0..input.readout.n_examples()).collect();
    let changed = input.changed(rows.clone())?;
    Ok(Outcome { scores: input.readout.read(input.model, rows, &all, &input.base_rows())?, changed })
}
