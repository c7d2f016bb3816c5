//! What can be wrong with an experiment file, with what is allowed instead.

use std::path::PathBuf;

use pythia_core::device::DeviceError;
use pythia_core::store::{ModelRefError, StoreError};
use pythia_files::PathError;
use pythia_hooks::HookError;
use pythia_probes::ProbeError;

use super::old_keys::NewSpelling;
use super::steps::EXPECTED;
use super::words::plain;
use crate::config::{InputError, ModelInfoError};
use crate::integrity::KnownDefectsError;
use crate::terminal::Explained;

/// What relative paths count from.
const PATHS: &str = "paths in a file count from the folder of that file, those of options from where the command runs";

/// One thing that is wrong with a configuration. The variants carry what was found and what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Device(DeviceError),
    #[error("{}", plain(.0.message()))]
    Toml(toml::de::Error),
    #[error("unknown key `{key}` in {table}")]
    UnknownKey { key: String, table: String, allowed: Vec<String> },
    #[error("`{key}` is not a key of {table} any more")]
    OldKey { key: String, table: String, new: NewSpelling },
    #[error("missing key `{key}` in {table}")]
    MissingKey {
        key: String,
        table: String,
        /// What the key means, from the schema.
        meaning: String,
    },
    #[error("`{key}` takes {expected}, found {found}")]
    WrongType {
        key: String,
        /// What the key takes, in words.
        expected: &'static str,
        found: &'static str,
    },
    #[error("`{key}` cannot be \"{word}\"")]
    UnknownWord { key: &'static str, word: String, allowed: Vec<String> },
    #[error("unknown probe kind `{kind}`")]
    UnknownKind { kind: String, allowed: Vec<String> },
    #[error("`{key}` is empty")]
    Empty { key: &'static str },
    #[error("`{key}` names `{}`: {error}", written.display())]
    Path { key: &'static str, written: PathBuf, error: PathError },
    #[error("probe `{probe}` names `{}`: {error}", written.display())]
    PathOfProbe { probe: String, written: PathBuf, error: PathError },
    #[error("`{}` names two files here: {} and {}", written.display(), first.display(), second.display())]
    TwoFiles { written: PathBuf, first: PathBuf, second: PathBuf },
    #[error("`known_bad`: {error}")]
    KnownBadFile { error: InputError },
    #[error(transparent)]
    KnownBad(KnownDefectsError),
    #[error("two probes are called `{name}`")]
    DuplicateProbe { name: String },
    #[error("probes `{probe}` and `{other}` would both write to `{folder}`")]
    SharedFolder { probe: String, other: String, folder: String },
    #[error("two models are called `{label}` in the results")]
    DuplicateModel {
        /// The value both would have in the column `model`.
        label: String,
    },
    #[error("`{name}` is not a name for {what}")]
    BadName {
        name: String,
        what: &'static str,
        /// The characters that can stand in such a name.
        allowed: &'static str,
    },
    #[error(transparent)]
    Model(#[from] ModelRefError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    ModelInfo(#[from] ModelInfoError),
    #[error("step {step} is not a checkpoint of {model}")]
    NotACheckpoint {
        step: u32,
        model: String,
        /// The model's nearest checkpoints, ascending.
        nearest: Vec<u32>,
    },
    #[error("these steps select no checkpoint of {model}")]
    NoStep {
        model: String,
        /// The model's first and last checkpoint, where it has any.
        span: Option<(u32, u32)>,
    },
    #[error("a range of steps needs `from` <= `to` and `every` >= 1, found from = {from}, to = {to}, every = {every}")]
    BadRange { from: u32, to: u32, every: u32 },
    #[error("probe `{probe}` cannot run on {model}: {error}")]
    Probe { probe: String, model: String, error: Box<ProbeError> },
    #[error("probe `{probe}`: {error}")]
    Hook { probe: String, error: HookError },
    #[error("probe `{probe}` reads text, and the tokenizer of {model} is not fetched yet")]
    TokenizerToFetch { probe: String, model: String },
    #[error("probe `{probe}`: {error}")]
    Input { probe: String, error: InputError },
    #[error("probe `{probe}` reads step {step}, which is not a checkpoint of {model}")]
    NoSourceCheckpoint {
        probe: String,
        step: u32,
        model: String,
        /// The model's nearest checkpoints, ascending.
        nearest: Vec<u32>,
    },
    #[error("`{old}` is the old spelling of `{new}`, and this probe has both")]
    BothSpellings { old: &'static str, new: String },
    #[error("`{one}` and `{other}` exclude each other: leave one of them out")]
    Exclude { one: String, other: String },
    #[error("`--set {argument}` is not KEY=VALUE")]
    NotAnOverride { argument: String },
    #[error("`{path}` does not exist: `{segment}` {why}")]
    DeadPath { path: String, segment: String, why: String },
}

impl Problem {
    /// The words under the marked token.
    pub(super) fn label(&self) -> String {
        match self {
            Problem::UnknownKey { .. } => "not a key of this table".into(),
            Problem::OldKey { .. } => "an old spelling".into(),
            Problem::MissingKey { .. } => "in this table".into(),
            Problem::WrongType { expected, .. } => format!("expected {expected}"),
            Problem::UnknownKind { .. } => "no such probe".into(),
            Problem::DuplicateProbe { .. } | Problem::SharedFolder { .. } => "this one is the second".into(),
            Problem::NotACheckpoint { .. } => "not a checkpoint".into(),
            Problem::BothSpellings { .. } => "old spelling".into(),
            Problem::Device(_)
            | Problem::Toml(_)
            | Problem::UnknownWord { .. }
            | Problem::Empty { .. }
            | Problem::Path { .. }
            | Problem::PathOfProbe { .. }
            | Problem::TwoFiles { .. }
            | Problem::KnownBadFile { .. }
            | Problem::KnownBad(_)
            | Problem::DuplicateModel { .. }
            | Problem::BadName { .. }
            | Problem::Model(_)
            | Problem::Store(_)
            | Problem::ModelInfo(_)
            | Problem::NoStep { .. }
            | Problem::BadRange { .. }
            | Problem::Probe { .. }
            | Problem::Hook { .. }
            | Problem::TokenizerToFetch { .. }
            | Problem::Input { .. }
            | Problem::NoSourceCheckpoint { .. }
            | Problem::Exclude { .. }
            | Problem::NotAnOverride { .. }
            | Problem::DeadPath { .. } => String::new(),
        }
    }

    /// What to do about it, a line each.
    pub(super) fn help(&self) -> Vec<String> {
        match self {
            Problem::UnknownKey { key, allowed, .. } => {
                suggestions(key, allowed, format!("allowed keys: {}", allowed.join(", ")))
            }
            Problem::UnknownKind { kind, allowed } => {
                suggestions(kind, allowed, format!("allowed kinds: {}", allowed.join(", ")))
            }
            Problem::UnknownWord { word, allowed, .. } => suggestions(word, allowed, format!("allowed: {EXPECTED}")),
            Problem::OldKey { new, .. } => {
                vec![format!("write `{}`", new.entry), "`pythia migrate --write FILE` rewrites a whole file".into()]
            }
            Problem::TokenizerToFetch { .. } => vec!["`pythia run FILE` fetches it".into()],
            other => other.hint().into_iter().collect(),
        }
    }

    /// What to do about it where it is in an override, `argument`; `None` where that is the same as in a file.
    pub(super) fn help_for_override(&self, argument: &str) -> Option<Vec<String>> {
        let Problem::OldKey { key, new, .. } = self else { return None };
        let (path, value) = argument.split_once('=')?;
        let probe = path.trim().strip_suffix(key.as_str())?;
        Some(vec![format!("write `--set {probe}{}={value}`", new.path)])
    }

    /// The help that is one line.
    fn hint(&self) -> Option<String> {
        let single = "it is a single model without steps";
        Some(match self {
            Problem::MissingKey { key, meaning, .. } => format!("`{key}`: {meaning}"),
            Problem::DuplicateProbe { name } => format!("give one of them another name, such as \"{name}_2\""),
            Problem::SharedFolder { .. } => "give one of them another name".into(),
            Problem::Input { .. } | Problem::KnownBadFile { .. } => PATHS.into(),
            Problem::Path { error, .. } | Problem::PathOfProbe { error, .. } => remedy_of_path(error),
            Problem::TwoFiles { .. } => "write one of them with its whole path".into(),
            Problem::DuplicateModel { .. } => "each model name has a folder of results: rename one of the two".into(),
            Problem::BadName { allowed, .. } => format!("a name has at least one character; allowed are {allowed}"),
            Problem::NoSourceCheckpoint { nearest, .. } if nearest.is_empty() => {
                format!("{single}: this probe needs a suite of checkpoints")
            }
            Problem::NotACheckpoint { nearest, .. } if nearest.is_empty() => {
                format!("{single}: write steps = \"all\"")
            }
            Problem::NotACheckpoint { nearest, .. } | Problem::NoSourceCheckpoint { nearest, .. } => {
                format!("the nearest checkpoints are {}", list(nearest))
            }
            Problem::NoStep { span: Some((first, last)), .. } => format!("its checkpoints run from {first} to {last}"),
            Problem::NoStep { span: None, .. } => format!("{single}: write steps = \"all\""),
            Problem::BothSpellings { old, new } => format!("say what is meant in `{new}`, and remove `{old}`"),
            Problem::NotAnOverride { .. } => {
                "write for example --set seed=1 or --set probe.0.prompts.n=4; values are TOML".into()
            }
            Problem::Hook { error, .. } => return error.remedy(),
            Problem::Probe { error, .. } => {
                return if let ProbeError::Hook(error) = &**error { error.remedy() } else { None };
            }
            Problem::UnknownKey { .. }
            | Problem::UnknownKind { .. }
            | Problem::UnknownWord { .. }
            | Problem::OldKey { .. }
            | Problem::TokenizerToFetch { .. }
            | Problem::Toml(_)
            | Problem::Device(_)
            | Problem::WrongType { .. }
            | Problem::Empty { .. }
            | Problem::KnownBad(_)
            | Problem::Model(_)
            | Problem::Store(_)
            | Problem::ModelInfo(_)
            | Problem::BadRange { .. }
            | Problem::Exclude { .. }
            | Problem::DeadPath { .. } => return None,
        })
    }
}

/// What to do about a path that leads nowhere.
fn remedy_of_path(error: &PathError) -> String {
    match error {
        PathError::UnknownVariable { name } => format!("set {name}, for example with `export {name}=/path`"),
        PathError::NoBrace => "write `${NAME}`".into(),
        PathError::NoHome => "set HOME, or write the whole path".into(),
        PathError::OtherHome { .. } => "write the whole path".into(),
    }
}

/// "Did you mean" where something is near, and always the whole choice.
fn suggestions(found: &str, allowed: &[String], choice: String) -> Vec<String> {
    let nearest = pythia_hooks::nearest(found, allowed.iter().map(String::as_str));
    let near = nearest.first().map(|word| format!("did you mean `{word}`?"));
    near.into_iter().chain([choice]).collect()
}

/// Numbers as a person lists them.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
