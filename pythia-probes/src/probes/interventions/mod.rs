//! Edits of runs as an experiment file lists them, for questions that no other probe asks.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{Edit, HookPoint, Intervention, Interventions, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{IntervenedRun, Replacement, SourceActivations};
use crate::error::ProbeError;
use crate::families::causal::columns::{DELTA, MEAN_DELTA, METRIC, N, PROMPT_ID, STATUS};
use crate::families::causal::delta::Deltas;
use crate::families::causal::effect::Label;
use crate::families::causal::paired_runs::{PairedRuns, Side};
use crate::families::causal::{CausalProbe, CommonSettings, RunSettings, defaults, not_empty, sources};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::subject::Context;
use crate::table::{ColumnSpec, TableSpec, TableValue};

pub use edit::{EditKind, UserEdit};

/// Index of the source with the other side's activations. The source with the means comes next, then one with the
/// vector of each edit that adds one.
const OTHER: usize = 0;
const MEAN: usize = 1;

/// Runs with the edits that an experiment file lists. Each run has a name and a list of edits that are made together.
///
/// Tables: `NAME` has a row per run and metric, `NAME_examples` a row per run, pair and metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InterventionRuns {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// The runs by name, each a list of edits that are made together, first to last at one hook:
    /// `{ quiet = [{ hook = "z.1", heads = [3], positions = ["end"], edit = "zero" }] }`.
    pub runs: BTreeMap<String, Vec<UserEdit>>,
    /// The prompt that is run: `clean` or `corrupt`.
    #[serde(default = "defaults::clean")]
    pub side: Side,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff_kl_and_loss")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

const RUN: &[ColumnSpec] = &[ColumnSpec::text("run", "Name of the run in the experiment file")];

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per run and metric: means over the pairs",
    columns: &[RUN, METRIC, N, MEAN_DELTA, STATUS],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per run, pair and metric",
    columns: &[RUN, METRIC, PROMPT_ID, DELTA, STATUS],
};

/// The name of a run.
impl Label for String {
    fn values(&self, _: Option<usize>) -> Vec<TableValue> {
        vec![self.clone().into()]
    }

    fn pos_in(&self, _: &Pair) -> Option<usize> {
        None
    }
}

impl InterventionRuns {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// Runs of the clean prompts.
    pub fn new(pairs: PairSource, runs: BTreeMap<String, Vec<UserEdit>>) -> Self {
        let (side, metrics) = (defaults::clean(), defaults::logit_diff_kl_and_loss());
        InterventionRuns { pairs, runs, side, metrics, run: RunSettings::default() }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let edit = serde_json::from_str(r#"{"hook": "z.0", "heads": [0], "edit": "zero"}"#).expect("an edit");
        Self::new(PairSource::example(), [("quiet".to_owned(), vec![edit])].into())
    }

    /// Every edit with the name of its run and its number there, from 1.
    fn edits(&self) -> impl Iterator<Item = (&String, usize, &UserEdit)> {
        self.runs
            .iter()
            .flat_map(|(name, edits)| edits.iter().enumerate().map(move |(index, edit)| (name, index + 1, edit)))
    }

    /// The results of `ask` for every edit, in order. The first error names its edit.
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
            Interventions::new(points.into_iter().map(zero).collect(), model_shape)?;
        }
        Ok(())
    }

    /// Everything that edits put in place of activations. The other side's activations are left empty, because they
    /// differ between groups.
    fn sources(&self, runs: &PairedRuns) -> Result<Vec<SourceActivations>, ProbeError> {
        let config = runs.subject.model.config();
        let mut means = Vec::new();
        let mut vectors = Vec::new();
        for (_, _, edit) in self.edits() {
            let points = edit.points(&config.model_shape())?;
            match (edit.edit, &edit.vector) {
                (EditKind::Mean, _) => means.extend(points),
                (EditKind::Add, Some(path)) => {
                    let vector = |point| {
                        let values =
                            sources::read_vector(runs.subject.files, path, edit::width(point, &config.model_shape()))?;
                        Ok(sources::vector(runs, point, &values).map(|vector| (point, vector)))
                    };
                    let source: Result<Vec<_>, ProbeError> = points.into_iter().map(vector).collect();
                    vectors.push(source?.into_iter().flatten().collect());
                }
                _ => {}
            }
        }
        means.sort_unstable();
        means.dedup();
        Ok([SourceActivations::new(), sources::mean(runs, self.side, &means)?].into_iter().chain(vectors).collect())
    }

    /// The interventions on pairs of one length, in the order of the runs.
    fn intervened_runs(&self, config: &NeoxConfig, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let mut vectors = MEAN;
        let mut interventions = Vec::new();
        for edits in self.runs.values() {
            let mut intervention = IntervenedRun::default();
            for edit in edits {
                vectors += usize::from(edit.edit == EditKind::Add);
                let replacement = replacement(edit, vectors);
                for point in edit.points(&config.model_shape())? {
                    let regions = edit.regions(point, config, pairs)?;
                    intervention.changes.extend(IntervenedRun::at(point, &regions, replacement).changes);
                }
            }
            interventions.push(intervention);
        }
        Ok(interventions)
    }
}

/// What becomes of the activation that an edit changes; `vector` is the index of its vector's source, where it has one.
fn replacement(edit: &UserEdit, vector: usize) -> Replacement {
    match edit.edit {
        EditKind::Zero => Replacement::Zero,
        EditKind::Scale => Replacement::Scale(edit.factor()),
        EditKind::Other => Replacement::Source(OTHER),
        EditKind::Mean => Replacement::Source(MEAN),
        EditKind::Add => Replacement::Add { source: vector, factor: edit.factor() },
    }
}

impl CausalProbe for InterventionRuns {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        Ok(self.of_each(|edit| edit.points(model_shape))?.concat())
    }

    fn check_settings(&self, _: &Context) -> Result<(), ProbeError> {
        not_empty([("runs", self.runs.is_empty())])?;
        let idle = self.runs.iter().find(|(_, edits)| edits.is_empty());
        idle.map_or(Ok(()), |(name, _)| {
            let allowed = "a run needs an edit at least, or it changes nothing".to_owned();
            Err(ProbeError::NoSuchChoice { field: "runs", word: name.clone(), allowed })
        })
    }

    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        self.of_each(|edit| edit.check(context.config, context.files, pairs))?;
        self.check_together(&context.config.model_shape())
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let mut interventions = self.intervened_runs(context.config, pairs)?;
        // Estimates take a source for the other prompt's run, which equals the base run in part. A mean does not.
        let changes = interventions.iter_mut().flat_map(|intervention| &mut intervention.changes);
        let means = changes.filter(|change| change.replacement == Replacement::Source(MEAN));
        means.for_each(|change| change.replacement = Replacement::Zero);
        Ok(interventions)
    }

    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError> {
        let labels: Vec<String> = self.runs.keys().cloned().collect();
        let mut sources = self.sources(runs)?;
        let mut deltas = Deltas::new(&self.metrics, &runs.pairs);
        for group in &runs.groups {
            sources[OTHER] = group.run(self.side.other()).seen().clone();
            let interventions = self.intervened_runs(runs.subject.model.config(), &group.pairs(runs))?;
            let [base, _] = group.ends(runs, &self.metrics, self.side)?;
            let outcomes = group.outcomes(runs, &self.common().scores(), self.side, &sources, &interventions)?;
            deltas.note(&labels, &group.members, &base, &outcomes);
        }
        Ok(self.run.answer(deltas.summary(&MAIN, runs.seed), || deltas.examples(&EXAMPLES)))
    }

    fn vector_files(&self) -> Vec<&Path> {
        self.edits().filter_map(|(_, _, edit)| edit.vector.as_deref()).collect()
    }
}
