//! Pairs of prompts: what an intervention carries from one run into another, and the answers that tell what it did.
//!
//! The parts, in reading order:
//!
//! - this file: a pair, and where pairs come from;
//! - `draft`: what makes two prompts a pair, the same for files and generators;
//! - `file`, `record`: pairs written one per line as JSON;
//! - `phrase`, `words`: templates and word lists, cut down to what the model's tokenizer has as single tokens;
//! - `ioi`, `greater_than`, `agreement`, `pronoun`, `capitals`, `induction`: the generators;
//! - `error`: every way in which this can fail.
//!
//! Pair number `i` of a generator depends on the task, the tokenizer, the seed and `i` alone, never on how many are asked for.

mod draft;
mod error;
mod generate;
mod induction;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use pythia_core::tokenizer::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::prompts::Vocabulary;

pub use error::PairError;

/// The largest `n`: all pairs are in memory at once.
const MAX_PAIRS: usize = 1 << 16;
/// The largest `half_len`: twice the context of any model of the suite. The model's own context is checked where it is known.
const MAX_HALF_LEN: usize = 1 << 12;
/// Random tokens where `half_len` is left out.
const HALF_LEN: usize = 16;

/// Two prompts of equal length that differ in what matters, and the answers between which they decide.
///
/// Both prompts have the same positions: what is at position `p` of one run can be written to position `p` of the other.
/// Pairs of one list may differ in length from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Token ids `[len]` of the prompt whose right answers are `answers`, the BOS included where one is prepended.
    pub clean: Vec<u32>,
    /// Token ids `[len]` of the prompt whose right answers are `wrongs`.
    pub corrupt: Vec<u32>,
    /// Next tokens that are right after `clean`; at least one, all different and none of them in `wrongs`.
    pub answers: Vec<u32>,
    /// Next tokens that are right after `corrupt`, all different. May be empty: metrics that need them are undefined then.
    pub wrongs: Vec<u32>,
    /// Positions in both prompts by name, from 0 and with the BOS counted. `"end"` is always there: the last one.
    pub positions: BTreeMap<String, usize>,
    /// Line of the file, from 1; or index of the generated pair, from 0.
    pub source: usize,
}

/// A pair that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Line of the file, from 1.
    pub source: usize,
    /// Why.
    pub reason: PairError,
}

/// The pairs of a source, and those of its pairs that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// In the order of the source; never empty.
    pub list: Vec<Pair>,
    /// In the order of the source. Generators leave nothing out.
    pub dropped: Vec<Dropped>,
}

/// What generated pairs are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Indirect object identification (Wang et al. 2022): which of two names is given something.
    Ioi,
    /// Greater-Than (Hanna et al. 2023): a war ends after the year in which it began.
    GreaterThan,
    /// Subject-verb agreement: the verb's number is the subject's, whatever stands between them.
    Agreement,
    /// The pronoun that goes with a name.
    Pronoun,
    /// A country's capital.
    Capitals,
    /// Random tokens that begin again: what followed the last one before? Needs no tokenizer.
    Induction,
}

impl Task {
    /// Every task, in the order of their declaration.
    pub const ALL: [Task; 6] =
        [Task::Ioi, Task::GreaterThan, Task::Agreement, Task::Pronoun, Task::Capitals, Task::Induction];

    /// The name in an experiment file.
    pub fn name(self) -> &'static str {
        match self {
            Task::Ioi => "ioi",
            Task::GreaterThan => "greater_than",
            Task::Agreement => "agreement",
            Task::Pronoun => "pronoun",
            Task::Capitals => "capitals",
            Task::Induction => "induction",
        }
    }

    /// Whether pairs of this task can only be made with the model's tokenizer.
    pub fn needs_tokenizer(self) -> bool {
        self != Task::Induction
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where pairs come from: a task that generates them, or a file with a pair per line.
///
/// A line of the file is a JSON object: `{"clean": …, "corrupt": …, "answer": …, "wrong": …, "positions": {…}}`. A prompt is text
/// or a list of token ids; an answer is text, a list of texts, or a list of token ids, and each must be one token (`" Paris"`: the
/// space belongs to it). `wrong` and `positions` may be left out. Positions are names with indices into the prompt as it stands in
/// the file, without a BOS, and from the end where they are negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairSource {
    /// The task whose pairs are generated.
    pub task: Option<Task>,
    /// The file with a pair per line.
    pub file: Option<PathBuf>,
    /// How many pairs are generated, or at most taken from the file: the first that can be used. 32 where it is left out.
    #[serde(default = "default_n")]
    pub n: usize,
    /// Random tokens before they begin again, for the task induction; 16 where it is left out.
    pub half_len: Option<usize>,
}

fn default_n() -> usize {
    32
}

impl PairSource {
    /// The pairs of a task, as many as where nothing is said.
    pub fn task(task: Task) -> Self {
        Self { task: Some(task), file: None, n: default_n(), half_len: None }
    }

    /// The pairs of a file, as many as where nothing is said.
    pub fn file(file: PathBuf) -> Self {
        Self { task: None, file: Some(file), n: default_n(), half_len: None }
    }

    /// Refuses a source that can have no pairs, before anything is read.
    ///
    /// # Errors
    /// [`PairError::NoSource`], [`PairError::TwoSources`], [`PairError::TooSmall`], [`PairError::TooLarge`],
    /// [`PairError::HalfLen`].
    pub fn check(&self) -> Result<(), PairError> {
        self.origin()?;
        within("n", self.n, 1, MAX_PAIRS)?;
        match self.half_len {
            Some(half_len) if self.task != Some(Task::Induction) => Err(PairError::HalfLen { half_len }),
            Some(half_len) => within("half_len", half_len, 2, MAX_HALF_LEN),
            None => Ok(()),
        }
    }

    /// The pairs themselves. `tokenizer` is the model's, where it has one; `text` the content of the file, where the source is
    /// one; a BOS is put in front of every prompt if `prepend_bos`, also where one begins with it. The seed matters to tasks
    /// alone.
    ///
    /// # Errors
    /// Everything [`check`](Self::check) refuses; [`PairError`]s that name the first broken line of a file, or what the
    /// tokenizer lacks for a task; [`PairError::NothingLeft`] if every pair of the file was left out.
    pub fn make(
        &self,
        tokenizer: Option<&Tokenizer>,
        text: Option<&str>,
        vocabulary: Vocabulary,
        prepend_bos: bool,
        seed: u64,
    ) -> Result<Pairs, PairError> {
        self.check()?;
        let _ = text;
        match self.origin()? {
            Origin::Task(task) => generate::pairs(task, self, tokenizer, vocabulary, prepend_bos, seed),
            Origin::File(file) => Err(PairError::NoText { file: file.clone() }),
        }
    }

    /// An upper bound of the number of pairs, and of the tokens in a prompt with its BOS; the latter is 0 for a file, whose
    /// prompts are not known before it is read.
    pub fn size_hint(&self, prepend_bos: bool) -> (usize, usize) {
        let longest = self.task.map_or(0, |task| generate::longest(task, self.half()) + usize::from(prepend_bos));
        (self.n, longest)
    }

    /// Random tokens before they begin again.
    fn half(&self) -> usize {
        self.half_len.unwrap_or(HALF_LEN)
    }

    fn origin(&self) -> Result<Origin<'_>, PairError> {
        match (self.task, &self.file) {
            (Some(task), None) => Ok(Origin::Task(task)),
            (None, Some(file)) => Ok(Origin::File(file)),
            (None, None) => Err(PairError::NoSource),
            (Some(task), Some(file)) => Err(PairError::TwoSources { task, file: file.clone() }),
        }
    }
}

/// The one source that was chosen.
enum Origin<'a> {
    Task(Task),
    File(&'a PathBuf),
}

fn within(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), PairError> {
    match value {
        _ if value < least => Err(PairError::TooSmall { field, value, least }),
        _ if value > most => Err(PairError::TooLarge { field, value, most }),
        _ => Ok(()),
    }
}
