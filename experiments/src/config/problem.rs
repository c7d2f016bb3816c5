//! What can be wrong with an experiment file, with what is allowed instead.

use pythia_core::device::DeviceError;
use pythia_core::store::{ModelRefError, StoreError};
use pythia_probes::ProbeError;

use super::words::plain;
use crate::config::InputError;
use crate::config::ModelInfoError;
use crate::integrity::KnownDefectsError;

/// One thing that is wrong with a configuration. The variants carry what was found and what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The program cannot compute there.
    #[error(transparent)]
    Device(DeviceError),
    /// The text is not TOML, or a value has the wrong type or is out of range.
    #[error("{}", plain(.0.message()))]
    Toml(toml::de::Error),
    /// A key that the table does not have.
    #[error("unknown key `{key}` in {table}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The table it stands in, in words.
        table: String,
        /// The keys that the table has.
        allowed: Vec<String>,
    },
    /// A key that the table had in an earlier version.
    #[error("`{key}` is not a key of {table} any more")]
    OldKey {
        /// The key as written.
        key: String,
        /// The table it stands in, in words.
        table: String,
        /// What is written today.
        new: String,
    },
    /// A key that must be there and is not.
    #[error("missing key `{key}` in {table}")]
    MissingKey {
        /// The key.
        key: String,
        /// The table it belongs to, in words.
        table: String,
        /// What the key means, from the schema.
        meaning: String,
    },
    /// A value of another type than the key takes.
    #[error("`{key}` takes {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What the key takes, in words.
        expected: &'static str,
        /// The type found, in TOML's words.
        found: &'static str,
    },
    /// A word where only some words are allowed.
    #[error("`{key}` cannot be \"{word}\"")]
    UnknownWord {
        /// The key.
        key: &'static str,
        /// The word as written.
        word: String,
        /// The words there are.
        allowed: Vec<String>,
    },
    /// `kind` names no probe.
    #[error("unknown probe kind `{kind}`")]
    UnknownKind {
        /// The kind as written.
        kind: String,
        /// The kinds there are.
        allowed: Vec<String>,
    },
    /// A list that needs an entry has none.
    #[error("`{key}` is empty")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// The file of further known defects cannot be read.
    #[error("`known_bad`: {error}")]
    KnownBadFile {
        /// Why.
        error: InputError,
    },
    /// The file of further known defects is no such list.
    #[error(transparent)]
    KnownBad(KnownDefectsError),
    /// Two probes would write to one folder.
    #[error("two probes are called `{name}`")]
    DuplicateProbe {
        /// The name both have.
        name: String,
    },
    /// A probe's further table would be written where another probe's table goes.
    #[error("probes `{probe}` and `{other}` would both write to `{folder}`")]
    SharedFolder {
        /// The probe.
        probe: String,
        /// The probe before it.
        other: String,
        /// The folder.
        folder: String,
    },
    /// Two models would write to one folder.
    #[error("two models are called `{label}` in the results")]
    DuplicateModel {
        /// The value both would have in the column `model`.
        label: String,
    },
    /// A name that cannot be a folder's name everywhere.
    #[error("`{name}` is not a name for {what}")]
    BadName {
        /// The name as written.
        name: String,
        /// What carries the name.
        what: &'static str,
    },
    /// A model that is neither of the suite nor a folder.
    #[error(transparent)]
    Model(#[from] ModelRefError),
    /// A model whose files cannot be listed or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model whose shape or vocabulary cannot be read.
    #[error(transparent)]
    ModelInfo(#[from] ModelInfoError),
    /// A step that the model was not saved at.
    #[error("step {step} is not a checkpoint of {model}")]
    NotACheckpoint {
        /// The step as written.
        step: u32,
        /// The model's label.
        model: String,
        /// The model's nearest checkpoints, ascending.
        nearest: Vec<u32>,
    },
    /// A range or a list of steps that selects nothing.
    #[error("these steps select no checkpoint of {model}")]
    NoStep {
        /// The model's label.
        model: String,
        /// The model's first and last checkpoint, where it has any.
        span: Option<(u32, u32)>,
    },
    /// A range of steps that runs backwards or stands still.
    #[error("a range of steps needs `from` <= `to` and `every` >= 1, found from = {from}, to = {to}, every = {every}")]
    BadRange {
        /// First step.
        from: u32,
        /// Last step.
        to: u32,
        /// Distance.
        every: u32,
    },
    /// A probe that cannot run on a model: a prompt longer than the context, a head that does not exist.
    #[error("probe `{probe}` cannot run on {model}: {error}")]
    Probe {
        /// The probe's name.
        probe: String,
        /// The model's label.
        model: String,
        /// The probe's own words.
        error: Box<ProbeError>,
    },
    /// A file that a probe names cannot be used.
    #[error("probe `{probe}`: {error}")]
    Input {
        /// The probe's name.
        probe: String,
        /// What is wrong with the file.
        error: InputError,
    },
    /// A probe reads another checkpoint, and the model was not saved at that step.
    #[error("probe `{probe}` reads step {step}, which is not a checkpoint of {model}")]
    NoSourceCheckpoint {
        /// The probe's name.
        probe: String,
        /// The step it asks for.
        step: u32,
        /// The model's label.
        model: String,
        /// The model's nearest checkpoints, ascending.
        nearest: Vec<u32>,
    },
    /// A `--set` argument that is not `key=value`.
    #[error("`--set {argument}` is not KEY=VALUE")]
    NotAnOverride {
        /// The argument.
        argument: String,
    },
    /// A `--set` path that leads nowhere.
    #[error("`{path}` does not exist: `{segment}` {why}")]
    DeadPath {
        /// The whole path.
        path: String,
        /// The part that cannot be followed.
        segment: String,
        /// Why it cannot.
        why: String,
    },
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
            _ => String::new(),
        }
    }

    /// What to do about it, a line each.
    pub(super) fn help(&self) -> Vec<String> {
        match self {
            Problem::UnknownKey { key, allowed, .. } => suggestions(key, allowed, "keys"),
            Problem::OldKey { new, .. } => {
                vec![format!("write `{new}`"), "`pythia migrate FILE` rewrites a whole file".into()]
            }
            Problem::UnknownKind { kind, allowed } => suggestions(kind, allowed, "kinds"),
            Problem::UnknownWord { word, allowed, .. } => super::steps::word_help(word, allowed),
            Problem::MissingKey { key, meaning, .. } => vec![format!("`{key}`: {meaning}")],
            Problem::DuplicateProbe { name } => {
                vec![format!("give one of them another name, for example name = \"{name}_2\"")]
            }
            Problem::SharedFolder { .. } => vec!["give one of them another name".into()],
            Problem::Input { .. } => vec!["paths count from the folder where the command runs".into()],
            Problem::NoSourceCheckpoint { nearest, .. } if nearest.is_empty() => {
                vec!["it is a single model without steps: this probe needs a suite of checkpoints".into()]
            }
            Problem::DuplicateModel { .. } => {
                vec!["results are in one folder per model name: rename one of the two folders".into()]
            }
            Problem::BadName { .. } => {
                vec!["allowed are the characters a-z, 0-9, `_` and `-`, at least one".into()]
            }
            Problem::NotACheckpoint { nearest, .. } if nearest.is_empty() => {
                vec!["it is a single model without steps: write steps = \"all\"".into()]
            }
            Problem::NotACheckpoint { nearest, .. } | Problem::NoSourceCheckpoint { nearest, .. } => {
                vec![format!("the nearest checkpoints are {}", list(nearest))]
            }
            Problem::NoStep { span: Some((first, last)), .. } => {
                vec![format!("its checkpoints run from {first} to {last}")]
            }
            Problem::NoStep { span: None, .. } => {
                vec!["it is a single model without steps: write steps = \"all\"".into()]
            }
            Problem::NotAnOverride { .. } => {
                vec!["write for example --set seed=1 or --set probe.0.prompts.n=4; values are TOML".into()]
            }
            _ => Vec::new(),
        }
    }
}

/// "Did you mean" where something is near, and always the whole choice.
fn suggestions(found: &str, allowed: &[String], what: &str) -> Vec<String> {
    let mut lines: Vec<String> = did_you_mean(found, allowed).into_iter().collect();
    lines.push(format!("allowed {what}: {}", allowed.join(", ")));
    lines
}

/// The sentence to print where one of the choices is near.
pub(super) fn did_you_mean(found: &str, allowed: &[String]) -> Option<String> {
    let nearest = pythia_hooks::nearest(found, allowed.iter().map(String::as_str));
    nearest.first().map(|word| format!("did you mean `{word}`?"))
}

/// Numbers as a person lists them.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
