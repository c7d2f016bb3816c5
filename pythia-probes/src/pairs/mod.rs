//! Pairs of prompts: what an intervention carries from one run into another, and the answers that tell what it did.
//!
//! ```
//! use pythia_probes::pairs::{PairError, PairSource, Task};
//! use pythia_probes::prompts::Vocabulary;
//!
//! let source = PairSource { n: 1, half_len: Some(4), ..PairSource::task(Task::Induction) };
//! let pairs = source.make(None, None, Vocabulary { size: 100, bos: 0 }, true, 7)?;
//! // [BOS] R and the first half of R again: the answer is what followed the last token before.
//! let pair = &pairs.list[0];
//! assert_eq!(pair.clean.len(), 1 + 4 + 2);
//! assert_eq!(pair.clean[pair.positions["successor"][0]], pair.answers[0]);
//! # Ok::<(), PairError>(())
//! ```
//!
//! The parts, in reading order:
//!
//! - this file: a pair, and where pairs come from;
//! - `draft`: what makes two prompts a pair, the same for files and generators;
//! - `file`, `record`: pairs written one per line as JSON;
//! - `noise`: noise in place of the corrupt prompt;
//! - `phrase`, `words`: templates and word lists, cut down to what the model's tokenizer has as single tokens;
//! - `ioi`, `greater_than`, `agreement`, `pronoun`, `capitals`, `induction`: the generators;
//! - `error`, `describe`: every way in which this can fail, and its message.
//!
//! Pair number `i` of a generator depends on the task, the tokenizer, the seed and `i` alone, never on how many are
//! asked for.

mod agreement;
mod capitals;
mod describe;
mod draft;
mod error;
mod file;
mod generate;
mod greater_than;
mod induction;
mod ioi;
mod noise;
mod phrase;
mod pronoun;
mod record;
#[cfg(test)]
mod testing;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use pythia_core::tokenizer::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::from_map::from_map;
use crate::random::Vocabulary;

use file::PairReader;
use generate::Maker;

pub use describe::reasons;
pub use error::PairError;
pub use noise::Noise;
pub(crate) use record::column_and_reason;

/// The largest `n`: all pairs are in memory at once.
const MAX_PAIRS: usize = 1 << 16;
/// The largest `half_len`: twice the context of any model of the suite. The model's own context is checked where it
/// is known.
const MAX_HALF_LEN: usize = 1 << 12;
/// The smallest `half_len` of the task induction_match: two places that do not overlap.
const LEAST_FOR_MATCH: usize = 6;
/// Random tokens where `half_len` is left out.
const HALF_LEN: usize = 16;
/// Tokens in the longest sentence that a generator writes, in the suite's tokenizer.
const LONGEST_SENTENCE: usize = 20;

/// Two prompts of equal length that differ in what matters, and the answers between which they decide.
///
/// Both prompts have the same positions: what is at position `p` of one run can be written to position `p` of the
/// other. Pairs of one list may differ in length from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Token ids `[len]` of the prompt whose right answers are `answers`, the BOS included where one is prepended.
    pub clean: Vec<u32>,
    /// Token ids `[len]` of the prompt after which `wrongs` are expected; those of `clean` where noise stands for it.
    pub corrupt: Vec<u32>,
    /// Next tokens that are right after `clean`; at least one, all different and none of them in `wrongs`.
    pub answers: Vec<u32>,
    /// Next tokens that are wrong after `clean` and expected after `corrupt`, all different. May be empty: metrics that
    /// need them are undefined then.
    pub wrongs: Vec<u32>,
    /// Positions in both prompts by name, from 0 and with the BOS counted: one, or several in ascending order. `"end"`
    /// is always there: the last one.
    pub positions: BTreeMap<String, Vec<usize>>,
    /// Line of the file, from 1; or index of the generated pair, from 0.
    pub source: usize,
}

impl Pair {
    /// The position that a name stands for, where it is one.
    pub fn position(&self, name: &str) -> Option<usize> {
        match self.positions.get(name).map(Vec::as_slice) {
            Some(&[at]) => Some(at),
            _ => None,
        }
    }
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
    /// A random sequence that begins again; the answer is what followed its last token the first time. In the corrupt
    /// prompt another token followed. Needs no tokenizer.
    Induction,
    /// As `induction`, but the corrupt prompt keeps both answers in their places and exchanges the tokens before them,
    /// so that the last token stood before the other answer. Needs no tokenizer.
    InductionMatch,
}

impl Task {
    /// Every task, in the order of their declaration.
    pub const ALL: [Task; 7] = [
        Task::Ioi,
        Task::GreaterThan,
        Task::Agreement,
        Task::Pronoun,
        Task::Capitals,
        Task::Induction,
        Task::InductionMatch,
    ];

    /// The name in an experiment file.
    pub fn name(self) -> &'static str {
        match self {
            Task::Ioi => "ioi",
            Task::GreaterThan => "greater_than",
            Task::Agreement => "agreement",
            Task::Pronoun => "pronoun",
            Task::Capitals => "capitals",
            Task::Induction => "induction",
            Task::InductionMatch => "induction_match",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where pairs come from: a task that generates them, or a file with a pair per line.
///
/// A line of the file is a JSON object: `{"clean": …, "corrupt": …, "answer": …, "wrong": …, "positions": {…}}`. A
/// prompt is text or a list of token ids; an answer is text, a list of texts, or a list of token ids, and each must
/// be one token (`" Paris"`: the space belongs to it). `wrong` and `positions` may be left out. Positions are names
/// with an index, or a list of indices for a span of tokens. They are counted as the model sees the tokens, from 0 with
/// the BOS included, or from the end where they are negative (-1 is the last). Positions that are not negative need the
/// key `"positions_count_bos"`: `true` where the experiment prepends a BOS, `false` where it does not.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairSource {
    /// The task whose pairs are generated.
    pub task: Option<Task>,
    /// The file with a pair per line.
    pub file: Option<PathBuf>,
    /// How many pairs are generated, or at most taken from the file: the first that can be used. 32 where it is left
    /// out.
    #[schemars(default = "default_n")]
    pub n: usize,
    /// Random tokens before they begin again, for the tasks induction and induction_match; 16 where it is left out.
    pub half_len: Option<usize>,
    /// Noise at the embeddings of the clean prompt in place of the corrupt prompt, for causal tracing by
    /// `activation_patching`: `{ positions = ["subject"], sigmas = 3 }`. The corrupt prompts are not used then, and a
    /// file may leave them out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

fn default_n() -> usize {
    32
}

/// A [`PairSource`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    task: Option<Task>,
    file: Option<PathBuf>,
    #[serde(default = "default_n")]
    n: usize,
    half_len: Option<usize>,
    noise: Option<Noise>,
}

/// What is expected where no table stands: every form there is.
const FORMS: &str = "a table: `{ task = \"ioi\" }` or `{ file = \"pairs.jsonl\" }`";

impl<'de> Deserialize<'de> for PairSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let WrittenSource { task, file, n, half_len, noise } = from_map(from, FORMS)?;
        Ok(Self { task, file, n, half_len, noise })
    }
}

impl PairSource {
    /// The pairs of a task, as many as by default.
    pub fn task(task: Task) -> Self {
        Self { task: Some(task), file: None, n: default_n(), half_len: None, noise: None }
    }

    /// The pairs of a file, as many as by default.
    pub fn file(file: PathBuf) -> Self {
        Self { task: None, file: Some(file), n: default_n(), half_len: None, noise: None }
    }

    /// Two short pairs that need no tokenizer.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { n: 2, half_len: Some(4), ..Self::task(Task::Induction) }
    }

    /// Refuses a source that can have no pairs, before anything is read.
    ///
    /// # Errors
    /// [`PairError::NoSource`], [`PairError::TwoSources`], [`PairError::TooSmall`], [`PairError::TooLarge`],
    /// [`PairError::HalfLen`], [`PairError::NoiseNowhere`], [`PairError::NoiseSize`].
    pub(crate) fn check(&self) -> Result<(), PairError> {
        self.given()?;
        within("pairs.n", self.n, 1, MAX_PAIRS)?;
        self.noise.as_ref().map_or(Ok(()), Noise::check)?;
        match self.half_len {
            Some(half_len) => match self.task {
                Some(Task::Induction) => within("pairs.half_len", half_len, 2, MAX_HALF_LEN),
                Some(Task::InductionMatch) => within("pairs.half_len", half_len, LEAST_FOR_MATCH, MAX_HALF_LEN),
                _ => Err(PairError::HalfLen { half_len }),
            },
            None => Ok(()),
        }
    }

    /// The pairs themselves. `tokenizer` is the model's, where it has one; `text` the content of the file, where the
    /// source is one; a BOS is put in front of every prompt if `prepend_bos`, also where one begins with it. The seed
    /// matters to tasks alone.
    ///
    /// # Errors
    /// Everything `check` refuses; [`PairError`]s that name the first broken line of a file, or what the
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
        let mut pairs = self.without_noise(tokenizer, text, vocabulary, prepend_bos, seed)?;
        if self.noise.is_some() {
            pairs.list.iter_mut().for_each(|pair| pair.corrupt = pair.clean.clone());
        }
        Ok(pairs)
    }

    /// The pairs as they are generated or written.
    fn without_noise(
        &self,
        tokenizer: Option<&Tokenizer>,
        text: Option<&str>,
        vocabulary: Vocabulary,
        prepend_bos: bool,
        seed: u64,
    ) -> Result<Pairs, PairError> {
        match self.given()? {
            Given::Task(task) => {
                let maker = Maker::new(task, self.half(), tokenizer, vocabulary)?;
                let draft = |index| maker.pair(vocabulary.size, index, seed);
                let pair = |index| Ok(draft(index)?.finish(vocabulary, prepend_bos, index));
                Ok(Pairs { list: (0..self.n).map(pair).collect::<Result<_, PairError>>()?, dropped: Vec::new() })
            }
            Given::File(file) => {
                let text = text.ok_or_else(|| PairError::NoText { file: file.clone() })?;
                let noise = self.noise.is_some();
                PairReader { tokenizer, vocabulary, prepend_bos, noise }.pairs(text, self.n)
            }
        }
    }

    /// An upper bound of the number of pairs, and of the tokens in a prompt with its BOS. The latter is `None` for a
    /// file, whose prompts are not known before it is read; for tasks made of words it holds for the suite's tokenizer.
    pub(crate) fn size_hint(&self, prepend_bos: bool) -> (usize, Option<usize>) {
        let longest = match self.task {
            None => return (self.n, None),
            Some(Task::Induction | Task::InductionMatch) => induction::len(self.half()),
            Some(_) => LONGEST_SENTENCE,
        };
        (self.n, Some(longest.saturating_add(usize::from(prepend_bos))))
    }

    /// The field that the length of the prompts comes from.
    pub(crate) fn length_field(&self) -> &'static str {
        match self.task {
            Some(Task::Induction | Task::InductionMatch) => "pairs.half_len",
            _ => "pairs",
        }
    }

    /// Random tokens before they begin again.
    fn half(&self) -> usize {
        self.half_len.unwrap_or(HALF_LEN)
    }

    fn given(&self) -> Result<Given<'_>, PairError> {
        match (self.task, &self.file) {
            (Some(task), None) => Ok(Given::Task(task)),
            (None, Some(file)) => Ok(Given::File(file)),
            (None, None) => Err(PairError::NoSource),
            (Some(task), Some(file)) => Err(PairError::TwoSources { task, file: file.clone() }),
        }
    }
}

/// The one source that was chosen.
enum Given<'a> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn induction() -> PairSource {
        PairSource::task(Task::Induction)
    }

    #[test]
    fn a_source_that_can_have_no_pairs_is_refused_before_anything_is_read() {
        let file = PathBuf::from("pairs.jsonl");
        let check = |change: fn(&mut PairSource)| {
            let mut source = induction();
            change(&mut source);
            source.check()
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|source| source.task = None), Err(PairError::NoSource));
        let both = PairError::TwoSources { task: Task::Induction, file: file.clone() };
        assert_eq!(check(|source| source.file = Some("pairs.jsonl".into())), Err(both));
        assert_eq!(check(|source| source.n = 0), Err(PairError::TooSmall { field: "pairs.n", value: 0, least: 1 }));
        assert_eq!(check(|source| source.n = 65_536), Ok(()));
        let most = PairError::TooLarge { field: "pairs.n", value: 65_537, most: 65_536 };
        assert_eq!(check(|source| source.n = 65_537), Err(most));
        let least = PairError::TooSmall { field: "pairs.half_len", value: 1, least: 2 };
        assert_eq!(check(|source| source.half_len = Some(1)), Err(least));
        let most = PairError::TooLarge { field: "pairs.half_len", value: usize::MAX, most: MAX_HALF_LEN };
        assert_eq!(check(|source| source.half_len = Some(usize::MAX)), Err(most));
        let half = Err(PairError::HalfLen { half_len: 4 });
        assert_eq!(check(|source| (source.half_len, source.task) = (Some(4), Some(Task::Ioi))), half);
        let from_file = PairSource { half_len: Some(4), ..PairSource::file(file.clone()) };
        assert_eq!(from_file.check(), half);
        // And making says what checking says.
        assert_eq!(from_file.make(None, Some(""), testing::SUITE, true, 0), Err(PairError::HalfLen { half_len: 4 }));
        let no_text = PairSource::file(file.clone()).make(None, None, testing::SUITE, true, 0);
        assert_eq!(no_text, Err(PairError::NoText { file }));
    }

    #[test]
    fn words_need_a_tokenizer_and_random_tokens_need_none() {
        for task in Task::ALL {
            let made = PairSource::task(task).make(None, None, testing::SUITE, true, 0);
            let random = matches!(task, Task::Induction | Task::InductionMatch);
            match made {
                Ok(pairs) => assert_eq!((random, pairs.list.len()), (true, 32)),
                Err(error) => assert_eq!((random, error), (false, PairError::TaskNeedsTokenizer { task })),
            }
        }
    }

    fn keeps_what_a_pair_promises(tokenizer: &Tokenizer) {
        for (task, seed) in Task::ALL.into_iter().flat_map(|task| (0..6).map(move |seed| (task, seed))) {
            let bos = seed % 2 == 0;
            let source = PairSource { n: 50, ..PairSource::task(task) };
            let pairs = source.make(Some(tokenizer), None, testing::SUITE, bos, seed).expect("the words are there");
            assert_eq!((pairs.list.len(), pairs.dropped), (50, Vec::new()));
            let longest = source.size_hint(bos).1.expect("tasks have a bound");
            for (index, pair) in pairs.list.iter().enumerate() {
                assert_eq!((pair.source, pair.clean.len()), (index, pair.corrupt.len()));
                assert!(pair.clean.len() <= longest, "{task}: {} of {longest}", pair.clean.len());
                assert_ne!(pair.clean, pair.corrupt);
                assert_eq!(pair.clean.iter().filter(|id| **id == testing::SUITE.bos).count(), usize::from(bos));
                assert_eq!(pair.clean[0] == testing::SUITE.bos, bos);
                assert_eq!(pair.positions["end"], [pair.clean.len() - 1]);
                assert!(
                    pair.positions.values().flatten().all(|at| *at < pair.clean.len()) && pair.positions.len() >= 2
                );
                assert!(!pair.answers.is_empty() && !pair.wrongs.is_empty());
                assert!(pair.answers.iter().all(|answer| !pair.wrongs.contains(answer)));
                let ids = [&pair.clean, &pair.corrupt, &pair.answers, &pair.wrongs].into_iter().flatten();
                assert!(ids.copied().all(|id| (id as usize) < testing::SUITE.size));
            }
        }
    }

    #[test]
    fn every_generated_pair_keeps_what_a_pair_promises() {
        keeps_what_a_pair_promises(&testing::tokenizer());
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_every_pair_of_the_suites_tokenizer_keeps_what_a_pair_promises() {
        keeps_what_a_pair_promises(&testing::shared_tokenizer());
    }

    #[test]
    fn a_pair_depends_on_the_seed_and_its_index_alone() {
        let tokenizer = testing::tokenizer();
        for task in Task::ALL {
            let make = |n, bos, seed| {
                let source = PairSource { n, ..PairSource::task(task) };
                source.make(Some(&tokenizer), None, testing::SUITE, bos, seed).expect("the words are there").list
            };
            let (few, many) = (make(4, true, 7), make(40, true, 7));
            assert_eq!(few, many[..4], "{task}");
            assert_ne!(few, make(4, true, 8), "{task}");
            let bare = make(4, false, 7);
            assert!(few.iter().zip(&bare).all(|(with, without)| with.clean[1..] == without.clean), "{task}");
            let different: std::collections::BTreeSet<&Vec<u32>> = many.iter().map(|pair| &pair.clean).collect();
            assert!(different.len() > 30, "{task}: {}", different.len());
        }
    }

    #[test]
    fn the_configuration_has_defaults_and_no_other_fields() {
        let read = serde_json::from_str::<PairSource>;
        let list = read(r#"["ioi"]"#).expect_err("a list").to_string();
        assert!(list.starts_with("invalid type: sequence, expected a table: `{ task = \"ioi\" }`"), "{list}");
        assert_eq!(read(r#"{"task": "greater_than"}"#).expect("a task"), PairSource::task(Task::GreaterThan));
        let file = PairSource { n: 5, ..PairSource::file("a.jsonl".into()) };
        assert_eq!(read(r#"{"file": "a.jsonl", "n": 5}"#).expect("a file"), file);
        assert!(read(r#"{"task": "ioi", "number": 5}"#).is_err_and(|error| error.to_string().contains("`number`")));
        assert!(read(r#"{"task": "iou"}"#).is_err_and(|error| error.to_string().contains("greater_than")));
        for task in Task::ALL {
            assert_eq!(serde_json::to_string(&task).expect("a name"), format!("\"{task}\""));
        }
    }

    #[test]
    fn the_size_is_known_before_the_pairs_are() {
        assert_eq!(PairSource { n: 3, half_len: Some(7), ..induction() }.size_hint(true), (3, Some(11)));
        assert_eq!(induction().size_hint(false), (32, Some(24)));
        assert_eq!(PairSource::file("a.jsonl".into()).size_hint(true), (32, None));
        assert_eq!(PairSource { half_len: Some(usize::MAX), ..induction() }.size_hint(true), (32, Some(usize::MAX)));
    }

    #[test]
    fn random_tokens_are_those_that_are_written_down() {
        // From an implementation of ChaCha and of the shuffle of its own, not from this library.
        let list = |n, half_len, size| {
            let source = PairSource { n, half_len: Some(half_len), ..induction() };
            source.make(None, None, Vocabulary { size, bos: 0 }, false, 42).expect("there are ids").list
        };
        let tokens = |pair: &Pair| (pair.clean.clone(), pair.answers[0], pair.wrongs[0]);
        let suite = list(4, 4, 50_277);
        assert_eq!(tokens(&suite[0]), (vec![14681, 11596, 35203, 10659, 14681, 11596], 35203, 10259));
        assert_eq!(tokens(&suite[3]), (vec![31009, 43793, 6028, 44351, 31009, 43793], 6028, 13072));
        assert_eq!(tokens(&list(3, 5, 8)[2]), (vec![4, 3, 2, 1, 5, 4, 3], 2, 7));
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_a_published_seed_means_the_same_sentences_for_ever() {
        let tokenizer = testing::shared_tokenizer();
        let told = [
            (Task::Ioi, "Because Lisa and Brandon had a long talk at the church, Brandon sent a ring to", " Lisa"),
            (Task::GreaterThan, "The occupation lasted from the year 1217 to the year 12", "18"),
            (Task::Agreement, "The lawyers", " are"),
            (Task::Pronoun, "You know, Adam was a truly gifted singer, wasn't", " he"),
            (Task::Capitals, "The name of the capital of Finland is", " Helsinki"),
        ];
        for (task, clean, answer) in told {
            let source = PairSource { n: 1, ..PairSource::task(task) };
            let made = source.make(Some(&tokenizer), None, testing::SUITE, false, 42).expect("the suite has the words");
            let text = |ids: &[u32]| tokenizer.decode(ids).expect("known ids");
            let pair = &made.list[0];
            assert_eq!((text(&pair.clean).as_str(), text(&pair.answers[..1]).as_str()), (clean, answer));
        }
    }
}
