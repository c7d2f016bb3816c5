//! Every way in which pairs can be refused, and the reasons why a single one is left out.

use std::path::PathBuf;

use super::describe::{hint, pieces, reasons};
use super::{Dropped, Task};
use crate::counted::tokens;

/// Why there are no pairs, or why one pair was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// Neither a task nor a file.
    #[error("pairs need a source: set task or file")]
    NoSource,
    /// A task and a file.
    #[error("pairs come from the task {task} or from the file {}, not from both: leave one out", file.display())]
    TwoSources {
        /// Task that was set.
        task: Task,
        /// File that was set beside it.
        file: PathBuf,
    },
    /// A count that must not be so small.
    #[error("{field} = {value}, but it must be at least {least}")]
    TooSmall {
        /// The setting of a probe, dotted.
        field: &'static str,
        /// What it was set to.
        value: usize,
        /// The smallest value that means something.
        least: usize,
    },
    /// A count beyond any use, which would only exhaust the memory.
    #[error("{field} = {value}, but it must be at most {most}")]
    TooLarge {
        /// The setting of a probe, dotted.
        field: &'static str,
        /// What it was set to.
        value: usize,
        /// The largest value.
        most: usize,
    },
    /// Noise without a position.
    #[error("noise needs the positions that get it: positions = [\"subject\"]")]
    NoiseNowhere,
    /// Noise of no size.
    #[error("noise of {sigmas} standard deviations: sigmas must be a number above 0 that a float32 can hold")]
    NoiseSize {
        /// What it was set to.
        sigmas: String,
    },
    /// The size of random tokens for a source that has none.
    #[error("half_len = {half_len} is about the tasks induction and induction_match alone: leave it out")]
    HalfLen {
        /// What it was set to.
        half_len: usize,
    },
    /// The file's content was not given.
    #[error("the pairs of {} were asked for without the text of that file", file.display())]
    NoText {
        /// File with pairs, as the experiment names it.
        file: PathBuf,
    },
    /// A task made of words, for a model whose tokenizer is unknown.
    #[error(
        "the task {task} is made of words and needs the model's tokenizer, but this model has none; induction needs \
         none"
    )]
    TaskNeedsTokenizer {
        /// Task that was set.
        task: Task,
    },
    /// A line with text, for a model whose tokenizer is unknown.
    #[error("line {line}: {key} is text and needs the model's tokenizer, but this model has none: give token ids")]
    LineNeedsTokenizer {
        /// Line of the file, from 1.
        line: usize,
        /// The key whose value is text.
        key: &'static str,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed on {text:?}: {reason}")]
    Tokenizer {
        /// The text, shortened.
        text: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// Too few ids for random tokens that are all different.
    #[error(
        "the task induction with half_len = {half_len} draws {needed} different ids, but there are {choices} besides \
         the BOS"
    )]
    VocabTooSmall {
        /// The size asked for.
        half_len: usize,
        /// Different ids in a pair.
        needed: usize,
        /// Ids that are neither the BOS nor padding.
        choices: usize,
    },
    /// The tokenizer cuts the words of a task into pieces.
    #[error("the task {task} needs at least {needed} {what}, but this tokenizer has {found}")]
    Wordless {
        /// Task that was set.
        task: Task,
        /// The words, and what they must be.
        what: &'static str,
        /// How many fit.
        found: usize,
        /// How many must.
        needed: usize,
    },
    /// A generator's candidates were all refused.
    #[error("the task {task} found no pair number {index} in {attempts} attempts; the last one: {last}")]
    NoCandidate {
        /// Task that was set.
        task: Task,
        /// Index of the pair, from 0.
        index: usize,
        /// Candidates that were drawn.
        attempts: usize,
        /// Why the last of them was refused.
        last: Box<PairError>,
    },
    /// More lines than are read.
    #[error("line {line}: a file of pairs has at most {most} lines")]
    TooManyLines {
        /// The first line too many, from 1.
        line: usize,
        /// The most that are read.
        most: usize,
    },
    /// A line longer than any prompt.
    #[error("line {line} has {bytes} bytes, but at most {most} are read")]
    LineTooLong {
        /// Line of the file, from 1.
        line: usize,
        /// Bytes in the line.
        bytes: usize,
        /// The most that are read.
        most: usize,
    },
    /// A line that is not a pair: not JSON, an unknown or missing key, a value of the wrong type.
    #[error("line {line}, column {column}: {reason}")]
    Malformed {
        /// Line of the file, from 1.
        line: usize,
        /// Byte in the line, from 1; 0 where the reader knows none.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A position that may or may not count the BOS.
    #[error(
        "line {line}: the position {name:?} = {position} does not say whether it counts the BOS. Positions are counted \
         as the model sees the tokens, and lines with positions from the beginning say so with a key. Earlier versions \
         counted without the BOS: in such a file add 1 to each position that is not negative, and \
         \"positions_count_bos\": true to the line (for experiments without a BOS, \"positions_count_bos\": false and \
         the positions as they are)"
    )]
    PositionUnclear {
        /// Line of the file, from 1.
        line: usize,
        /// Name of the position.
        name: String,
        /// The position as it was written.
        position: i64,
    },
    /// Positions that count a BOS where none is prepended, or the other way round.
    #[error(
        "line {line}: positions_count_bos = {counted}, but prompts are run {} a BOS in front: set prepend_bos = \
         {counted} in the experiment, or {} each position that is not negative and set the key to {}",
        if *counted { "without" } else { "with" },
        if *counted { "subtract 1 from" } else { "add 1 to" },
        !counted
    )]
    BosCounted {
        /// Line of the file, from 1.
        line: usize,
        /// What the line says.
        counted: bool,
    },
    /// A named position that the prompt does not have.
    #[error(
        "line {line}: the position {name:?} = {position}, but the prompt has {} as the model sees it (a BOS in front \
         included), counted from 0 or, from the end, from -1",
        tokens(*len)
    )]
    NoSuchPosition {
        /// Line of the file, from 1.
        line: usize,
        /// Name of the position.
        name: String,
        /// The position as it was written.
        position: i64,
        /// Tokens in the prompt, a BOS in front included.
        len: usize,
    },
    /// The position called "end" is another one than the last.
    #[error(
        "line {line}: the position \"end\" = {position}, but that name is the last token's, which is {}: choose \
         another name",
        len.saturating_sub(1)
    )]
    EndElsewhere {
        /// Line of the file, from 1.
        line: usize,
        /// The position as it was written.
        position: i64,
        /// Tokens in the prompt, a BOS in front included.
        len: usize,
    },
    /// A prompt that the model cannot read.
    #[error("line {line}: a prompt of {len} tokens (BOS included) does not fit the model's context of {n_ctx}")]
    TooLong {
        /// Line of the file, from 1.
        line: usize,
        /// Tokens in the prompt, the BOS included.
        len: usize,
        /// Tokens the model was built for.
        n_ctx: usize,
    },
    /// A file without a line.
    #[error("the file has no pair: every line is empty")]
    NoLines,
    /// Every pair of a file was left out.
    #[error("{} can be used: {}", none_of(dropped.len()), reasons(dropped))]
    NothingLeft {
        /// The pairs with their reasons.
        dropped: Vec<Dropped>,
    },
    /// Left out: nothing can be patched from a sequence into one of another length.
    #[error("clean has {} and corrupt {corrupt}, but they must have equally many", tokens(*clean))]
    Lengths {
        /// Tokens in the clean prompt, without the BOS.
        clean: usize,
        /// Tokens in the corrupt one.
        corrupt: usize,
    },
    /// Left out: there is nothing to patch between equal prompts.
    #[error("clean and corrupt are the same {}", tokens(*len))]
    Same {
        /// Tokens in both, without the BOS.
        len: usize,
    },
    /// Left out: an answer that is not one token.
    #[error("{key} {text:?} is {} and not one token{}", pieces(tokens), hint(spaced.as_deref()))]
    AnswerTokens {
        /// `answer` or `wrong`.
        key: &'static str,
        /// The answer, shortened.
        text: String,
        /// The ids of its tokens.
        tokens: Vec<u32>,
        /// The same with a space in front, where that would be one token.
        spaced: Option<String>,
    },
    /// Left out: an id that the vocabulary lacks.
    #[error("{key} has the id {id}, but the vocabulary has the ids 0 to {}", vocab.saturating_sub(1))]
    IdOutOfVocab {
        /// Where it stands.
        key: &'static str,
        /// Token id, as given.
        id: u32,
        /// Number of ids that are not padding.
        vocab: usize,
    },
    /// Left out: a token that is counted twice, or right and wrong at once.
    #[error("the token {id} stands more than once among the answers and the wrong ones")]
    AnswerTwice {
        /// Token id that stands there more than once.
        id: u32,
    },
    /// Left out: a named place is another one in the corrupt prompt (generators alone meet this).
    #[error("the position {name:?} is {clean:?} in the clean prompt and {corrupt:?} in the corrupt one")]
    Moved {
        /// Name of the position.
        name: String,
        /// Index in the clean prompt, where it is a token's end.
        clean: Option<usize>,
        /// Index in the corrupt prompt.
        corrupt: Option<usize>,
    },
}

/// No pair of so many.
fn none_of(pairs: usize) -> String {
    if pairs == 1 { "not even the only pair".to_owned() } else { format!("none of the {pairs} pairs") }
}
