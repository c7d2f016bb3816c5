//! Every way in which a probe can be refused or fail.

mod device;
mod field;
mod prompts;
mod words;

use std::path::PathBuf;

use pythia_core::device::cause;

use crate::counted::tokens;
pub use prompts::PromptsError;
use words::{ids, meant, shorter, shown};

/// Why a probe cannot run, or did not end in a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Random prompts, or those of a task, are longer than the model's context.
    #[error("a prompt of {} (BOS included) does not fit a context of {n_ctx}: {}", tokens(*len), shorter(field))]
    TooLong {
        /// The configuration field: what the length comes from.
        field: &'static str,
        /// Tokens in the longest prompt, the BOS included.
        len: usize,
        /// Tokens the model was built for.
        n_ctx: usize,
    },
    /// A prompt that is given as text or by its ids is longer than the model's context.
    #[error(
        "prompt {prompt} of {field} has {} (BOS included), but the model's context is {n_ctx}: make it \
         shorter, or leave it out",
        tokens(*len)
    )]
    PromptTooLong {
        /// The configuration field.
        field: &'static str,
        /// Index of the prompt in the list.
        prompt: usize,
        /// Tokens in it, the BOS included.
        len: usize,
        /// Tokens the model was built for.
        n_ctx: usize,
    },
    /// A count below the smallest that means something.
    #[error("{field} = {value}, but it must be at least {least}")]
    TooSmall {
        /// The configuration field.
        field: &'static str,
        /// What it was set to.
        value: usize,
        /// The smallest value that means something.
        least: usize,
    },
    /// A count beyond any use, which would only exhaust the memory.
    #[error("{field} = {value}, but it must be at most {most}")]
    TooLarge {
        /// The configuration field.
        field: &'static str,
        /// What it was set to.
        value: usize,
        /// The largest value.
        most: usize,
    },
    /// A list of the configuration is empty.
    #[error("{field} is empty: leave it out for the default, or name at least one")]
    Empty {
        /// The configuration field.
        field: &'static str,
    },
    /// The same thing asked for twice.
    #[error("{field} names {name} twice")]
    Repeated {
        /// The configuration field.
        field: &'static str,
        /// What is named twice.
        name: &'static str,
    },
    /// A prompt that is too short to predict anything.
    #[error("prompt {prompt} of {field} has {} (BOS included), but a loss needs at least 2", tokens(*len))]
    PromptTooShort {
        /// The configuration field.
        field: &'static str,
        /// Index of the prompt in the list.
        prompt: usize,
        /// Tokens in it, the BOS included.
        len: usize,
    },
    /// A prompt has an id that the model's vocabulary lacks.
    #[error("prompt {prompt} of {field} has id {id} at index {index}, but the vocabulary has {}", ids(*vocab))]
    IdOutOfVocab {
        /// The configuration field.
        field: &'static str,
        /// Index of the prompt in the list.
        prompt: usize,
        /// Index of the id in the prompt as it was given.
        index: usize,
        /// Token id, as given.
        id: u32,
        /// Number of ids that are not padding.
        vocab: usize,
    },
    /// Nothing is left to draw random tokens from.
    #[error("random prompts need an id besides the BOS, but the vocabulary has {vocab}")]
    VocabTooSmall {
        /// Number of ids that are not padding.
        vocab: usize,
    },
    /// A position was asked for that the sequence does not have.
    #[error(
        "{field} = {position}, but the sequence has {} and a loss at the positions 1 to {}",
        tokens(*len),
        len.saturating_sub(1)
    )]
    NoSuchPosition {
        /// The configuration field.
        field: &'static str,
        /// Position in the sequence, counted from 0.
        position: usize,
        /// Tokens in the sequence, the BOS included.
        len: usize,
    },
    /// Prompts that are not random, for a probe that compares repeats.
    #[error("{probe} compares repeats of random tokens: leave {field} out, or write n and half_len instead")]
    NeedsRepeats {
        /// The configuration field.
        field: &'static str,
        /// Kind of the probe.
        probe: &'static str,
    },
    /// Prompts that are given one by one cannot be read.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// A prompt with nothing in it.
    #[error("prompt {prompt} of {field} has no tokens")]
    NoTokens {
        /// The configuration field.
        field: &'static str,
        /// Index of the prompt in the list.
        prompt: usize,
    },
    /// Text for a model whose tokenizer is unknown.
    #[error("{field} need the model's tokenizer, but this model has none: give token ids")]
    NeedsTokenizer {
        /// The configuration field.
        field: &'static str,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed on prompt {prompt} of {field}: {reason}")]
    Tokenizer {
        /// The configuration field.
        field: &'static str,
        /// Index of the prompt in the list.
        prompt: usize,
        /// What the tokenizer said.
        reason: String,
    },
    /// A table with more rows than are kept in memory.
    #[error(
        "the table would have {rows} rows, but at most {most} are kept: take fewer or shorter prompts, or fewer layers"
    )]
    TooManyRows {
        /// Rows of the table.
        rows: u64,
        /// The most there may be.
        most: u64,
    },
    /// A tensor arrived in another shape than its place has.
    #[error("{place} has the shape {found:?}, but {expected:?} was expected")]
    Shape {
        /// Where the tensor came from.
        place: &'static str,
        /// The shape stated for that place.
        expected: Vec<usize>,
        /// The shape that arrived.
        found: Vec<usize>,
    },
    /// A tensor could not be read back from the device.
    #[error("reading {place} back from the device failed: {}", cause(reason))]
    Device {
        /// Where the tensor came from.
        place: &'static str,
        /// What the backend said.
        reason: String,
    },
    /// The model ran, but a point that the probe reads did not fire in every layer.
    #[error("the activation that is read was seen {fired} times, but {expected} were expected")]
    NotFired {
        /// Layers that reported.
        fired: usize,
        /// Layers that should have.
        expected: usize,
    },
    /// The subject claims more tokens than the model has embeddings.
    #[error("a vocabulary of {vocab} ids needs as many embeddings, but the model has {rows}")]
    VocabTooLarge {
        /// Number of ids that are not padding.
        vocab: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The model has no embedding for the BOS.
    #[error("the BOS has id {bos}, but the model has embeddings for {}", ids(*rows))]
    NoSuchBos {
        /// Token id of the BOS.
        bos: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The model was loaded without what a probe of logits needs.
    #[error("{probe} reads logits, but the model was loaded without its unembedding")]
    NoUnembedding {
        /// Kind of the probe.
        probe: &'static str,
    },
    /// Prompt pairs cannot be made.
    #[error(transparent)]
    Pairs(#[from] crate::pairs::PairError),
    /// A value that is not among the choices of a setting.
    #[error("{field} cannot be {}: {allowed}", shown(word))]
    NoSuchChoice {
        /// The configuration field.
        field: &'static str,
        /// The word as given.
        word: String,
        /// What is allowed, in words.
        allowed: String,
    },
    /// A hook or an intervention does not fit the model or the run.
    #[error(transparent)]
    Hook(#[from] pythia_hooks::HookError),
    /// A file that should hold a vector holds something else.
    #[error("{} does not hold the vector that is needed: {reason}", path.display())]
    Vector {
        /// The file, as the probe names it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An edit of a run from the configuration cannot be made.
    #[error("edit {index} of the run {run:?}: {error}")]
    Edit {
        /// The run's name.
        run: String,
        /// Which of its edits, counted from 1.
        index: usize,
        /// Why.
        error: Box<ProbeError>,
    },
    /// A parameter that the model lacks.
    #[error(
        "no parameter is called `{name}`{}; names are those of TransformerLens, and * stands for any characters",
        meant(nearest)
    )]
    NoSuchParam {
        /// The name or pattern.
        name: String,
        /// The nearest names.
        nearest: Vec<String>,
    },
    /// A probe of weights alone was asked of a model.
    #[error("{probe} reads weights alone, so it is not asked of a model")]
    WeightsAlone {
        /// Kind of the probe.
        probe: &'static str,
    },
    /// A probe that runs a model was asked of weights alone.
    #[error("{probe} runs the model, but there are weights alone")]
    NeedsModel {
        /// Kind of the probe.
        probe: &'static str,
    },
    /// A probe of published weights in an experiment that folds them.
    #[error(
        "{probe} reads weights as published, but this experiment sets weights = \"{weights}\": give it an \
         experiment of its own"
    )]
    AsPublished {
        /// Kind of the probe.
        probe: &'static str,
        /// How the experiment prepares weights.
        weights: &'static str,
    },
    /// A file that the probe names was not read.
    #[error("the file {} was not read", path.display())]
    NoFile {
        /// The file, as the probe names it.
        path: PathBuf,
    },
    /// A checkpoint that the probe names was not loaded.
    #[error("the checkpoint of step {label} was not loaded")]
    NoSourceCheckpoint {
        /// The label of its step.
        label: u32,
    },
}
