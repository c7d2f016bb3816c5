//! Edits of runs as an experiment file lists them: what a one-off question needs, without a line of Rust.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{Edit, HookPoint, Intervention, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Change, IntervenedRun, SourceActivations, Value};
use crate::error::ProbeError;
use crate::families::causal::delta::Deltas;
use crate::families::causal::effect::Label;
use crate::families::causal::paired_runs::{self, PairedRuns, Settings, Side};
use crate::families::causal::{self, Causal, Running, sources};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probe::{Estimate, Probe};
use crate::subject::Context;
use crate::table::{self, ColumnKind};

pub use edit::{EditKind, UserEdit};

/// The source with the other side's activations; that with the means comes next, then one with the vector of each edit that adds one.
const OTHER: usize = 0;
const MEAN: usize = 1;

/// Runs with edits of your own, each a named list that is made together: what do they change?
///
/// Tables: `NAME` has a row per run and metric, `NAME_examples` a row per run, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interventions {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// The runs by name, each a list of edits that are made together, first to last at one hook:
    /// `{ quiet = [{ hook = "z.1", heads = [3], positions = ["end"], edit = "zero" }] }`.
    pub runs: BTreeMap<String, Vec<UserEdit>>,
    /// The prompt that is run: `clean` or `corrupt`.
    #[serde(default = "clean")]
    pub side: Side,
    /// What is read at the end of the prompts.
    #[serde(default = "metrics")]
    pub metrics: Vec<Metric>,
    /// How cells are computed.
    #[serde(default)]
    pub run: Running,
}

fn clean() -> Side {
    Side::Clean
}

fn metrics() -> Vec<Metric> {
    vec![Metric::LogitDiff, Metric::Kl, Metric::Loss]
}

impl Label for String {
    fn header() -> Vec<(&'static str, ColumnKind)> {
        vec![("run", ColumnKind::Text)]
    }

    fn cells(&self) -> Vec<table::TableValue> {
        vec![self.clone().into()]
    }
}

impl Interventions {
    /// Runs of the clean prompts.
    pub fn new(pairs: PairSource, runs: BTreeMap<String, Vec<UserEdit>>) -> Self {
        Interventions { pairs, runs, side: clean(), metrics: metrics(), run: Running::default() }
    }

    /// Every edit with the name of its run and its number there, from 1.
    fn edits(&self) -> impl Iterator<Item = (&String, usize, &UserEdit)> {
        self.runs
            .iter()
            .flat_map(|(name, edits)| edits.iter().enumerate().map(move |(index, edit)| (name, index + 1, edit)))
    }

    /// What `ask` says of every edit, in order; its first refusal under the edit's name.
    fn of_each<T>(&self, ask: impl Fn(&UserEdit) -> Result<T, ProbeError>) -> Result<Vec<T>, ProbeError> {
        let named = |(run, index, edit): (&String, usize, &UserEdit)| {
            ask(edit).map_err(|error| ProbeError::Edit { run: run.clone(), index, error: Box::new(error) })
        };
        self.edits().map(named).collect()
    }

    /// Refuses runs of which one edit would keep another from taking effect.
    fn check_together(&self, model_shape: &ModelShape) -> Result<(), ProbeError> {
        for edits in self.runs.values() {
            let points = edits.iter().map(|edit| edit.points(model_shape)).collect::<Result<Vec<_>, _>>()?.concat();
            let zero = |point| Intervention { point, region: Region::all(), edit: Edit::Zero };
            pythia_hooks::Interventions::new(points.into_iter().map(zero).collect(), model_shape)?;
        }
        Ok(())
    }

    /// Everything that edits put in place of activations, but for the other side's, which differ from group to group.
    fn sources(&self, paired: &PairedRuns) -> Result<Vec<SourceActivations>, ProbeError> {
        let config = paired.subject.model.config();
        let mut means = Vec::new();
        let mut vectors = Vec::new();
        for (_, _, edit) in self.edits() {
            let points = edit.points(&config.model_shape())?;
            match (edit.edit, &edit.vector) {
                (EditKind::Mean, _) => means.extend(points),
                (EditKind::Add, Some(path)) => {
                    let vector = |point| {
                        let values = sources::read_vector(paired.subject.files, path, edit::width(point, config))?;
                        Ok(sources::vector(paired, point, &values).map(|vector| (point, vector)))
                    };
                    let source: Result<Vec<_>, ProbeError> = points.into_iter().map(vector).collect();
                    vectors.push(source?.into_iter().flatten().collect());
                }
                _ => {}
            }
        }
        means.sort_unstable();
        means.dedup();
        Ok([SourceActivations::new(), sources::mean(paired, self.side, &means)?].into_iter().chain(vectors).collect())
    }

    /// The cells for pairs of one length, in the order of the runs.
    fn runs_of(&self, config: &NeoxConfig, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let mut vectors = MEAN;
        let mut cells = Vec::new();
        for edits in self.runs.values() {
            let mut cell = IntervenedRun::default();
            for edit in edits {
                vectors += usize::from(edit.edit == EditKind::Add);
                let value = value(edit, vectors);
                for point in edit.points(&config.model_shape())? {
                    let regions = edit.regions(point, config, members)?;
                    cell.changes.extend(regions.into_iter().map(|region| Change { point, region, value }));
                }
            }
            cells.push(cell);
        }
        Ok(cells)
    }
}

/// What an edit puts in place; `vector` is the source of its vector, where it has one.
fn value(edit: &UserEdit, vector: usize) -> Value {
    match edit.edit {
        EditKind::Zero => Value::Zero,
        EditKind::Scale => Value::Scale(edit.factor()),
        EditKind::Other => Value::Source(OTHER),
        EditKind::Mean => Value::Source(MEAN),
        EditKind::Add => Value::Add { source: vector, factor: edit.factor() },
    }
}

impl Probe for Interventions {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let empty = [("runs", self.runs.is_empty()), ("metrics", self.metrics.is_empty())];
        if let Some((field, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Err(ProbeError::Empty { field });
        }
        if let Some((name, _)) = self.runs.iter().find(|(_, edits)| edits.is_empty()) {
            let allowed = "a run needs an edit at least, or it changes nothing".to_owned();
            return Err(ProbeError::NoSuchChoice { field: "runs", word: name.clone(), allowed });
        }
        causal::check(self, context)?;
        let pairs = paired_runs::make_pairs(self, context)?.list;
        self.of_each(|edit| edit.check(context.config, context.files, &pairs))?;
        self.check_together(&context.config.model_shape())
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        causal::tokens_per_run(self, context)
    }

    fn estimate(&self, context: &Context) -> Option<Estimate> {
        causal::estimate(self, context)
    }

    fn tables(&self) -> &'static [crate::table::TableSpec] {
        &Self::TABLES[..self.run.tables().len()]
    }

    fn files(&self) -> Vec<&Path> {
        let vectors = self.edits().filter_map(|(_, _, edit)| edit.vector.as_deref());
        self.pairs.file.as_deref().into_iter().chain(vectors).collect()
    }
}

impl Causal for Interventions {
    fn pairs(&self) -> &PairSource {
        &self.pairs
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        Ok(self.of_each(|edit| edit.points(model_shape))?.concat())
    }

    fn settings(&self) -> Settings<'_> {
        self.run.settings(&self.metrics)
    }

    fn cells(&self, context: &Context, members: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let mut cells = self.runs_of(context.config, members)?;
        // Other sources are taken to be the other prompt's run, which is equal in part; a mean is not.
        let changes = cells.iter_mut().flat_map(|cell| &mut cell.changes);
        changes.filter(|change| change.value == Value::Source(MEAN)).for_each(|change| change.value = Value::Zero);
        Ok(cells)
    }

    fn answer(&self, paired: &PairedRuns) -> Result<Answer, ProbeError> {
        let labels: Vec<String> = self.runs.keys().cloned().collect();
        let mut sources = self.sources(paired)?;
        let mut deltas = Deltas::new(&self.metrics);
        for group in &paired.groups {
            let members: Vec<&Pair> = group.members.iter().map(|&member| &paired.pairs[member]).collect();
            sources[OTHER] = group.run(self.side.other()).seen().clone();
            let cells = self.runs_of(paired.subject.model.config(), &members)?;
            let (base, _) = group.ends(paired, &self.metrics, self.side)?;
            let scores = group.scores(paired, &self.settings(), self.side, &sources, &cells)?;
            deltas.note(&labels, &group.members, &base, &scores);
        }
        Ok(self.run.answer(deltas.summary(paired.seed), || deltas.examples()))
    }
}
