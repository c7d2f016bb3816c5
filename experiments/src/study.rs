//! An experiment meets its models: where their checkpoints are, which of them are chosen, whether every probe fits.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pythia_core::config::{ConfigError, NeoxConfig};
use pythia_core::store::{self, Checkpoints, ModelRef, StoreError};
use pythia_core::suite::{ModelId, Step, suite};
use pythia_core::tokenizer::{Tokenizer, TokenizerError};
use pythia_probes::{Context, Files};
use toml::Spanned;

use crate::config::{ConfigErrors, Experiment, Located, Problem};
use crate::place;

/// The id of the BOS token: `<|endoftext|>` in the suite's tokenizer, and the first id in vocabularies without one.
pub const BOS: u32 = 0;

/// An experiment and the models it runs on.
pub struct Study {
    /// The experiment.
    pub experiment: Experiment,
    /// Its models, in the order of the file.
    pub models: Vec<Model>,
}

/// One model of an experiment.
pub struct Model {
    /// What the results call it.
    pub label: String,
    /// Where its checkpoints are.
    pub store: Box<dyn Checkpoints + Send + Sync>,
    /// The chosen checkpoints, ascending; a single `None` for a model without steps.
    pub steps: Vec<Option<Step>>,
    /// Its shape.
    pub config: NeoxConfig,
    /// Its vocabulary.
    pub vocabulary: Vocabulary,
    /// Its tokenizer, where it has one.
    pub tokenizer: Option<Tokenizer>,
}

/// The ids of a model that are tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    /// Number of ids that are not padding.
    pub size: usize,
    /// Hash of the tokenizer's file, where the model has one.
    pub tokenizer_hash: Option<String>,
}

/// Why a model's shape or vocabulary cannot be learned from its files.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// No chosen checkpoint has files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configuration cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration is wrong.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// A tokenizer is wrong.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokenizerError,
    },
}

impl Model {
    /// What the probes of an experiment may know of the model before any weights are read.
    pub fn context<'a>(&'a self, experiment: &Experiment, files: &'a Files) -> Context<'a> {
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

impl Study {
    /// Opens the models of an experiment and checks it against them.
    pub fn open(experiment: Experiment) -> Result<Self, ConfigErrors> {
        let cache = experiment.machine.cache.clone().unwrap_or_else(place::hub_cache);
        let (mut models, mut problems) = (Vec::<Model>::new(), Vec::new());
        for reference in &experiment.models {
            match open_model(&experiment, reference, &cache) {
                Ok(model) if models.iter().any(|other| other.label == model.label) => {
                    problems.push(Located::new(Problem::DuplicateModel { label: model.label }, reference.span()));
                }
                Ok(model) => models.push(model),
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            Ok(Self { experiment, models })
        } else {
            Err(ConfigErrors { sources: experiment.sources, problems })
        }
    }
}

fn open_model(experiment: &Experiment, reference: &Spanned<ModelRef>, cache: &Path) -> Result<Model, Vec<Located>> {
    let at = reference.span();
    let one = |problem: Problem| vec![Located::new(problem, at.clone())];
    let store = store::open(reference.get_ref(), cache).map_err(|error| one(error.into()))?;
    let label = store.model().to_owned();
    check_label(&label).map_err(one)?;
    let steps = choose(experiment, store.as_ref()).map_err(|problems| {
        let from_store =
            |located: Located| if located.span == NOWHERE { Located { span: at.clone(), ..located } } else { located };
        problems.into_iter().map(from_store).collect::<Vec<_>>()
    })?;
    let (config, tokenizer) = shape(store.as_ref(), &steps).map_err(|error| one(Problem::Shape(error)))?;
    let vocabulary = vocabulary(&config, tokenizer.as_ref(), store.suite_id());
    let model = Model { label, store, steps, config, vocabulary, tokenizer };
    check_probes(experiment, &model)?;
    Ok(model)
}

/// Marks a problem that lies with the model and not with `steps`.
const NOWHERE: Range<usize> = usize::MAX..usize::MAX;

/// The grid of a model: what the suite published, or what a folder holds. A published checkpoint that is not in the cache
/// is still chosen, for a sweep that leaves it out in silence would show another curve than the one asked for.
fn choose(experiment: &Experiment, store: &dyn Checkpoints) -> Result<Vec<Option<Step>>, Vec<Located>> {
    let grid = match store.suite_id() {
        Some(id) => id.info().grid().to_vec(),
        None => store.steps().map_err(|error| vec![Located::new(error, NOWHERE)])?,
    };
    if grid.is_empty() && experiment.steps == crate::config::Steps::All {
        return Ok(vec![None]);
    }
    let labels: Vec<u32> = grid.iter().map(|step| step.label()).collect();
    let chosen = experiment.steps.select(&labels, store.model(), &experiment.steps_at)?;
    Ok(chosen.into_iter().map(|label| Some(Step::from_label(label))).collect())
}

/// A label becomes a folder's name.
fn check_label(label: &str) -> Result<(), Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !label.is_empty() && !label.starts_with('.') && label.chars().all(allowed) {
        return Ok(());
    }
    Err(Problem::BadName { name: label.into(), what: "a model in the results" })
}

/// The shape and the tokenizer of the first chosen checkpoint that has files.
///
/// # Errors
/// Where no chosen checkpoint has files, the first one's; or that its configuration or tokenizer cannot be read.
fn shape(store: &dyn Checkpoints, steps: &[Option<Step>]) -> Result<(NeoxConfig, Option<Tokenizer>), ShapeError> {
    let mut first_error = None;
    for step in steps {
        match store.locate(*step) {
            Ok(files) => {
                let config = read_config(&files.config)?;
                return Ok((config, files.tokenizer.as_deref().map(read_tokenizer).transpose()?));
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    // A choice of steps is never empty, so some error was met.
    Err(first_error.unwrap_or_else(|| StoreError::NoFolder { dir: PathBuf::from(store.model()) }).into())
}

/// Reads a `config.json`.
pub fn read_config(path: &Path) -> Result<NeoxConfig, ShapeError> {
    let text = fs::read_to_string(path).map_err(|source| ShapeError::Io { path: path.into(), source })?;
    NeoxConfig::from_json(&text).map_err(|source| ShapeError::Config { path: path.into(), source })
}

fn read_tokenizer(path: &Path) -> Result<Tokenizer, ShapeError> {
    Tokenizer::from_file(path).map_err(|source| ShapeError::Tokenizer { path: path.into(), source })
}

/// Which ids of a model are tokens: those of its tokenizer, of the suite's where it is one of the suite, else all.
pub fn vocabulary(config: &NeoxConfig, tokenizer: Option<&Tokenizer>, suite_id: Option<ModelId>) -> Vocabulary {
    let of_suite = suite_id.map(|_| suite().tokenizer_ids());
    let ids = tokenizer.map(Tokenizer::n_ids).or(of_suite).unwrap_or(config.vocab_size);
    Vocabulary { size: ids.min(config.vocab_size), tokenizer_hash: tokenizer.map(Tokenizer::content_hash) }
}

fn check_probes(experiment: &Experiment, model: &Model) -> Result<(), Vec<Located>> {
    let check = |probe: &crate::config::ProbeEntry| {
        let error = probe.spec.check(&model.context(experiment, Files::NONE)).err()?;
        let problem = Problem::Probe { probe: probe.name.clone(), model: model.label.clone(), error };
        Some(Located::new(problem, probe.at.clone()))
    };
    let problems: Vec<Located> = experiment.probes.iter().filter_map(check).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
