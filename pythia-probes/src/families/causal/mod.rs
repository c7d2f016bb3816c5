//! What probes that intervene share.
//!
//! - [`paired`]: pairs of prompts and the runs on them, made once for all probes that read the same pairs;
//! - [`places`]: positions, heads and neurons as a configuration names them, and the regions they stand for;
//! - `estimate`: what cells will cost;
//! - [`effect`]: from metrics per prompt to effects, their means and their intervals, as tables;
//! - [`delta`]: the same where an intervention leads nowhere in particular, and only its distance from the base run counts;
//! - `sources`: what is put in place of activations: means, activations of other pairs, vectors.

pub mod delta;
pub mod effect;
mod estimate;
pub(crate) mod paired_runs;
pub mod places;
pub(crate) mod sources;
#[cfg(test)]
pub(crate) mod testing;

use pythia_hooks::{HookPoint, ModelShape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::engine::{Engine, IntervenedRun};
use crate::error::ProbeError;
use crate::metric::Metric;
use crate::pairs::{Pair, PairError, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::retry_on_oom::retry_on_oom;
use crate::subject::{Context, Subject};
use crate::table::Table;
use paired_runs::{PairedRuns, Settings};

pub use paired_runs::{Direction, Side};

/// How the cells of a probe are computed, and how much of them is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Running {
    /// `cone` computes what an intervention can change; `naive` runs every cell in full, slowly, and judges the other.
    pub engine: Engine,
    /// Memory that the activations of cells may take at a time.
    pub memory: Bytes,
    /// Whether there is a second table with a row per pair.
    pub per_example: bool,
}

impl Default for Running {
    fn default() -> Self {
        Running { engine: Engine::Cone, memory: Bytes::mib(128), per_example: true }
    }
}

impl Running {
    pub(crate) fn settings<'a>(&self, metrics: &'a [Metric]) -> Settings<'a> {
        Settings { metrics, engine: self.engine, memory: self.memory.get() }
    }

    pub(crate) fn tables(&self) -> &'static [&'static str] {
        if self.per_example { &["", "examples"] } else { &[""] }
    }

    pub(crate) fn answer(&self, summary: Table, examples: impl FnOnce() -> Table) -> Answer {
        if self.per_example { vec![summary, examples()] } else { vec![summary] }
    }
}

/// A probe that intervenes on runs of pairs of prompts.
pub(crate) trait Causal: Probe {
    /// Where its pairs come from.
    fn pairs(&self) -> &PairSource;

    /// Points that both runs of the paired must hold besides those that every sweep needs.
    ///
    /// # Errors
    /// A name that matches no point of the model.
    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError>;

    /// How its cells are computed, and what is read from them.
    fn settings(&self) -> Settings<'_>;

    /// Its cells for pairs of one length, for estimates; what is put in their places does not matter there.
    ///
    /// # Errors
    /// Places that do not fit the model or the pairs.
    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError>;

    /// The answer, from the paired.
    ///
    /// # Errors
    /// What does not fit the pairs or the model, and reading from the device.
    fn answer(&self, paired: &PairedRuns) -> Result<Answer, ProbeError>;
}

/// The answers of causal probes that were checked: `(index, answer)` in no particular order. Probes with equal pairs share
/// their base runs.
pub(crate) fn answers(
    probes: &[(usize, &dyn Causal)],
    subject: &Subject,
    seed: u64,
) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let mut groups: Vec<Vec<(usize, &dyn Causal)>> = Vec::new();
    let same = |a: &dyn Causal, b: &dyn Causal| a.pairs() == b.pairs();
    for &(index, probe) in probes {
        match groups.iter_mut().find(|group| same(group[0].1, probe)) {
            Some(group) => group.push((index, probe)),
            None => groups.push(vec![(index, probe)]),
        }
    }
    groups.iter().flat_map(|group| together(group, subject, seed)).collect()
}

/// The answers of probes that have the same pairs.
fn together(group: &[(usize, &dyn Causal)], subject: &Subject, seed: u64) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let probes: Vec<&dyn Causal> = group.iter().map(|(_, probe)| *probe).collect();
    let device = subject.model.device();
    let mut shared = Some(retry_on_oom(&device, 1, |_| PairedRuns::new(&probes, subject, seed, 1)));
    let mut answer = |probe: &dyn Causal| {
        retry_on_oom(&device, paired_runs::AT_ONCE, |parts| match &shared {
            Some(Ok(paired)) if parts == 1 => probe.answer(paired),
            Some(Err(error)) if parts == 1 => Err(error.clone()),
            _ => {
                // What the shared runs hold is needed for smaller ones.
                shared = None;
                probe.answer(&PairedRuns::new(&[probe], subject, seed, parts)?)
            }
        })
    };
    group.iter().map(|(index, probe)| (*index, answer(*probe))).collect()
}

/// The checks that all causal probes share: the source of pairs, the length of the prompts.
pub(crate) fn check(probe: &dyn Causal, context: &Context) -> Result<(), ProbeError> {
    probe.points(&context.config.model_shape())?;
    let pairs = paired_runs::make_pairs(probe, context)?;
    let n_ctx = context.config.n_ctx;
    let Some(pair) = pairs.list.iter().max_by_key(|pair| pair.clean.len()).filter(|pair| pair.clean.len() > n_ctx)
    else {
        return Ok(());
    };
    let len = pair.clean.len();
    match probe.pairs().file {
        Some(_) => Err(PairError::TooLong { line: pair.source, len, n_ctx }.into()),
        None => Err(ProbeError::TooLong { len, n_ctx }),
    }
}

/// Prompts that are in memory at once, and the tokens of the longest: what estimates need.
pub(crate) fn tokens_per_run(probe: &dyn Causal, context: &Context) -> (usize, usize) {
    let (n, hint) = probe.pairs().size_hint(context.prepend_bos);
    let pairs = if hint == 0 { paired_runs::make_pairs(probe, context).ok() } else { None };
    let found =
        pairs.map(|pairs| (pairs.list.len(), pairs.list.iter().map(|pair| pair.clean.len()).max().unwrap_or(0)));
    let (n, len) = found.unwrap_or((n, hint));
    (n.min(paired_runs::AT_ONCE), len)
}

/// What a probe costs; `None` where its pairs cannot be made, which its check has said.
pub(crate) fn estimate(probe: &dyn Causal, context: &Context) -> Option<Estimate> {
    estimate::of(probe, context).ok()
}
