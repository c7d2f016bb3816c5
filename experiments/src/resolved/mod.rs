//! The resolved experiment: the experiment file together with the models and files that it names. Here models get
//! their stores, shapes and tokenizers, `steps` becomes a list of checkpoints, and every probe is checked against every
//! model.
//!
//! This module never reads weights, never computes, and never knows what is done already.

mod answer_spaces;
pub(crate) mod inputs;
pub(crate) mod model_info;
pub(crate) mod notes;
pub(crate) mod pair_counts;
pub(crate) mod pins;
mod positions;
pub(crate) mod weight_scope;

use std::path::Path;

use pythia_core::config::{ConfigFile, NeoxConfig};
use pythia_core::device::Backend;
use pythia_core::store::{self, Checkpoints, HubCacheStore, ModelRef, StoreError};
use pythia_core::suite::Step;
use pythia_core::tokenizer::Tokenizer;
use pythia_hub::Lock;
use pythia_probes::{Context, Files, ProbeError};
use toml::Spanned;

use crate::config::{ConfigErrors, Experiment, Located, ProbeEntry, Problem, nearest, read_text};
use crate::files::table::{IN_FOLDER_NAMES, is_folder_name};
use crate::integrity::{KnownDefects, Status, Verdict};
use crate::resolved::inputs::Inputs;
use crate::resolved::model_info::{Vocabulary, shape, vocabulary};
use crate::resolved::pins::Pins;
use crate::resolved::weight_scope::check_profile;

/// The id of the BOS token: `<|endoftext|>` in the suite's tokenizer, and the first id in vocabularies without one.
pub(crate) const BOS: u32 = 0;

/// An experiment and the models it runs on.
pub(crate) struct ResolvedExperiment {
    pub(crate) experiment: Experiment,
    /// Its models, in the order of the file.
    pub(crate) models: Vec<Model>,
    /// The files that its probes name.
    pub(crate) inputs: Inputs,
    /// Known defects beyond those that ship with the program.
    pub(crate) known: KnownDefects,
    /// The backend of the device that it computes on.
    pub(crate) backend: Backend,
}

/// One model of an experiment.
pub(crate) struct Model {
    pub(crate) label: String,
    /// Where its checkpoints are.
    pub(crate) store: Box<dyn Checkpoints + Send + Sync>,
    /// What the lock file says of it.
    pub(crate) pins: Option<Pins>,
    /// The chosen checkpoints, ascending; a single `None` for a model without steps.
    pub(crate) steps: Vec<Option<Step>>,
    pub(crate) config: NeoxConfig,
    pub(crate) vocabulary: Vocabulary,
    /// Its tokenizer, where it has one.
    pub(crate) tokenizer: Option<Tokenizer>,
    /// What is passed over or cannot be read in its files, one line each.
    pub(crate) notes: Vec<String>,
}

impl Model {
    /// What is known about a checkpoint before it is read.
    pub(crate) fn verdict(&self, known: &KnownDefects, step: Option<Step>) -> Verdict {
        let pins = self.pins.as_ref().zip(step);
        let rescued = pins.and_then(|(pins, step)| pins.rescue(step));
        let listed = || self.listed(known, step);
        // A listed defect counts even if another form of the weights is read: that form may be wrong too.
        let hashes = || pins.and_then(|(pins, step)| pins.verdict(step));
        let unlike_main = || {
            let reason = pins.and_then(|(pins, step)| pins.unlike_main(step))?;
            Some(Verdict::because(Status::Unverified, reason))
        };
        let known = listed().or(rescued).or_else(hashes).or_else(unlike_main);
        known.unwrap_or_else(|| Verdict::plain(Status::Unverified))
    }

    /// The hashes of the weights that a step is pinned to.
    pub(crate) fn pinned_weights(&self, step: Option<Step>) -> Option<Vec<String>> {
        let files = self.pins.as_ref()?.needed(step)?.ok()?;
        let weights = files.iter().filter(|file| file.is_weights());
        Some(weights.map(|file| file.hash.to_string()).collect())
    }

    /// What the lists of known defects say about a checkpoint.
    pub(crate) fn listed(&self, known: &KnownDefects, step: Option<Step>) -> Option<Verdict> {
        step.and_then(|step| known.verdict(&self.label, self.store.suite_id(), step))
    }

    /// What the probes of an experiment may know of the model before any weights are read.
    pub(crate) fn context<'a>(&'a self, experiment: &Experiment, files: &'a Files) -> Context<'a> {
        Context {
            config: &self.config,
            vocab: self.vocabulary.size,
            prepend_bos: experiment.prepend_bos,
            bos: BOS,
            tokenizer: self.tokenizer.as_ref(),
            files,
            seed: experiment.seed,
        }
    }
}

impl ResolvedExperiment {
    /// What is passed over or cannot be read in the files of its models.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &String> {
        self.models.iter().flat_map(|model| &model.notes)
    }

    /// Opens the models of an experiment and checks it against them.
    pub(crate) fn open(experiment: Experiment, lock: &Lock, cache: &Path) -> Result<Self, ConfigErrors> {
        let (inputs, mut problems) = Inputs::of(&experiment);
        let known = known(&experiment).unwrap_or_else(|problem| {
            problems.push(problem);
            KnownDefects::default()
        });
        let device = &experiment.machine.device;
        let backend = device.get_ref().backend().unwrap_or_else(|error| {
            problems.push(Located::new(Problem::Device(error), device.span()));
            Backend::Cpu
        });
        let mut models = Vec::<Model>::new();
        for reference in &experiment.models {
            match open_model(&experiment, &inputs, reference, lock, cache) {
                Ok(model) if models.iter().any(|other| other.label == model.label) => {
                    problems.push(Located::new(Problem::DuplicateModel { label: model.label }, reference.span()));
                }
                Ok(model) => models.push(model),
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            Ok(Self { experiment, models, inputs, known, backend })
        } else {
            Err(ConfigErrors { sources: experiment.sources, problems })
        }
    }
}

/// The defects that a file of the experiment adds to the list.
fn known(experiment: &Experiment) -> Result<KnownDefects, Located> {
    let Some(named) = &experiment.store.known_bad else { return Ok(KnownDefects::default()) };
    let (path, at) = (named.get_ref(), named.span());
    let text = read_text(path).map_err(|error| Located::new(Problem::KnownBadFile { error }, at.clone()))?;
    KnownDefects::parse(path.clone(), &text).map_err(|error| Located::new(Problem::KnownBad(error), at))
}

fn open_model(
    experiment: &Experiment,
    inputs: &Inputs,
    reference: &Spanned<ModelRef>,
    lock: &Lock,
    cache: &Path,
) -> Result<Model, Vec<Located>> {
    let at = reference.span();
    let one = |problem: Problem| vec![Located::new(problem, at.clone())];
    let (store, pins) = open_store(reference.get_ref(), lock, cache).map_err(|error| one(error.into()))?;
    let label = store.model().to_owned();
    if !is_folder_name(&label) {
        return Err(one(Problem::BadName { name: label, what: "a model in the results", allowed: IN_FOLDER_NAMES }));
    }
    let grid = grid(store.as_ref()).map_err(|error| one(error.into()))?;
    let (steps, mut problems) = choose(experiment, &label, &grid)
        .map_or_else(|problems| (some_steps(&grid), problems), |steps| (steps, Vec::new()));
    let (file, tokenizer) = match shape(store.as_ref(), &steps) {
        Ok(shape) => shape,
        // Those that were not chosen need not be there.
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(error) => return Err(one(Problem::ModelInfo(error))),
    };
    let ConfigFile { config, unknown_keys } = file;
    let mut notes = notes::of(store.as_ref(), &steps, &unknown_keys).map_err(|error| one(error.into()))?;
    let unlike_main = steps.iter().flatten().filter_map(|step| pins.as_ref()?.unlike_main(*step));
    notes.extend(unlike_main.map(|note| format!("{label}: {note}")));
    let vocabulary = vocabulary(&config, tokenizer.as_ref(), store.suite_id());
    let model = Model { label, store, pins, steps, config, vocabulary, tokenizer, notes };
    problems.extend(experiment.probes.iter().flat_map(|probe| check_probe(experiment, inputs, &model, &grid, probe)));
    if problems.is_empty() { Ok(model) } else { Err(problems) }
}

/// The store of a model, and its pins. A model of the suite that is not in the cache has a store without checkpoints.
fn open_store(
    reference: &ModelRef,
    lock: &Lock,
    cache: &Path,
) -> Result<(Box<dyn Checkpoints + Send + Sync>, Option<Pins>), StoreError> {
    let ModelRef::Suite(id) = reference else { return Ok((store::open(reference, cache)?, None)) };
    let pins = Pins::of(lock, *id);
    let commits = pins.as_ref().map(Pins::commits).unwrap_or_default();
    Ok((Box::new(HubCacheStore::open_pinned(*id, cache, commits)?), pins))
}

/// The labels of a model's checkpoints, ascending: what the suite published, or what a folder holds. A published
/// checkpoint that is not in the cache counts: a sweep must not leave it out silently.
fn grid(store: &dyn Checkpoints) -> Result<Vec<u32>, StoreError> {
    let steps = match store.suite_id() {
        Some(id) => id.info().grid().to_vec(),
        None => store.steps()?,
    };
    Ok(steps.into_iter().map(Step::label).collect())
}

/// The steps that probes are checked with where the choice is wrong, so that all mistakes are shown together.
fn some_steps(grid: &[u32]) -> Vec<Option<Step>> {
    let steps: Vec<_> = grid.iter().map(|label| Some(Step::from_label(*label))).collect();
    if steps.is_empty() { vec![None] } else { steps }
}

fn choose(experiment: &Experiment, model: &str, grid: &[u32]) -> Result<Vec<Option<Step>>, Vec<Located>> {
    if grid.is_empty() && *experiment.steps.get_ref() == crate::config::Steps::All {
        return Ok(vec![None]);
    }
    let chosen = experiment.steps.get_ref().select(grid, model, &experiment.steps.span())?;
    Ok(chosen.into_iter().map(|label| Some(Step::from_label(label))).collect())
}

/// Problems that keep a probe from running on a model. A file that cannot be read was reported already.
fn check_probe(
    experiment: &Experiment,
    inputs: &Inputs,
    model: &Model,
    grid: &[u32],
    probe: &ProbeEntry,
) -> Vec<Located> {
    let sources = no_such_sources(&probe.spec.source_checkpoints(), grid, &probe.name, &model.label);
    let place = |label| probe.place_of(&ProbeError::NoSourceCheckpoint { label });
    let mut problems: Vec<Located> =
        sources.into_iter().map(|(label, problem)| Located::new(problem, place(label))).collect();
    let context = model.context(experiment, &inputs.contents);
    if inputs.has_all_of(&probe.spec)
        && let Err(error) = probe.spec.check(&context).and_then(|()| {
            let weights = experiment.machine.weights;
            check_profile(&probe.spec, &model.config, weights)
        })
    {
        let at = probe.place_of(&error);
        let (name, label) = (probe.name.clone(), model.label.clone());
        let problem = match model.store.suite_id() {
            Some(_) if model.tokenizer.is_none() && needs_tokenizer(&error) => {
                Problem::TokenizerToFetch { probe: name, model: label }
            }
            _ => Problem::Probe { probe: name, model: label, error: Box::new(error) },
        };
        problems.push(Located::new(problem, at));
    }
    problems
}

/// Whether a probe was refused for want of a tokenizer, which every model of the suite has.
fn needs_tokenizer(error: &ProbeError) -> bool {
    use pythia_probes::pairs::PairError;
    matches!(
        error,
        ProbeError::NeedsTokenizer { .. }
            | ProbeError::Pairs(PairError::TaskNeedsTokenizer { .. } | PairError::LineNeedsTokenizer { .. })
    )
}

/// The source steps that are not checkpoints of the model.
fn no_such_sources(sources: &[u32], grid: &[u32], probe: &str, model: &str) -> Vec<(u32, Problem)> {
    let unknown = sources.iter().filter(|label| !grid.contains(label));
    let problem = |&step: &u32| {
        let (probe, model) = (probe.to_owned(), model.to_owned());
        (step, Problem::NoSourceCheckpoint { probe, step, model, nearest: nearest(step, grid) })
    };
    unknown.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_must_be_a_checkpoint() {
        assert!(no_such_sources(&[0, 512], &[0, 1, 512], "p", "tiny").is_empty());
        let problems = no_such_sources(&[0, 300], &[0, 1, 512], "p", "tiny");
        let words = "probe `p` reads step 300, which is not a checkpoint of tiny";
        assert_eq!(problems.iter().map(|(_, problem)| problem.to_string()).collect::<Vec<_>>(), [words]);
        assert!(matches!(&problems[0].1, Problem::NoSourceCheckpoint { nearest, .. } if *nearest == [1, 512]));
        assert_eq!(no_such_sources(&[0], &[], "p", "one").len(), 1);
    }
}
