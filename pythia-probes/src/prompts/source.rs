//! Where the prompts of a probe come from: the value of `prompts` in a configuration.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use pythia_core::tokenizer::Tokenizer;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::file::{self, Line};
use super::{MAX_BATCH, Prompts, Repeated};
use crate::error::{ProbeError, PromptsError};
use crate::from_map::from_map;
use crate::subject::Context;

/// Where prompts come from: random tokens that repeat, `{ n = 8, half_len = 24, repeats = 2 }`, or else one of
/// `{ texts = ["…"] }`, `{ tokens = [[1, 2]] }` and `{ file = "prompts.jsonl" }`.
///
/// `N` and `HALF_LEN` are the size of random prompts where a configuration leaves it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromptSource<const N: usize, const HALF_LEN: usize> {
    /// The prompts, without a BOS.
    #[serde(flatten)]
    pub prompts: PromptKind,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

/// Prompts as a configuration gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PromptKind {
    /// Random tokens that repeat.
    Random {
        /// Number of prompts.
        n: usize,
        /// Random tokens in a prompt before they repeat.
        half_len: usize,
        /// How often they stand in the prompt.
        repeats: usize,
    },
    /// Prompts as text.
    Texts {
        /// A text per prompt.
        texts: Vec<String>,
    },
    /// Prompts by their token ids.
    Tokens {
        /// The ids of each prompt.
        tokens: Vec<Vec<u32>>,
    },
    /// Prompts in a file.
    File {
        /// Path as it is written; the file has a prompt per line.
        file: PathBuf,
    },
}

/// A source as it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Number of random prompts.
    n: Option<usize>,
    /// Random tokens in a prompt before they repeat.
    half_len: Option<usize>,
    /// How often they stand in the prompt; 2 where it is left out.
    repeats: Option<usize>,
    /// Prompts as text, instead of random ones; they need the model's tokenizer.
    texts: Option<Vec<String>>,
    /// Prompts by their token ids, of any lengths, instead of random ones.
    tokens: Option<Vec<Vec<u32>>>,
    /// File with a prompt per line, `{"text": "…"}` or `{"tokens": [1, 2]}`, instead of random ones.
    file: Option<PathBuf>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    prepend_bos: Option<bool>,
}

impl Written {
    /// Two fields of which each says what the prompts are.
    fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let given = [("texts", self.texts.is_some()), ("tokens", self.tokens.is_some()), ("file", self.file.is_some())];
        let sizes =
            [("n", self.n.is_some()), ("half_len", self.half_len.is_some()), ("repeats", self.repeats.is_some())];
        let mut given = given.into_iter().filter(|(_, is_there)| *is_there).map(|(field, _)| field);
        let first = given.next()?;
        let size = sizes.into_iter().find(|(_, is_there)| *is_there).map(|(field, _)| field);
        given.next().or(size).map(|second| (first, second))
    }
}

impl<'de, const N: usize, const HALF_LEN: usize> Deserialize<'de> for PromptSource<N, HALF_LEN> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written: Written = from_map(from, "a table: `{ tokens = [[1, 2]] }`")?;
        if let Some((one, other)) = written.contradiction() {
            return Err(D::Error::custom(format!("`{one}` and `{other}` exclude each other: leave one of them out")));
        }
        let Written { n, half_len, repeats, texts, tokens, file, prepend_bos } = written;
        let random = PromptKind::Random {
            n: n.unwrap_or(N),
            half_len: half_len.unwrap_or(HALF_LEN),
            repeats: repeats.unwrap_or(2),
        };
        let texts = texts.map(|texts| PromptKind::Texts { texts });
        let tokens = tokens.map(|tokens| PromptKind::Tokens { tokens });
        let file = file.map(|file| PromptKind::File { file });
        Ok(Self { prompts: texts.or(tokens).or(file).unwrap_or(random), prepend_bos })
    }
}

impl<const N: usize, const HALF_LEN: usize> JsonSchema for PromptSource<N, HALF_LEN> {
    fn schema_name() -> Cow<'static, str> {
        "PromptSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

impl<const N: usize, const HALF_LEN: usize> Default for PromptSource<N, HALF_LEN> {
    fn default() -> Self {
        Self::random(N, HALF_LEN)
    }
}

impl<const N: usize, const HALF_LEN: usize> PromptSource<N, HALF_LEN> {
    /// `n` random prompts `[bos?] R R` with `half_len` tokens in R.
    pub fn random(n: usize, half_len: usize) -> Self {
        PromptKind::Random { n, half_len, repeats: 2 }.into()
    }

    /// Prompts by their token ids.
    pub fn tokens(rows: impl Into<Vec<Vec<u32>>>) -> Self {
        PromptKind::Tokens { tokens: rows.into() }.into()
    }

    /// Prompts as text.
    pub fn texts(texts: impl Into<Vec<String>>) -> Self {
        PromptKind::Texts { texts: texts.into() }.into()
    }

    /// The same with or without a BOS, whatever the experiment says.
    pub fn with_bos(self, prepend_bos: bool) -> Self {
        Self { prepend_bos: Some(prepend_bos), ..self }
    }

    /// The file that the prompts are in, if they are in one.
    pub(crate) fn files(&self) -> Vec<&Path> {
        if let PromptKind::File { file } = &self.prompts { vec![file] } else { Vec::new() }
    }

    /// Whether a BOS stands before each prompt, where `prepend_bos` is the experiment's setting.
    fn bos(&self, prepend_bos: bool) -> bool {
        self.prepend_bos.unwrap_or(prepend_bos)
    }

    /// The random prompts. `prepend_bos` is the experiment's setting.
    ///
    /// # Panics
    /// If the prompts are not random, which [`repeats_only`](Self::repeats_only) refuses.
    pub(crate) fn layout(&self, prepend_bos: bool) -> Repeated {
        let PromptKind::Random { n, half_len, repeats } = self.prompts else {
            unreachable!("prompts that are given one by one are refused before")
        };
        Repeated { batch: n, half_len, repeats, bos: self.bos(prepend_bos) }
    }

    /// The random prompts of a probe that compares repeats.
    ///
    /// # Errors
    /// Prompts that are not random, fewer than two repeats, counts beyond any use, more tokens than the context holds.
    pub(crate) fn repeats_only(&self, probe: &'static str, context: &Context) -> Result<Repeated, ProbeError> {
        if let Some(field) = self.given_by() {
            return Err(ProbeError::NeedsRepeats { field, probe });
        }
        let layout = self.layout(context.prepend_bos);
        layout.check(2)?;
        fits(layout.len(), context)?;
        Ok(layout)
    }

    /// Tokens in each prompt, the BOS included. Nothing random is drawn, so absurd sizes are refused before they are
    /// in memory.
    ///
    /// # Errors
    /// No prompt, or one without a token; text without a tokenizer; ids beyond the vocabulary; a prompt that is
    /// longer than the context.
    pub(crate) fn lengths(&self, context: &Context) -> Result<Vec<usize>, ProbeError> {
        if let Some(prompts) = self.given(context)? {
            return Ok(prompts.rows().iter().map(Vec::len).collect());
        }
        let layout = self.layout(context.prepend_bos);
        layout.check(1)?;
        fits(layout.len(), context)?;
        Ok(vec![layout.len(); layout.batch])
    }

    /// The prompts, whose [`lengths`](Self::lengths) were found good.
    ///
    /// # Errors
    /// Those of the lengths, and [`ProbeError::VocabTooSmall`].
    pub(crate) fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        match self.given(context)? {
            Some(prompts) => Ok(prompts),
            None => Prompts::repeated(self.layout(context.prepend_bos), context.vocabulary(), context.seed),
        }
    }

    /// Prompts, and tokens in the longest of them; nothing where they are refused.
    pub(crate) fn size(&self, context: &Context) -> (usize, usize) {
        let lengths = self.lengths(context).unwrap_or_default();
        (lengths.len(), lengths.into_iter().max().unwrap_or(0))
    }

    /// The field that errors about one of the prompts name.
    pub(crate) fn field(&self) -> &'static str {
        self.given_by().unwrap_or("prompts")
    }

    /// The field that gives prompts one by one, where they are not random.
    fn given_by(&self) -> Option<&'static str> {
        match self.prompts {
            PromptKind::Random { .. } => None,
            PromptKind::Texts { .. } => Some("prompts.texts"),
            PromptKind::Tokens { .. } => Some("prompts.tokens"),
            PromptKind::File { .. } => Some("prompts.file"),
        }
    }

    /// The prompts that are given one by one, each with a token and none longer than the context; `None` where they are
    /// random.
    fn given(&self, context: &Context) -> Result<Option<Prompts>, ProbeError> {
        let Some(field) = self.given_by() else { return Ok(None) };
        let encode = |(prompt, text): (usize, &str)| encode(field, prompt, text, context.tokenizer);
        let rows = match &self.prompts {
            PromptKind::Random { .. } => return Ok(None),
            PromptKind::Tokens { tokens } => tokens.clone(),
            PromptKind::Texts { texts } => {
                texts.iter().map(String::as_str).enumerate().map(encode).collect::<Result<_, _>>()?
            }
            PromptKind::File { file } => {
                let text = context.files.get(file).ok_or_else(|| ProbeError::NoFile { path: file.clone() })?;
                let row = |(prompt, line)| match line {
                    Line::Tokens(ids) => Ok(ids),
                    Line::Text(text) => encode((prompt, &text)),
                };
                file::read(file, text)?.into_iter().enumerate().map(row).collect::<Result<_, _>>()?
            }
        };
        if rows.is_empty() {
            return Err(ProbeError::Empty { field });
        }
        if rows.len() > MAX_BATCH {
            let (place, found) = (field.to_owned(), rows.len());
            return Err(PromptsError::TooMany { field, place, found, most: MAX_BATCH }.into());
        }
        let prompts = Prompts::given(field, &rows, self.bos(context.prepend_bos), context.vocabulary())?;
        for (prompt, len) in prompts.rows().iter().map(Vec::len).enumerate() {
            let n_ctx = context.config.n_ctx;
            if len == 0 {
                return Err(ProbeError::NoTokens { field, prompt });
            }
            if len > n_ctx {
                return Err(ProbeError::PromptTooLong { field, prompt, len, n_ctx });
            }
        }
        Ok(Some(prompts))
    }
}

impl<const N: usize, const HALF_LEN: usize> From<PromptKind> for PromptSource<N, HALF_LEN> {
    fn from(prompts: PromptKind) -> Self {
        Self { prompts, prepend_bos: None }
    }
}

/// Refuses random prompts that are longer than the model's context.
fn fits(len: usize, context: &Context) -> Result<(), ProbeError> {
    let n_ctx = context.config.n_ctx;
    if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(()) }
}

fn encode(
    field: &'static str,
    prompt: usize,
    text: &str,
    tokenizer: Option<&Tokenizer>,
) -> Result<Vec<u32>, ProbeError> {
    let tokenizer = tokenizer.ok_or(ProbeError::NeedsTokenizer { field })?;
    let failed = |reason: String| ProbeError::Tokenizer { field, prompt, reason };
    tokenizer.encode(text).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use pythia_core::config::NeoxConfig;

    use super::*;
    use crate::subject::Files;
    use crate::testing::{config, letters};

    type Source = PromptSource<1, 12>;

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
        let source = Source::texts(["cab".to_owned(), "b a".to_owned()]);
        let rows = |source: &Source| source.prompts(&context).expect("all letters are known").rows().to_vec();
        assert_eq!(rows(&source), [[0, 3, 1, 2], [0, 2, 4, 1]]);
        assert_eq!(rows(&source.clone().with_bos(false)), [[3, 1, 2], [2, 4, 1]]);
        assert_eq!((source.lengths(&context), source.size(&context)), (Ok(vec![4, 4]), (2, 4)));
        let needs = ProbeError::NeedsTokenizer { field: "prompts.texts" };
        assert_eq!(source.lengths(&Context { tokenizer: None, ..context }), Err(needs));
    }

    #[test]
    fn a_file_mixes_texts_and_tokens() {
        let (config, tokenizer) = (config(), letters());
        let files = Files([("p.jsonl".into(), "{\"text\": \"cab\"}\n{\"tokens\": [5]}\n".to_owned())].into());
        let context = Context { files: &files, ..context(&config, Some(&tokenizer)) };
        let source = Source::from(PromptKind::File { file: "p.jsonl".into() });
        assert_eq!(source.prompts(&context).expect("both are known").rows(), [vec![0, 3, 1, 2], vec![0, 5]]);
        assert_eq!(source.files(), [Path::new("p.jsonl")]);
        let absent = source.lengths(&Context { files: Files::NONE, ..context });
        assert_eq!(absent, Err(ProbeError::NoFile { path: "p.jsonl".into() }));
        let needs = source.lengths(&Context { tokenizer: None, ..context });
        assert_eq!(needs, Err(ProbeError::NeedsTokenizer { field: "prompts.file" }));
    }

    #[test]
    fn random_prompts_have_the_size_of_the_probe_where_nothing_is_said() {
        let config = short();
        let context = context(&config, None);
        let source = Source::default();
        assert_eq!(source.lengths(&context), Ok(vec![25]));
        let rows = source.prompts(&context).expect("there are ids").rows().to_vec();
        assert_eq!((rows.len(), rows[0][1..13].to_vec()), (1, rows[0][13..].to_vec()));
        let long = Source::random(1, usize::MAX);
        assert_eq!(long.lengths(&context), Err(ProbeError::TooLong { len: usize::MAX, n_ctx: 25 }));
        assert_eq!(long.size(&context), (0, 0));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_their_datum() {
        let config = short();
        let context = context(&config, None);
        let lengths = |source: Source| source.lengths(&context);
        let given = Source::tokens([vec![1, 2], vec![]]);
        assert_eq!(lengths(given.clone()), Ok(vec![3, 1]), "a BOS alone is a prompt");
        let alone = lengths(given.with_bos(false));
        assert_eq!(alone, Err(ProbeError::NoTokens { field: "prompts.tokens", prompt: 1 }));
        assert_eq!(lengths(Source::tokens([])), Err(ProbeError::Empty { field: "prompts.tokens" }));
        let foreign = lengths(Source::tokens([vec![1], vec![3, 6]]));
        let field = "prompts.tokens";
        assert_eq!(foreign, Err(ProbeError::IdOutOfVocab { field, prompt: 1, index: 1, id: 6, vocab: 6 }));
        let long = lengths(Source::tokens([vec![1], vec![1; 25]])).expect_err("26 tokens");
        assert_eq!(long, ProbeError::PromptTooLong { field: "prompts.tokens", prompt: 1, len: 26, n_ctx: 25 });
        assert!(!long.to_string().contains("half_len"), "{long}");
    }

    #[test]
    fn a_size_is_the_same_whether_it_is_written_or_not() {
        let json = |source: &Source| serde_json::to_value(source).expect("plain data");
        let random = serde_json::json!({ "n": 1, "half_len": 12, "repeats": 2, "prepend_bos": null });
        assert_eq!(json(&Source::default()), random);
        assert_eq!(json(&Source::random(1, 12)), random);
        assert_ne!(json(&Source::random(1, 13)), random);
        let given = Source::tokens([vec![1, 2]]).with_bos(true);
        assert_eq!(json(&given), serde_json::json!({ "tokens": [[1, 2]], "prepend_bos": true }));
        assert_eq!(serde_json::from_value(json(&given)).ok(), Some(given));
        let written = |text: &str| serde_json::from_str::<Source>(text).map_err(|error| error.to_string());
        assert_eq!(written("{}"), Ok(Source::default()));
        assert_eq!(written(r#"{"n": 4}"#), Ok(Source::random(4, 12)));
        for list in ["[2, 8]", "[[1, 2]]", "[]"] {
            let table = "invalid type: sequence, expected a table: `{ tokens = [[1, 2]] }`";
            assert!(written(list).is_err_and(|error| error.starts_with(table)), "{list}");
        }
        for (text, pair) in [
            (r#"{"texts": ["a"], "tokens": [[1]]}"#, "`texts` and `tokens`"),
            (r#"{"tokens": [[1]], "file": "p.jsonl"}"#, "`tokens` and `file`"),
            (r#"{"tokens": [[1]], "repeats": 2}"#, "`tokens` and `repeats`"),
        ] {
            assert!(written(text).is_err_and(|error| error.contains(pair)), "{text}");
        }
    }

    #[test]
    fn a_probe_of_repeats_takes_random_prompts_alone() {
        let config = short();
        let context = context(&config, None);
        let check = |source: Source| source.repeats_only("head_scores", &context).map(|layout| layout.len());
        assert_eq!(check(Source::default()), Ok(25));
        let once = check(PromptKind::Random { n: 1, half_len: 12, repeats: 1 }.into());
        assert_eq!(once, Err(ProbeError::TooSmall { field: "prompts.repeats", value: 1, least: 2 }));
        assert_eq!(check(Source::random(1, 13)), Err(ProbeError::TooLong { len: 27, n_ctx: 25 }));
        let error = check(Source::tokens([vec![1]])).expect_err("these do not repeat");
        assert_eq!(error.field(), Some("prompts.tokens"));
        assert!(error.to_string().contains("head_scores compares repeats"), "{error}");
    }
}
