//! The model a probe looks at, and what may be asked of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pythia_core::config::NeoxConfig;
use pythia_core::model::GptNeoX;
use pythia_core::tokenizer::Tokenizer;

use crate::error::ProbeError;
use crate::pairs::{PairSource, Pairs};
use crate::random::Vocabulary;

/// The contents of the files that probes name, by the path as it is written there. Callers read the files; this crate
/// opens none.
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
    /// The checkpoints that the probes ask for
    /// ([`ProbeSpec::source_checkpoints`](crate::ProbeSpec::source_checkpoints)).
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

    /// The pairs of prompts of a source.
    pub(crate) fn pairs(&self, source: &PairSource) -> Result<Pairs, ProbeError> {
        let text = source.file.as_deref().and_then(|file| self.files.get(file));
        Ok(source.make(self.tokenizer, text, self.vocabulary(), self.prepend_bos, self.seed)?)
    }

    /// The layers that a field `layers` names, ascending: all where it is left out, and from the end where a number
    /// is negative.
    ///
    /// # Errors
    /// An empty list, a layer that the model lacks, one that is named twice.
    pub(crate) fn layers(&self, chosen: Option<&[i64]>) -> Result<Vec<usize>, ProbeError> {
        let n_layers = self.config.n_layers;
        let Some(chosen) = chosen else { return Ok((0..n_layers).collect()) };
        if chosen.is_empty() {
            return Err(ProbeError::Empty { field: "layers" });
        }
        let mut layers = BTreeMap::new();
        for &number in chosen {
            let refuse = |allowed| ProbeError::NoSuchChoice { field: "layers", word: number.to_string(), allowed };
            let layer = self.config.model_shape().layer(number).ok_or_else(|| refuse(numbers(n_layers)))?;
            if let Some(before) = layers.insert(layer, number) {
                return Err(refuse(format!("it is the same layer as {before}, which is in the list")));
            }
        }
        Ok(layers.into_keys().collect())
    }
}

fn numbers(n_layers: usize) -> String {
    format!("the model's layers are 0 to {}, or -{n_layers} to -1", n_layers.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;

    #[test]
    fn layers_count_from_both_ends_and_come_in_order() {
        let model = model(false);
        let config = NeoxConfig { n_layers: 3, ..model.config().clone() };
        let context = Context { config: &config, ..Subject::new(&model, 21, true, 0).context(0) };
        let layers = |chosen: &[i64]| context.layers(Some(chosen));
        assert_eq!(context.layers(None), Ok(vec![0, 1, 2]));
        assert_eq!(layers(&[-1, 0]), Ok(vec![0, 2]));
        for wrong in [3, -4, i64::MIN, i64::MAX] {
            let error = layers(&[wrong]).expect_err("no such layer").to_string();
            assert_eq!(error, format!("layers cannot be {wrong}: the model's layers are 0 to 2, or -3 to -1"));
        }
        let twice = layers(&[2, -1]).expect_err("twice").to_string();
        assert_eq!(twice, "layers cannot be -1: it is the same layer as 2, which is in the list");
        assert_eq!(layers(&[]), Err(ProbeError::Empty { field: "layers" }));
    }
}
