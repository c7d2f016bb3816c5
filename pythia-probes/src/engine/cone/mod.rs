//! The causal cone of an intervention, for many interventions at once.
//!
//! An intervention at layer l and position p changes nothing before layer l and nothing before position p, and a
//! metric reads a few positions of the last layer. The engine goes through the layers once for all (example,
//! intervention) pairs. A pair joins at the layer that its intervention edits first, with the tokens that are edited
//! there, and keeps only the tokens whose residual stream differs from the base run's. The changed tokens of all
//! pairs form one matrix for the matrix products; attention reads the keys and values of unchanged tokens from the
//! base run. The last layer computes what the metrics read.
//!
//! A replacement that equals the base run's activation bit for bit changes nothing and is not computed, so that a run
//! patched with itself gives exactly the base run's metrics.

mod base_activations;
mod block;
mod changed_rows;
mod edits;
mod unit_plan;

use std::cell::Cell;
use std::ops::Range;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{HookPoint, ModelShape, Site};

use self::base_activations::BaseActivations;
use self::changed_rows::{ChangedRows, ExampleRun, Token, TokenSet};
use self::edits::Patches;
use super::{EngineInput, F32_BYTES, IntervenedRun, Outcome, Scores, naive, rows_differ};
use crate::error::ProbeError;
use crate::rows::select;

/// What the interventions cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConeCost {
    /// Floating-point operations of matrix products and attention, without the base run.
    pub flops: u64,
    /// Parts into which the memory budget split the (example, intervention) pairs.
    pub parts: usize,
}

/// Points that a base run must hold for interventions that edit the points `touched`.
pub fn base_points(model_shape: &ModelShape, touched: impl IntoIterator<Item = HookPoint>) -> Vec<HookPoint> {
    const ALWAYS: [Site; 7] = [Site::ResidPre, Site::RotQ, Site::RotK, Site::V, Site::Z, Site::AttnOut, Site::MlpOut];
    let always = (0..model_shape.n_layers).flat_map(|layer| ALWAYS.map(|site| site.at(layer)));
    let extra = touched.into_iter().filter(|point| matches!(point.site(), Site::Pattern | Site::MlpPost));
    let mut points: Vec<HookPoint> = always.chain(extra).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Whether the cone can edit activations at a site. An intervention at any other site is run with hooks, starting at
/// the first layer that it edits.
const fn knows(site: Site) -> bool {
    matches!(
        site,
        Site::Embed
            | Site::ResidPre
            | Site::Q
            | Site::K
            | Site::V
            | Site::RotQ
            | Site::RotK
            | Site::Pattern
            | Site::Z
            | Site::Result
            | Site::AttnOut
            | Site::ResidMid
            | Site::MlpPost
            | Site::MlpOut
            | Site::ResidPost
    )
}

/// The metrics of every intervention in the order given, and what they cost.
///
/// # Errors
/// An intervention that does not fit the run, reading from the device.
pub fn scores(input: &EngineInput<'_>, interventions: &[IntervenedRun]) -> Result<(Vec<Scores>, ConeCost), ProbeError> {
    let (outcomes, cost) = outcomes(input, interventions)?;
    Ok((outcomes.into_iter().map(|outcome| outcome.scores).collect(), cost))
}

/// What every intervention did in the order given, and what they cost.
///
/// # Errors
/// Those of [`scores`].
pub(super) fn outcomes(
    input: &EngineInput<'_>,
    interventions: &[IntervenedRun],
) -> Result<(Vec<Outcome>, ConeCost), ProbeError> {
    for intervention in interventions {
        // The hooks check that the intervention fits the model; this is before anything is computed.
        pythia_hooks::Interventions::new(intervention.hooks(input.sources), &input.model.model_shape())?;
    }
    let unchanged = Outcome { scores: input.base_scores()?, changed: vec![false; input.base.batch()] };
    let mut found = vec![unchanged; interventions.len()];
    let activations = BaseActivations { model: input.model, base: input.base, sources: input.sources };
    let known = |intervention: &IntervenedRun| intervention.changes.iter().all(|change| knows(change.point.site()));
    for (index, intervention) in interventions.iter().enumerate().filter(|(_, intervention)| !known(intervention)) {
        found[index] = naive::restarted(input, intervention)?;
    }
    let mut cone = Cone::new(input, interventions, activations)?;
    let runs: Vec<ExampleRun> = (0..interventions.len())
        .filter(|index| known(&interventions[*index]))
        .flat_map(|intervention| (0..input.base.batch()).map(move |example| ExampleRun { intervention, example }))
        .collect();
    let parts = cone.parts(&runs);
    for part in &parts {
        cone.runs = runs[part.clone()].to_vec();
        for (run, values, changed) in cone.scores()? {
            found[run.intervention].scores[run.example] = values;
            found[run.intervention].changed[run.example] = changed;
        }
    }
    Ok((found, ConeCost { flops: cone.flops.get(), parts: parts.len() }))
}

/// The state of the engine on its way through the layers.
struct Cone<'a> {
    input: &'a EngineInput<'a>,
    activations: BaseActivations<'a>,
    patches: Patches,
    /// The pairs that are computed together at present.
    runs: Vec<ExampleRun>,
    /// Per prompt, the positions that the metrics read, ascending.
    wanted: Vec<Vec<usize>>,
    flops: Cell<u64>,
}

impl<'a> Cone<'a> {
    fn new(
        input: &'a EngineInput<'a>,
        interventions: &[IntervenedRun],
        activations: BaseActivations<'a>,
    ) -> Result<Self, ProbeError> {
        let patches = Patches::of(interventions, &activations)?;
        let wanted = (0..input.readout.n_examples()).map(|example| input.readout.positions(example)).collect();
        Ok(Cone { input, activations, patches, runs: Vec::new(), wanted, flops: Cell::new(0) })
    }

    fn config(&self) -> &NeoxConfig {
        self.input.model.config()
    }

    /// The runs split into parts whose activations fit the memory; each part has at least one run.
    fn parts(&self, runs: &[ExampleRun]) -> Vec<Range<usize>> {
        let per_token = token_bytes(self.config(), self.input.base.length());
        let most = (self.input.memory / per_token).max(1);
        let (mut parts, mut from, mut tokens) = (Vec::new(), 0, 0);
        for (index, run) in runs.iter().enumerate() {
            let cost = self.tokens_of(run) as u64;
            if tokens + cost > most && index > from {
                parts.push(from..index);
                (from, tokens) = (index, 0);
            }
            tokens += cost;
        }
        if from < runs.len() {
            parts.push(from..runs.len());
        }
        parts
    }

    /// The largest number of changed tokens of a run: from the first one it touches to the last one that is read.
    fn tokens_of(&self, run: &ExampleRun) -> usize {
        let one = std::slice::from_ref(run);
        let first = |point| {
            let touched = self.patches.touched(point, one, &TokenSet::default());
            touched.as_slice().first().map(|token| token.position as usize)
        };
        let end = self.end(run);
        self.patches.points(run.intervention).filter_map(first).min().map_or(0, |first| end.saturating_sub(first))
    }

    /// The position after the last one that the metrics read of a run.
    fn end(&self, run: &ExampleRun) -> usize {
        self.wanted[run.example].last().map_or(0, |last| last + 1)
    }

    /// The metrics of the runs whose last residual stream was computed anew, and whether it differs from the base run's
    /// where it is read.
    fn scores(&self) -> Result<Vec<(ExampleRun, Vec<f64>, bool)>, ProbeError> {
        let mut changed = ChangedRows::default();
        for layer in 0..self.config().n_layers {
            changed = self.block(layer, changed);
        }
        let wanted = self.read_rows(&changed.tokens);
        let end = self.activations.base(Site::ResidPost.at(self.config().n_layers - 1));
        let (Some(end), false) = (end, wanted.is_empty()) else { return Ok(Vec::new()) };
        let Some(rows) = changed.gather(&wanted, &end, |token| self.base_row(token)) else { return Ok(Vec::new()) };
        let base: Vec<usize> = wanted.as_slice().iter().map(|token| self.base_row(token)).collect();
        let differs = rows_differ(rows.clone(), select(&end, &base))?;
        let mut rest = &differs[..];
        let changed = wanted.by_run().map(|tokens| {
            let (own, more) = rest.split_at(tokens.len());
            rest = more;
            own.contains(&true)
        });
        let changed: Vec<bool> = changed.collect();
        let runs: Vec<ExampleRun> = wanted.by_run().map(|tokens| self.runs[tokens[0].run as usize]).collect();
        let examples: Vec<usize> = runs.iter().map(|run| run.example).collect();
        let values = self.input.readout.read(self.input.model, rows, &examples, &self.input.base_rows())?;
        Ok(runs.into_iter().zip(values).zip(changed).map(|((run, values), changed)| (run, values, changed)).collect())
    }

    /// The tokens that the metrics read, of the runs of which at least one such token is in `changed`.
    fn read_rows(&self, changed: &TokenSet) -> TokenSet {
        let changed = changed.filter(|token| self.is_read(token));
        let all = changed.by_run().flat_map(|tokens| {
            let run = tokens[0].run;
            let positions = &self.wanted[self.runs[run as usize].example];
            positions.iter().map(move |&position| Token { run, position: position as u32 })
        });
        TokenSet::new(all.collect())
    }

    /// Whether the metrics read the last residual stream of a token.
    fn is_read(&self, token: &Token) -> bool {
        let example = self.runs[token.run as usize].example;
        self.wanted[example].binary_search(&(token.position as usize)).is_ok()
    }

    /// Whether a token comes no later than the last one that the metrics read.
    fn counts(&self, token: &Token) -> bool {
        (token.position as usize) < self.end(&self.runs[token.run as usize])
    }

    /// A token's row in activations of the base run, `[prompt · pos, width]`.
    fn base_row(&self, token: &Token) -> usize {
        self.runs[token.run as usize].example * self.input.base.length() + token.position as usize
    }

    fn spend(&self, flops: usize) {
        self.flops.set(self.flops.get() + flops as u64);
    }
}

/// Bytes that the activations of a changed token take at the peak of a layer. In attention these are the residual
/// stream, its norm, queries, keys and values, the tables of each, `hook_z` and patterns; in the MLP the stream, its
/// norm, attention's output, the neurons and the MLP's output.
pub(crate) fn token_bytes(config: &NeoxConfig, length: usize) -> u64 {
    let attention = 9 * config.d_model + config.n_heads * length;
    F32_BYTES * attention.max(5 * config.d_model + config.d_mlp) as u64
}
