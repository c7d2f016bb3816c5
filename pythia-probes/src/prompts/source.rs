//! Where the prompts of a probe come from: the value of `prompts` in a configuration.

use std::path::{Path, PathBuf};

use pythia_core::tokenizer::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{self, Written};
use super::{MAX_BATCH, Prompts, Repeated};
use crate::error::ProbeError;
use crate::subject::Context;

/// Where prompts come from: random tokens that repeat, `{ n = 8, half_len = 24, repeats = 2 }`, or else one of
/// `{ texts = ["…"] }`, `{ tokens = [[1, 2]] }` and `{ file = "prompts.jsonl" }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PromptSource {
    /// Number of random prompts.
    pub n: Option<usize>,
    /// Random tokens in a prompt before they repeat (N).
    pub half_len: Option<usize>,
    /// How often they stand in the prompt; 2 where it is left out.
    pub repeats: Option<usize>,
    /// Prompts as text, instead of random ones; they need the model's tokenizer.
    pub texts: Option<Vec<String>>,
    /// Prompts by their token ids, of any lengths, instead of random ones.
    pub tokens: Option<Vec<Vec<u32>>>,
    /// File with a prompt per line, `{"text": "…"}` or `{"tokens": [1, 2]}`, instead of random ones.
    pub file: Option<PathBuf>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

/// The size of random prompts where a configuration leaves it out. The random part stands there twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomSize {
    pub n: usize,
    pub half_len: usize,
}

impl PromptSource {
    /// `n` random prompts `[bos?] R R` with `half_len` tokens in R.
    pub fn random(n: usize, half_len: usize) -> Self {
        Self { n: Some(n), half_len: Some(half_len), ..Self::default() }
    }

    /// Prompts by their token ids.
    pub fn tokens(rows: impl Into<Vec<Vec<u32>>>) -> Self {
        Self { tokens: Some(rows.into()), ..Self::default() }
    }

    /// Prompts as text.
    pub fn texts(texts: impl Into<Vec<String>>) -> Self {
        Self { texts: Some(texts.into()), ..Self::default() }
    }

    /// The file that the prompts are in, if they are in one.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.file.iter().map(PathBuf::as_path).collect()
    }

    /// Whether a BOS stands before each prompt, where `prepend_bos` is the experiment's setting.
    fn bos(&self, prepend_bos: bool) -> bool {
        self.prepend_bos.unwrap_or(prepend_bos)
    }

    /// The random prompts, if that is what they are; `prepend_bos` is the experiment's setting.
    pub(crate) fn layout(&self, size: RandomSize, prepend_bos: bool) -> Repeated {
        Repeated {
            batch: self.n.unwrap_or(size.n),
            half_len: self.half_len.unwrap_or(size.half_len),
            repeats: self.repeats.unwrap_or(2),
            bos: self.bos(prepend_bos),
        }
    }

    /// The random prompts of a probe that compares repeats.
    ///
    /// # Errors
    /// Prompts that are not random, fewer than two repeats, counts beyond any use, more tokens than the context holds.
    pub(crate) fn repeats_only(
        &self,
        size: RandomSize,
        probe: &'static str,
        context: &Context,
    ) -> Result<(), ProbeError> {
        if let Some((field, _)) = self.given_fields().into_iter().find(|(_, given)| *given) {
            return Err(ProbeError::NeedsRepeats { field, probe });
        }
        let layout = self.layout(size, context.prepend_bos);
        layout.check(2)?;
        fits(layout.len(), context)
    }

    /// Tokens in each prompt, the BOS included. Nothing random is drawn, so absurd sizes are refused before they are in memory.
    ///
    /// # Errors
    /// Two sources at once; no prompt, or one without a token; text without a tokenizer; ids beyond the vocabulary; a prompt that
    /// is longer than the context.
    pub(crate) fn lengths(&self, size: RandomSize, context: &Context) -> Result<Vec<usize>, ProbeError> {
        self.refuse_two_sources()?;
        let lengths = match self.given(context)? {
            Some(prompts) => prompts.rows().iter().map(Vec::len).collect(),
            None => {
                let layout = self.layout(size, context.prepend_bos);
                layout.check(1)?;
                vec![layout.len(); layout.batch]
            }
        };
        fits(lengths.iter().copied().max().unwrap_or(0), context)?;
        Ok(lengths)
    }

    /// The prompts, whose [`lengths`](Self::lengths) were found good.
    ///
    /// # Errors
    /// Those of the lengths, and [`ProbeError::VocabTooSmall`].
    pub(crate) fn prompts(&self, size: RandomSize, context: &Context) -> Result<Prompts, ProbeError> {
        match self.given(context)? {
            Some(prompts) => Ok(prompts),
            None => Prompts::repeated(self.layout(size, context.prepend_bos), context.vocabulary(), context.seed),
        }
    }

    /// Prompts, and tokens in the longest of them; nothing where they are refused.
    pub(crate) fn size(&self, size: RandomSize, context: &Context) -> (usize, usize) {
        let lengths = self.lengths(size, context).unwrap_or_default();
        (lengths.len(), lengths.into_iter().max().unwrap_or(0))
    }

    /// The fields that give prompts one by one, and whether they are there.
    fn given_fields(&self) -> [(&'static str, bool); 3] {
        [
            ("prompts.texts", self.texts.is_some()),
            ("prompts.tokens", self.tokens.is_some()),
            ("prompts.file", self.file.is_some()),
        ]
    }

    fn refuse_two_sources(&self) -> Result<(), ProbeError> {
        let mut given = self.given_fields().into_iter().filter(|(_, given)| *given).map(|(field, _)| field);
        let Some(other) = given.next() else { return Ok(()) };
        let sizes = [("prompts.n", self.n), ("prompts.half_len", self.half_len), ("prompts.repeats", self.repeats)];
        let size = sizes.into_iter().find(|(_, value)| value.is_some()).map(|(field, _)| field);
        given.next().or(size).map_or(Ok(()), |field| Err(ProbeError::Exclusive { field, other }))
    }

    /// The prompts that are given one by one; `None` where they are random.
    fn given(&self, context: &Context) -> Result<Option<Prompts>, ProbeError> {
        let (field, rows) = match (&self.texts, &self.tokens, &self.file) {
            (Some(texts), _, _) => ("prompts.texts", encode("prompts.texts", texts, context.tokenizer)?),
            (None, Some(rows), _) => ("prompts.tokens", rows.clone()),
            (None, None, Some(path)) => ("prompts.file", from_file(path, context)?),
            (None, None, None) => return Ok(None),
        };
        if rows.is_empty() {
            return Err(ProbeError::Empty { field });
        }
        if rows.len() > MAX_BATCH {
            return Err(ProbeError::TooLarge { field, value: rows.len(), most: MAX_BATCH });
        }
        let prompts = Prompts::given(&rows, self.bos(context.prepend_bos), context.vocabulary())?;
        match prompts.rows().iter().position(Vec::is_empty) {
            Some(prompt) => Err(ProbeError::NoTokens { field, prompt }),
            None => Ok(Some(prompts)),
        }
    }
}

/// Refuses prompts that are longer than the model's context.
fn fits(len: usize, context: &Context) -> Result<(), ProbeError> {
    let n_ctx = context.config.n_ctx;
    if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(()) }
}

fn encode(field: &'static str, texts: &[String], tokenizer: Option<&Tokenizer>) -> Result<Vec<Vec<u32>>, ProbeError> {
    let tokenizer = tokenizer.ok_or(ProbeError::NeedsTokenizer { field })?;
    let failed = |prompt, reason| ProbeError::Tokenizer { field, prompt, reason };
    let encode =
        |(prompt, text): (usize, &String)| tokenizer.encode(text).map_err(|error| failed(prompt, error.to_string()));
    texts.iter().enumerate().map(encode).collect()
}

fn from_file(path: &Path, context: &Context) -> Result<Vec<Vec<u32>>, ProbeError> {
    const FIELD: &str = "prompts.file";
    let text = context.files.get(path).ok_or_else(|| ProbeError::NoFile { path: path.to_owned() })?;
    let encode = |(prompt, written)| match written {
        Written::Tokens(ids) => Ok(ids),
        Written::Text(text) => {
            let tokenizer = context.tokenizer.ok_or(ProbeError::NeedsTokenizer { field: FIELD })?;
            let failed = |reason| ProbeError::Tokenizer { field: FIELD, prompt, reason };
            tokenizer.encode(&text).map_err(|error| failed(error.to_string()))
        }
    };
    file::read(text)?.into_iter().enumerate().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use pythia_core::config::NeoxConfig;

    use super::*;
    use crate::subject::Files;
    use crate::testing::{config, letters};

    const SIZE: RandomSize = RandomSize { n: 1, half_len: 12 };

    fn short() -> NeoxConfig {
        NeoxConfig { n_ctx: 25, ..config() }
    }

    fn context<'a>(config: &'a NeoxConfig, tokenizer: Option<&'a Tokenizer>) -> Context<'a> {
        Context { config, vocab: 6, prepend_bos: true, bos: 0, tokenizer, files: Files::NONE, seed: 1 }
    }

    #[test]
    fn texts_become_tokens_with_a_bos_where_it_is_wanted() {
        let (config, tokenizer) = (config(), letters());
        let context = context(&config, Some(&tokenizer));
        let source = PromptSource::texts(["cab".to_owned(), "b a".to_owned()]);
        let rows =
            |source: &PromptSource| source.prompts(SIZE, &context).expect("all letters are known").rows().to_vec();
        assert_eq!(rows(&source), [[0, 3, 1, 2], [0, 2, 4, 1]]);
        assert_eq!(rows(&PromptSource { prepend_bos: Some(false), ..source.clone() }), [[3, 1, 2], [2, 4, 1]]);
        assert_eq!((source.lengths(SIZE, &context), source.size(SIZE, &context)), (Ok(vec![4, 4]), (2, 4)));
        let needs = ProbeError::NeedsTokenizer { field: "prompts.texts" };
        assert_eq!(source.lengths(SIZE, &Context { tokenizer: None, ..context }), Err(needs));
    }

    #[test]
    fn a_file_mixes_texts_and_tokens() {
        let (config, tokenizer) = (config(), letters());
        let files = Files([("p.jsonl".into(), "{\"text\": \"cab\"}\n{\"tokens\": [5]}\n".to_owned())].into());
        let context = Context { files: &files, ..context(&config, Some(&tokenizer)) };
        let source = PromptSource { file: Some("p.jsonl".into()), ..PromptSource::default() };
        assert_eq!(source.prompts(SIZE, &context).expect("both are known").rows(), [vec![0, 3, 1, 2], vec![0, 5]]);
        assert_eq!(source.files(), [Path::new("p.jsonl")]);
        let absent = source.lengths(SIZE, &Context { files: Files::NONE, ..context });
        assert_eq!(absent, Err(ProbeError::NoFile { path: "p.jsonl".into() }));
        let needs = source.lengths(SIZE, &Context { tokenizer: None, ..context });
        assert_eq!(needs, Err(ProbeError::NeedsTokenizer { field: "prompts.file" }));
    }

    #[test]
    fn random_prompts_have_the_size_of_the_probe_where_nothing_is_said() {
        let config = short();
        let context = context(&config, None);
        let source = PromptSource::default();
        assert_eq!(source.lengths(SIZE, &context), Ok(vec![25]));
        let rows = source.prompts(SIZE, &context).expect("there are ids").rows().to_vec();
        assert_eq!((rows.len(), rows[0][1..13].to_vec()), (1, rows[0][13..].to_vec()));
        let long = PromptSource { half_len: Some(usize::MAX), ..source };
        assert_eq!(long.lengths(SIZE, &context), Err(ProbeError::TooLong { len: usize::MAX, n_ctx: 25 }));
        assert_eq!(long.size(SIZE, &context), (0, 0));
    }

    #[test]
    fn contradictions_and_empty_prompts_are_refused_with_their_datum() {
        let config = short();
        let context = context(&config, None);
        let lengths = |source: PromptSource| source.lengths(SIZE, &context);
        let given = PromptSource::tokens([vec![1, 2], vec![]]);
        assert_eq!(lengths(given.clone()), Ok(vec![3, 1]), "a BOS alone is a prompt");
        let alone = lengths(PromptSource { prepend_bos: Some(false), ..given.clone() });
        assert_eq!(alone, Err(ProbeError::NoTokens { field: "prompts.tokens", prompt: 1 }));
        let both = lengths(PromptSource { texts: Some(vec!["a".to_owned()]), ..given.clone() });
        assert_eq!(both, Err(ProbeError::Exclusive { field: "prompts.tokens", other: "prompts.texts" }));
        let filed = lengths(PromptSource { file: Some("p.jsonl".into()), ..given.clone() });
        assert_eq!(filed, Err(ProbeError::Exclusive { field: "prompts.file", other: "prompts.tokens" }));
        let sized = lengths(PromptSource { repeats: Some(2), ..given });
        assert_eq!(sized, Err(ProbeError::Exclusive { field: "prompts.repeats", other: "prompts.tokens" }));
        assert_eq!(lengths(PromptSource::tokens([])), Err(ProbeError::Empty { field: "prompts.tokens" }));
        let foreign = lengths(PromptSource::tokens([vec![1], vec![3, 6]]));
        assert_eq!(foreign, Err(ProbeError::IdOutOfVocab { prompt: 1, index: 1, id: 6, vocab: 6 }));
        let long = lengths(PromptSource::tokens([vec![1; 25]]));
        assert_eq!(long, Err(ProbeError::TooLong { len: 26, n_ctx: 25 }));
    }

    #[test]
    fn a_probe_of_repeats_takes_random_prompts_alone() {
        let config = short();
        let context = context(&config, None);
        let check = |source: PromptSource| source.repeats_only(SIZE, "head_scores", &context);
        assert_eq!(check(PromptSource::default()), Ok(()));
        let once = check(PromptSource { repeats: Some(1), ..PromptSource::default() });
        assert_eq!(once, Err(ProbeError::TooSmall { field: "prompts.repeats", value: 1, least: 2 }));
        assert_eq!(check(PromptSource::random(1, 13)), Err(ProbeError::TooLong { len: 27, n_ctx: 25 }));
        let error = check(PromptSource::tokens([vec![1]])).expect_err("these do not repeat");
        assert_eq!(error.field(), Some("prompts.tokens"));
        assert!(error.to_string().contains("head_scores compares repeats"), "{error}");
    }
}
