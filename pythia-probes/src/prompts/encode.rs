//! A prompt source → the token ids of its prompts.

use pythia_core::tokenizer::Tokenizer;

use super::file::{self, Line};
use super::{MAX_BATCH, PromptKind, PromptSource, Prompts, Repeated};
use crate::error::{ProbeError, PromptsError};
use crate::subject::Context;

impl<const N: usize, const HALF_LEN: usize> PromptSource<N, HALF_LEN> {
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

/// Refuses random prompts that are longer than the model's context.
fn fits(len: usize, context: &Context) -> Result<(), ProbeError> {
    let n_ctx = context.config.n_ctx;
    if len > n_ctx { Err(ProbeError::TooLong { field: "prompts", len, n_ctx }) } else { Ok(()) }
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
    use std::path::Path;

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
        assert_eq!(long.lengths(&context), Err(ProbeError::TooLong { field: "prompts", len: usize::MAX, n_ctx: 25 }));
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
    fn a_probe_of_repeats_takes_random_prompts_alone() {
        let config = short();
        let context = context(&config, None);
        let check = |source: Source| source.repeats_only("head_scores", &context).map(|layout| layout.len());
        assert_eq!(check(Source::default()), Ok(25));
        let once = check(PromptKind::Random { n: 1, half_len: 12, repeats: 1 }.into());
        assert_eq!(once, Err(ProbeError::TooSmall { field: "prompts.repeats", value: 1, least: 2 }));
        assert_eq!(check(Source::random(1, 13)), Err(ProbeError::TooLong { field: "prompts", len: 27, n_ctx: 25 }));
        let error = check(Source::tokens([vec![1]])).expect_err("these do not repeat");
        assert_eq!(error.field(), Some("prompts.tokens"));
        assert!(error.to_string().contains("head_scores compares repeats"), "{error}");
    }
}
