//! What probes that intervene share.
//!
//! - `CausalProbe`: what such a probe says of itself; everything else the runner asks of a probe follows from it;
//! - `paired_runs`: pairs of prompts and the base runs on them, made once for all probes that read the same pairs;
//! - `noise`: noise at the embeddings in place of a corrupt prompt;
//! - `places`, `positions`: positions, heads and neurons as a configuration names them, and their regions;
//! - `defaults`: the values of settings that a configuration leaves out;
//! - `estimate`: what interventions will cost;
//! - `effect`: from metrics per prompt to effects, their means and their intervals, as tables;
//! - `delta`: the same for interventions that are compared with the base run alone;
//! - `columns`: the columns of these tables;
//! - `sources`: means, activations of other pairs, and vectors, which are put in place of activations.

pub(crate) mod columns;
pub(crate) mod defaults;
pub(crate) mod delta;
pub(crate) mod effect;
mod estimate;
pub(crate) mod noise;
pub(crate) mod paired_runs;
pub(crate) mod places;
mod positions;
pub(crate) mod sources;

use std::path::Path;

use pythia_hooks::{HookPoint, ModelShape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::engine::{Engine, IntervenedRun};
use crate::error::ProbeError;
use crate::metric::Metric;
use crate::pairs::{Pair, PairError, PairSource, Pairs};
use crate::probe::{Answer, Estimate, Probe};
use crate::retry_on_oom::retry_on_oom;
use crate::subject::{Context, Subject};
use crate::table::Table;
use paired_runs::{PairedRuns, ScoreSettings};

pub use paired_runs::{Direction, Side};

/// How the interventions of a probe are computed, and whether there is a row per pair.
///
/// ```
/// use pythia_probes::Bytes;
/// use pythia_probes::families::causal::RunSettings;
///
/// let run = RunSettings { per_example: false, ..RunSettings::default() };
/// assert_eq!(run.memory, Bytes::mib(128));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// `cone` computes what an intervention can change; `naive` makes a full forward pass per intervention, which is
    /// slow and is the reference.
    pub engine: Engine,
    /// Memory that the activations of interventions may take at a time.
    pub memory: Bytes,
    /// Whether there is a second table with a row per pair.
    pub per_example: bool,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings { engine: Engine::Cone, memory: Bytes::mib(128), per_example: true }
    }
}

impl RunSettings {
    /// The main table, and the table of examples where it is asked for.
    pub(crate) fn answer(&self, main: Table, examples: impl FnOnce() -> Table) -> Answer {
        if self.per_example { vec![main, examples()] } else { vec![main] }
    }
}

/// The settings that every causal probe has.
#[derive(Clone, Copy)]
pub(crate) struct CommonSettings<'a> {
    pub pairs: &'a PairSource,
    pub metrics: &'a [Metric],
    pub run: &'a RunSettings,
}

impl<'a> CommonSettings<'a> {
    pub(crate) fn scores(self) -> ScoreSettings<'a> {
        ScoreSettings { metrics: self.metrics, engine: self.run.engine, memory: self.run.memory.get() }
    }
}

/// A probe that intervenes on runs of pairs of prompts. It implements [`Probe`] through the blanket implementation
/// below.
pub(crate) trait CausalProbe: Probe {
    /// The settings that every such probe has.
    fn common(&self) -> CommonSettings<'_>;

    /// Points that the base runs must hold besides those that every intervention needs
    /// ([`crate::engine::cone::base_points`]).
    ///
    /// # Errors
    /// A name that matches no point of the model.
    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError>;

    /// Refuses settings that can have no answer on the model, whatever the pairs are.
    ///
    /// # Errors
    /// The first such setting.
    fn check_settings(&self, context: &Context) -> Result<(), ProbeError>;

    /// Refuses settings that do not fit the pairs.
    ///
    /// # Errors
    /// The first such setting.
    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError>;

    /// Its interventions on pairs of one length, for estimates. The values that are put in place of activations are
    /// arbitrary.
    ///
    /// # Errors
    /// Places that do not fit the model or the pairs.
    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError>;

    /// Computes the probe's table from the metrics of its runs.
    ///
    /// # Errors
    /// What does not fit the pairs or the model, and reading from the device.
    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError>;

    /// Whether its corrupt run may be one of the clean prompt with noise.
    fn takes_noise(&self) -> bool {
        false
    }

    /// Files with vectors that it reads.
    fn vector_files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The step of the checkpoint whose activations and weights it reads besides the subject's.
    fn source_step(&self) -> Option<u32> {
        None
    }
}

impl<T: CausalProbe> Probe for T {
    fn main_table_only(&self) -> bool {
        !self.common().run.per_example
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let model_shape = context.config.model_shape();
        not_empty([("metrics", self.common().metrics.is_empty())])?;
        self.check_settings(context)?;
        self.points(&model_shape)?;
        let source = self.common().pairs;
        if source.noise.is_some() && !self.takes_noise() {
            let allowed = "only activation_patching runs prompts with noise: leave it out".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "pairs.noise", word: "noise".to_owned(), allowed });
        }
        let pairs = paired_runs::make_pairs(self, context)?.list;
        source.noise.as_ref().map_or(Ok(Vec::new()), |noise| noise::spans(noise, &pairs))?;
        check_length(source, &pairs, context.config.n_ctx)?;
        self.check_places(context, &pairs)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        let (n, hint) = self.common().pairs.size_hint(context.prepend_bos);
        let size = |pairs: Pairs| (pairs.list.len(), longest_prompt(&pairs.list));
        let (n, len) = match hint {
            Some(len) => (n, len),
            None => paired_runs::make_pairs(self, context).map_or((n, 0), size),
        };
        (n.min(paired_runs::AT_ONCE), len)
    }

    /// `None` where the pairs cannot be made, which the check has reported.
    fn estimate(&self, context: &Context) -> Option<Estimate> {
        estimate::of(self, context).ok()
    }

    fn pair_source(&self) -> Option<&PairSource> {
        Some(self.common().pairs)
    }

    fn files(&self) -> Vec<&Path> {
        self.common().pairs.file.as_deref().into_iter().chain(self.vector_files()).collect()
    }

    fn source_checkpoints(&self) -> Vec<u32> {
        self.source_step().into_iter().collect()
    }
}

/// Refuses the first setting that is an empty list where something must be named.
///
/// # Errors
/// [`ProbeError::Empty`].
pub(crate) fn not_empty<const N: usize>(settings: [(&'static str, bool); N]) -> Result<(), ProbeError> {
    let empty = settings.into_iter().find(|(_, empty)| *empty);
    empty.map_or(Ok(()), |(field, _)| Err(ProbeError::Empty { field }))
}

/// The pair with the longest prompts: places that fit it are as many as any pair has.
pub(crate) fn longest(pairs: &[Pair]) -> Option<&Pair> {
    pairs.iter().max_by_key(|pair| pair.clean.len())
}

fn longest_prompt(pairs: &[Pair]) -> usize {
    longest(pairs).map_or(0, |pair| pair.clean.len())
}

/// Refuses prompts that are longer than the model's context.
fn check_length(source: &PairSource, pairs: &[Pair], n_ctx: usize) -> Result<(), ProbeError> {
    let Some(pair) = longest(pairs).filter(|pair| pair.clean.len() > n_ctx) else { return Ok(()) };
    let len = pair.clean.len();
    match source.file {
        Some(_) => Err(PairError::TooLong { line: pair.source, len, n_ctx }.into()),
        None => Err(ProbeError::TooLong { field: source.length_field(), len, n_ctx }),
    }
}

/// The answers of causal probes that were checked: `(index, answer)` in no particular order. Probes with equal pairs
/// share their base runs.
pub(crate) fn answers(
    probes: &[(usize, &dyn CausalProbe)],
    subject: &Subject,
    seed: u64,
) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let mut groups: Vec<Vec<(usize, &dyn CausalProbe)>> = Vec::new();
    for &(index, probe) in probes {
        match groups.iter_mut().find(|group| group[0].1.common().pairs == probe.common().pairs) {
            Some(group) => group.push((index, probe)),
            None => groups.push(vec![(index, probe)]),
        }
    }
    groups.iter().flat_map(|group| with_equal_pairs(group, subject, seed)).collect()
}

/// The answers of probes that have the same pairs.
fn with_equal_pairs(
    group: &[(usize, &dyn CausalProbe)],
    subject: &Subject,
    seed: u64,
) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let probes: Vec<&dyn CausalProbe> = group.iter().map(|(_, probe)| *probe).collect();
    let device = subject.model.device();
    let mut shared = Some(retry_on_oom(&device, 1, |_| PairedRuns::new(&probes, subject, seed, 1)));
    let mut answer = |probe: &dyn CausalProbe| {
        retry_on_oom(&device, paired_runs::AT_ONCE, |parts| match &shared {
            Some(Ok(runs)) if parts == 1 => probe.answer(runs),
            Some(Err(error)) if parts == 1 => Err(error.clone()),
            _ => {
                // The smaller runs need the memory of the shared ones.
                shared = None;
                probe.answer(&PairedRuns::new(&[probe], subject, seed, parts)?)
            }
        })
    };
    group.iter().map(|(index, probe)| (*index, answer(*probe))).collect()
}
