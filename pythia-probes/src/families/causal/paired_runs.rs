//! Pairs of prompts and the runs on them.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use pythia_hooks::HookPoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CausalProbe;
use super::noise::DrawnNoise;
use crate::engine::{Engine, EngineInput, IntervenedRun, Outcome, Run, Scores, SourceActivations, cone};
use crate::error::ProbeError;
use crate::metric::{Metric, Question, Readout};
use crate::pairs::{Pair, Pairs};
use crate::subject::{Context, Subject};

/// Pairs that go through the model together. The activations of all pairs are kept in memory, which estimates count.
pub(crate) const AT_ONCE: usize = 64;

/// One of the two prompts of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The prompt whose answers are the right ones.
    Clean,
    /// The prompt after which the wrong answers are expected.
    Corrupt,
}

impl Side {
    /// The other prompt of the pair.
    pub(crate) const fn other(self) -> Side {
        match self {
            Side::Clean => Side::Corrupt,
            Side::Corrupt => Side::Clean,
        }
    }
}

/// Which run is intervened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The corrupt run gets activations of the clean one: what is enough to restore the answer?
    #[default]
    Denoising,
    /// The clean run gets activations of the corrupt one: what is needed for the answer?
    Noising,
}

impl Direction {
    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Direction::Denoising => "denoising",
            Direction::Noising => "noising",
        }
    }

    /// The run that is intervened on.
    pub(crate) const fn base(self) -> Side {
        match self {
            Direction::Denoising => Side::Corrupt,
            Direction::Noising => Side::Clean,
        }
    }

    /// The run that activations are taken from.
    pub(crate) const fn source(self) -> Side {
        match self {
            Direction::Denoising => Side::Clean,
            Direction::Noising => Side::Corrupt,
        }
    }
}

/// The pairs of some probes, and the subject they are run on.
pub(crate) struct PairedRuns<'a> {
    pub subject: &'a Subject<'a>,
    pub seed: u64,
    /// All pairs, in the order of their source.
    pub pairs: Vec<Pair>,
    /// The pairs by length, [`AT_ONCE`] at most in each.
    pub groups: Vec<Group>,
    /// The number of parts that a group of [`AT_ONCE`] pairs is split into; 1 unless the device ran out of memory.
    parts: usize,
}

/// Pairs of one length, and the runs on their prompts.
pub(crate) struct Group {
    /// Indices of the pairs.
    pub members: Vec<usize>,
    pub clean: Run,
    /// Of the corrupt prompts, or of the clean ones with noise.
    pub corrupt: Run,
}

impl<'a> PairedRuns<'a> {
    /// Runs the pairs of `probes`, which are the same for all of them, and keeps the activations that any of them
    /// needs.
    pub(crate) fn new(
        probes: &[&dyn CausalProbe],
        subject: &'a Subject<'a>,
        seed: u64,
        parts: usize,
    ) -> Result<Self, ProbeError> {
        let model_shape = subject.model.model_shape();
        let mut points: Vec<HookPoint> = Vec::new();
        for probe in probes {
            points.extend(probe.points(&model_shape)?);
        }
        points.extend(cone::base_points(&model_shape, points.clone()));
        points.sort_unstable();
        points.dedup();
        let pairs = make_pairs(probes[0], &subject.context(seed))?.list;
        let at_once = AT_ONCE.div_ceil(parts.max(1));
        let noise = probes[0].common().pairs.noise.as_ref();
        let noise = noise.map(|noise| DrawnNoise::new(noise, &pairs, subject, seed)).transpose()?;
        let group = |members| Group::new(members, &pairs, &points, subject, noise.as_ref());
        let groups = by_length(&pairs, at_once).into_iter().map(group);
        let groups = groups.collect::<Result<_, _>>()?;
        Ok(PairedRuns { subject, seed, pairs, groups, parts })
    }

    /// `memory` divided by the number of parts: interventions take less where the device ran out of memory.
    fn share(&self, memory: u64) -> u64 {
        memory / self.parts.max(1) as u64
    }

    /// How many things of that many bytes fit half of `memory`, at least one. The interventions have the other half.
    pub(crate) fn at_once(&self, memory: u64, bytes: u64) -> usize {
        usize::try_from(self.share(memory) / 2 / bytes.max(1)).unwrap_or(usize::MAX).max(1)
    }
}

impl Group {
    fn new(
        members: Vec<usize>,
        pairs: &[Pair],
        points: &[HookPoint],
        subject: &Subject,
        noise: Option<&DrawnNoise>,
    ) -> Result<Self, ProbeError> {
        let run = |prompt: fn(&Pair) -> &Vec<u32>, noise: Option<&DrawnNoise>| {
            let tokens = members.iter().map(|&member| prompt(&pairs[member]).clone()).collect();
            let noise = noise.map(|noise| noise.of(&members, pairs, subject));
            Run::with_noise(subject.model, tokens, points.iter().copied(), noise)
        };
        let (clean, corrupt) = (run(|pair| &pair.clean, None)?, run(|pair| &pair.corrupt, noise)?);
        Ok(Group { members, clean, corrupt })
    }

    /// The pairs of the group.
    pub(crate) fn pairs<'p>(&self, runs: &'p PairedRuns) -> Vec<&'p Pair> {
        self.members.iter().map(|&member| &runs.pairs[member]).collect()
    }

    /// The run of one side.
    pub(crate) fn run(&self, side: Side) -> &Run {
        match side {
            Side::Clean => &self.clean,
            Side::Corrupt => &self.corrupt,
        }
    }

    /// The metrics of a run of one side, and where they are read.
    pub(crate) fn readout(&self, runs: &PairedRuns, metrics: &[Metric], side: Side) -> Readout {
        let question = |&member: &usize| {
            let pair = &runs.pairs[member];
            let tokens = if side == Side::Clean { &pair.clean } else { &pair.corrupt };
            Question {
                tokens: tokens.clone(),
                at: tokens.len() - 1,
                answers: pair.answers.clone(),
                wrongs: pair.wrongs.clone(),
            }
        };
        Readout::new(self.members.iter().map(question).collect(), metrics.to_vec(), runs.subject.vocab)
    }

    /// The metrics of both base runs, `[base, other]`; metrics that compare two runs compare with `base`.
    pub(crate) fn ends(&self, runs: &PairedRuns, metrics: &[Metric], base: Side) -> Result<[Scores; 2], ProbeError> {
        let other = base.other();
        let base_rows = self.rows(runs, metrics, base);
        let all: Vec<usize> = (0..self.members.len()).collect();
        let model = runs.subject.model;
        let base_scores = self.readout(runs, metrics, base).read(model, base_rows.clone(), &all, &base_rows)?;
        let other_rows = self.rows(runs, metrics, other);
        let other_scores = self.readout(runs, metrics, other).read(model, other_rows, &all, &base_rows)?;
        Ok([base_scores, other_scores])
    }

    fn rows(&self, runs: &PairedRuns, metrics: &[Metric], side: Side) -> Tensor<2> {
        self.readout(runs, metrics, side).rows(self.run(side).end())
    }

    /// What interventions on the run of one side do, in the order given; the examples are the pairs of the group.
    pub(crate) fn outcomes(
        &self,
        runs: &PairedRuns,
        settings: &ScoreSettings,
        side: Side,
        sources: &[SourceActivations],
        interventions: &[IntervenedRun],
    ) -> Result<Vec<Outcome>, ProbeError> {
        let readout = self.readout(runs, settings.metrics, side);
        let (model, base) = (runs.subject.model, self.run(side));
        let input = EngineInput { model, base, sources, readout: &readout, memory: runs.share(settings.memory) };
        input.outcomes(settings.engine, interventions)
    }
}

/// How interventions are computed, and the metrics that are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreSettings<'a> {
    pub metrics: &'a [Metric],
    pub engine: Engine,
    /// Bytes that the activations of interventions may take at a time.
    pub memory: u64,
}

/// The pairs of a probe.
pub(crate) fn make_pairs(probe: &dyn CausalProbe, context: &Context) -> Result<Pairs, ProbeError> {
    context.pairs(probe.common().pairs)
}

/// Indices of pairs in groups of one length and at most `at_once` pairs, shortest first.
pub(super) fn by_length(pairs: &[Pair], at_once: usize) -> Vec<Vec<usize>> {
    let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        lengths.entry(pair.clean.len()).or_default().push(index);
    }
    lengths
        .into_values()
        .flat_map(|members| members.chunks(at_once).map(<[usize]>::to_vec).collect::<Vec<_>>())
        .collect()
}
