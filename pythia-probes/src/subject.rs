//! The model a probe looks at, and what may be asked of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pythia_core::config::NeoxConfig;
use pythia_core::model::GptNeoX;
use pythia_core::tokenizer::Tokenizer;

use crate::error::ProbeError;
use crate::prompts::Vocabulary;

/// The contents of the files that probes name, by the path as it is written there; the edge reads them.
#[derive(Clone, Debug, Default)]
pub struct Files(pub BTreeMap<PathBuf, String>);

impl Files {
    /// No file at all, for probes that name none.
    pub const NONE: &'static Files = {
        static NONE: Files = Files(BTreeMap::new());
        &NONE
    };

    /// The content of a file.
    pub fn get(&self, path: &Path) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }
}

/// Other checkpoints of the same model, by the label of their step, for probes that carry something from one checkpoint
/// into another. All have the subject's shape.
#[derive(Clone, Debug, Default)]
pub struct SourceCheckpoints(pub BTreeMap<u32, GptNeoX>);

impl SourceCheckpoints {
    /// No other checkpoint, for probes that ask for none.
    pub const NONE: &'static SourceCheckpoints = {
        static NONE: SourceCheckpoints = SourceCheckpoints(BTreeMap::new());
        &NONE
    };

    /// The checkpoint of that label.
    pub fn get(&self, label: u32) -> Option<&GptNeoX> {
        self.0.get(&label)
    }
}

/// A model together with what its tokenizer says about its ids, and whatever else a probe may read.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The model. Without its unembedding it can still be asked for what needs no logits.
    pub model: &'a GptNeoX,
    /// Ids 0 to `vocab - 1` are tokens: only these stand in random prompts and count in statistics over the vocabulary.
    pub vocab: usize,
    /// Whether a BOS stands before a prompt where the probe does not say otherwise.
    pub prepend_bos: bool,
    /// The id of the BOS.
    pub bos: u32,
    /// The model's tokenizer, where it has one.
    pub tokenizer: Option<&'a Tokenizer>,
    /// The files that the probes name ([`ProbeSpec::files`](crate::ProbeSpec::files)).
    pub files: &'a Files,
    /// The checkpoints that the probes ask for ([`ProbeSpec::source_checkpoints`](crate::ProbeSpec::source_checkpoints)).
    pub source_checkpoints: &'a SourceCheckpoints,
}

impl<'a> Subject<'a> {
    /// A model with `vocab` ids, a BOS with the id `bos`, and nothing else: no tokenizer, file or source.
    pub fn new(model: &'a GptNeoX, vocab: usize, prepend_bos: bool, bos: u32) -> Self {
        Self {
            model,
            vocab,
            prepend_bos,
            bos,
            tokenizer: None,
            files: Files::NONE,
            source_checkpoints: SourceCheckpoints::NONE,
        }
    }

    /// The ids a prompt may use.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary { size: self.vocab, bos: self.bos }
    }

    /// What is known of the subject without its weights, for a run under `seed`.
    pub fn context(&self, seed: u64) -> Context<'a> {
        Context {
            config: self.model.config(),
            vocab: self.vocab,
            prepend_bos: self.prepend_bos,
            bos: self.bos,
            tokenizer: self.tokenizer,
            files: self.files,
            seed,
        }
    }

    /// Refuses ids the model has no embedding for: looking one up would be a panic in the middle of a run.
    pub(crate) fn check(&self) -> Result<(), ProbeError> {
        let rows = self.model.config().vocab_size;
        if self.vocab > rows {
            return Err(ProbeError::VocabTooLarge { vocab: self.vocab, rows });
        }
        if self.bos as usize >= rows { Err(ProbeError::NoSuchBos { bos: self.bos, rows }) } else { Ok(()) }
    }
}

/// What a probe may know before any weights are read: what it is checked against, and what its cost follows from.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The model's shape.
    pub config: &'a NeoxConfig,
    /// Number of ids that are tokens; those from there on are padding.
    pub vocab: usize,
    /// Whether a BOS stands before a prompt where the probe does not say otherwise.
    pub prepend_bos: bool,
    /// The id of the BOS.
    pub bos: u32,
    /// The model's tokenizer, where it has one.
    pub tokenizer: Option<&'a Tokenizer>,
    /// The files that the probes name.
    pub files: &'a Files,
    /// What every random choice is derived from.
    pub seed: u64,
}

impl Context<'_> {
    /// The ids a prompt may use.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary { size: self.vocab, bos: self.bos }
    }
}
