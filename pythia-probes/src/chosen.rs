//! Prompts as a person chooses them for a closer look: texts, token ids, or random tokens that repeat; and the words that
//! stand beside ids in a table.

use std::collections::BTreeMap;

use pythia_core::tokenizer::Tokenizer;

use crate::error::ProbeError;
use crate::prompts::{MAX_BATCH, Prompts, Repeated, Vocabulary};
use crate::subject::Context;

/// Random prompts where `batch` is left out.
const BATCH: usize = 1;
/// Tokens in the random part where `half_len` is left out.
const HALF_LEN: usize = 12;
/// How often that part stands in the prompt where `repeats` is left out.
const REPEATS: usize = 2;

/// The most rows that a table of such prompts may have: everything is kept until it is written.
const MAX_ROWS: u64 = 16_000_000;

/// The part of a configuration that says which prompts are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'a> {
    /// Prompts as text.
    pub texts: Option<&'a [String]>,
    /// Prompts by their token ids.
    pub tokens: Option<&'a [Vec<u32>]>,
    /// Number of random prompts.
    pub batch: Option<usize>,
    /// Tokens in their random part.
    pub half_len: Option<usize>,
    /// How often that part stands in a prompt.
    pub repeats: Option<usize>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

impl Chosen<'_> {
    /// Tokens in each prompt, the BOS included. Nothing random is drawn, so absurd sizes are refused before they are in memory.
    ///
    /// # Errors
    /// Two sources at once; no prompt, or one without a token; text without a tokenizer; ids beyond the vocabulary; a prompt that
    /// is longer than the context.
    pub fn lengths(&self, context: &Context) -> Result<Vec<usize>, ProbeError> {
        self.refuse_two_sources()?;
        let lengths = match self.given(context)? {
            Some(prompts) => prompts.rows().iter().map(Vec::len).collect(),
            None => {
                let layout = self.layout(context);
                layout.check(1)?;
                vec![layout.len(); layout.batch]
            }
        };
        let (len, n_ctx) = (lengths.iter().copied().max().unwrap_or(0), context.config.n_ctx);
        if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(lengths) }
    }

    /// The prompts, whose [`lengths`](Self::lengths) were found good.
    ///
    /// # Errors
    /// Those of the lengths, and [`ProbeError::VocabTooSmall`].
    pub fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        match self.given(context)? {
            Some(prompts) => Ok(prompts),
            None => Prompts::repeated(self.layout(context), context.vocabulary(), context.seed),
        }
    }

    /// Prompts, and tokens in the longest of them; nothing where they are refused.
    pub fn size(&self, context: &Context) -> (usize, usize) {
        let lengths = self.lengths(context).unwrap_or_default();
        (lengths.len(), lengths.into_iter().max().unwrap_or(0))
    }

    fn bos(&self, context: &Context) -> bool {
        self.prepend_bos.unwrap_or(context.prepend_bos)
    }

    fn layout(&self, context: &Context) -> Repeated {
        Repeated {
            batch: self.batch.unwrap_or(BATCH),
            half_len: self.half_len.unwrap_or(HALF_LEN),
            repeats: self.repeats.unwrap_or(REPEATS),
            bos: self.bos(context),
        }
    }

    fn refuse_two_sources(&self) -> Result<(), ProbeError> {
        let other = match (self.texts, self.tokens) {
            (Some(_), Some(_)) => return Err(ProbeError::Exclusive { field: "tokens", other: "texts" }),
            (Some(_), None) => "texts",
            (None, Some(_)) => "tokens",
            (None, None) => return Ok(()),
        };
        let sizes = [("batch", self.batch), ("half_len", self.half_len), ("repeats", self.repeats)];
        let chosen = sizes.into_iter().find(|(_, value)| value.is_some());
        chosen.map_or(Ok(()), |(field, _)| Err(ProbeError::Exclusive { field, other }))
    }

    /// The prompts that are given one by one; `None` where they are random.
    fn given(&self, context: &Context) -> Result<Option<Prompts>, ProbeError> {
        let (field, prompts) = match (self.texts, self.tokens) {
            (Some(texts), _) => ("texts", self.finish(&encode(texts, context.tokenizer)?, context)?),
            (None, Some(rows)) => ("tokens", self.finish(rows, context)?),
            (None, None) => return Ok(None),
        };
        if prompts.batch() == 0 {
            return Err(ProbeError::Empty { field });
        }
        if prompts.batch() > MAX_BATCH {
            return Err(ProbeError::TooLarge { field, value: prompts.batch(), most: MAX_BATCH });
        }
        match prompts.rows().iter().position(Vec::is_empty) {
            Some(prompt) => Err(ProbeError::NoTokens { field, prompt }),
            None => Ok(Some(prompts)),
        }
    }

    fn finish(&self, rows: &[Vec<u32>], context: &Context) -> Result<Prompts, ProbeError> {
        let Context { vocab, bos, .. } = *context;
        Prompts::given(rows, self.bos(context), Vocabulary { size: vocab, bos })
    }
}

fn encode(texts: &[String], tokenizer: Option<&Tokenizer>) -> Result<Vec<Vec<u32>>, ProbeError> {
    let tokenizer = tokenizer.ok_or(ProbeError::NeedsTokenizer { field: "texts" })?;
    let failed = |prompt, reason| ProbeError::Tokenizer { field: "texts", prompt, reason };
    let encode =
        |(prompt, text): (usize, &String)| tokenizer.encode(text).map_err(|error| failed(prompt, error.to_string()));
    texts.iter().enumerate().map(encode).collect()
}

/// Refuses a table that nobody could keep in memory.
///
/// # Errors
/// [`ProbeError::TooManyRows`].
pub(crate) fn refuse_too_many(rows: u64) -> Result<(), ProbeError> {
    if rows > MAX_ROWS { Err(ProbeError::TooManyRows { rows, most: MAX_ROWS }) } else { Ok(()) }
}

/// The layers that a field `layers` names, ascending: all where it is left out, and from the end where a number is negative.
///
/// # Errors
/// An empty list, a layer that the model lacks, one that is named twice.
pub(crate) fn layers(chosen: Option<&[i64]>, n_layers: usize) -> Result<Vec<usize>, ProbeError> {
    let Some(chosen) = chosen else { return Ok((0..n_layers).collect()) };
    if chosen.is_empty() {
        return Err(ProbeError::Empty { field: "layers" });
    }
    let mut layers = BTreeMap::new();
    for &number in chosen {
        let from_end = || n_layers.checked_sub(usize::try_from(number.unsigned_abs()).ok()?);
        let layer = if number < 0 { from_end() } else { usize::try_from(number).ok() };
        let refuse = |allowed| ProbeError::NoSuchChoice { field: "layers", word: number.to_string(), allowed };
        let layer = layer.filter(|layer| *layer < n_layers).ok_or_else(|| refuse(numbers(n_layers)))?;
        if let Some(before) = layers.insert(layer, number) {
            return Err(refuse(format!("it is the same layer as {before}, which is in the list")));
        }
    }
    Ok(layers.into_keys().collect())
}

fn numbers(n_layers: usize) -> String {
    format!("the model's layers are 0 to {}, or -{n_layers} to -1", n_layers.saturating_sub(1))
}

/// What the tokenizer calls each id: its text, or nothing where there is no tokenizer or no such token.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    tokenizer: Option<&'a Tokenizer>,
    known: BTreeMap<u32, String>,
}

impl<'a> Words<'a> {
    /// With the model's tokenizer, where it has one.
    pub fn new(tokenizer: Option<&'a Tokenizer>) -> Self {
        Self { tokenizer, known: BTreeMap::new() }
    }

    /// The text of a token.
    pub fn of(&mut self, id: u32) -> String {
        let Some(tokenizer) = self.tokenizer else { return String::new() };
        self.known.entry(id).or_insert_with(|| tokenizer.token_text(id).unwrap_or_default()).clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use pythia_core::config::{NeoxConfig, Rotary, Variant};

    use super::*;
    use crate::subject::Files;

    /// A tokenizer of five words and no merges: `a`, `b`, `c`, a space, and the first byte of a longer character.
    pub(crate) fn letters() -> Tokenizer {
        let json = r#"{
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": {"<": 0, "a": 1, "b": 2, "c": 3, "Ġ": 4, "Ã": 5}, "merges": []}
        }"#;
        Tokenizer::from_bytes(json.as_bytes()).expect("a tokenizer")
    }

    fn config() -> NeoxConfig {
        NeoxConfig {
            n_layers: 3,
            d_model: 8,
            n_heads: 2,
            d_mlp: 16,
            vocab_size: 8,
            n_ctx: 25,
            layer_norm_eps: 1e-5,
            rotary: Rotary { ndims: 2, base: 10_000.0 },
            variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
        }
    }

    fn context<'a>(config: &'a NeoxConfig, tokenizer: Option<&'a Tokenizer>) -> Context<'a> {
        Context { config, vocab: 6, prepend_bos: true, bos: 0, tokenizer, files: Files::NONE, seed: 1 }
    }

    const NOTHING: Chosen<'static> =
        Chosen { texts: None, tokens: None, batch: None, half_len: None, repeats: None, prepend_bos: None };

    #[test]
    fn texts_become_tokens_with_a_bos_where_it_is_wanted() {
        let (config, tokenizer) = (config(), letters());
        let context = context(&config, Some(&tokenizer));
        let texts = ["cab".to_owned(), "b a".to_owned()];
        let chosen = Chosen { texts: Some(&texts), ..NOTHING };
        let rows = |chosen: Chosen| chosen.prompts(&context).expect("all letters are known").rows().to_vec();
        assert_eq!(rows(chosen), [[0, 3, 1, 2], [0, 2, 4, 1]]);
        assert_eq!(rows(Chosen { prepend_bos: Some(false), ..chosen }), [[3, 1, 2], [2, 4, 1]]);
        assert_eq!((chosen.lengths(&context), chosen.size(&context)), (Ok(vec![4, 4]), (2, 4)));
        let needs = ProbeError::NeedsTokenizer { field: "texts" };
        assert_eq!(chosen.lengths(&Context { tokenizer: None, ..context }), Err(needs));
    }

    #[test]
    fn random_prompts_are_short_and_few_by_default() {
        let config = config();
        let context = context(&config, None);
        assert_eq!(NOTHING.lengths(&context), Ok(vec![25]));
        let rows = NOTHING.prompts(&context).expect("there are ids").rows().to_vec();
        assert_eq!((rows.len(), rows[0][1..13].to_vec()), (1, rows[0][13..].to_vec()));
        let long = Chosen { half_len: Some(usize::MAX), ..NOTHING };
        assert_eq!(long.lengths(&context), Err(ProbeError::TooLong { len: usize::MAX, n_ctx: 25 }));
        assert_eq!(long.size(&context), (0, 0));
    }

    #[test]
    fn contradictions_and_empty_prompts_are_refused_with_their_datum() {
        let config = config();
        let context = context(&config, None);
        let (texts, rows) = (["a".to_owned()], [vec![1, 2], vec![]]);
        let given = Chosen { tokens: Some(&rows), ..NOTHING };
        assert_eq!(given.lengths(&context), Ok(vec![3, 1]), "a BOS alone is a prompt");
        let alone = Chosen { prepend_bos: Some(false), ..given };
        assert_eq!(alone.lengths(&context), Err(ProbeError::NoTokens { field: "tokens", prompt: 1 }));
        let both = Chosen { texts: Some(&texts), ..given }.lengths(&context);
        assert_eq!(both, Err(ProbeError::Exclusive { field: "tokens", other: "texts" }));
        let sized = Chosen { repeats: Some(2), ..given }.lengths(&context);
        assert_eq!(sized, Err(ProbeError::Exclusive { field: "repeats", other: "tokens" }));
        let none = Chosen { tokens: Some(&[]), ..NOTHING }.lengths(&context);
        assert_eq!(none, Err(ProbeError::Empty { field: "tokens" }));
        let foreign = Chosen { tokens: Some(&[vec![1], vec![3, 6]]), ..NOTHING }.lengths(&context);
        assert_eq!(foreign, Err(ProbeError::IdOutOfVocab { prompt: 1, index: 1, id: 6, vocab: 6 }));
        let long = Chosen { tokens: Some(&[vec![1; 25]]), ..NOTHING }.lengths(&context);
        assert_eq!(long, Err(ProbeError::TooLong { len: 26, n_ctx: 25 }));
    }

    #[test]
    fn layers_count_from_both_ends_and_come_in_order() {
        assert_eq!(layers(None, 3), Ok(vec![0, 1, 2]));
        assert_eq!(layers(Some(&[-1, 0]), 3), Ok(vec![0, 2]));
        for wrong in [3, -4, i64::MIN, i64::MAX] {
            let error = layers(Some(&[wrong]), 3).expect_err("no such layer").to_string();
            assert_eq!(error, format!("layers cannot be \"{wrong}\": the model's layers are 0 to 2, or -3 to -1"));
        }
        let twice = layers(Some(&[2, -1]), 3).expect_err("twice").to_string();
        assert_eq!(twice, "layers cannot be \"-1\": it is the same layer as 2, which is in the list");
        assert_eq!(layers(Some(&[]), 3), Err(ProbeError::Empty { field: "layers" }));
    }

    #[test]
    fn ids_have_words_only_where_a_tokenizer_knows_them() {
        let tokenizer = letters();
        let mut words = Words::new(Some(&tokenizer));
        assert_eq!([1, 4, 5, 6, 1].map(|id| words.of(id)), ["a", " ", "\u{fffd}", "", "a"]);
        assert_eq!(Words::new(None).of(1), "");
    }
}
