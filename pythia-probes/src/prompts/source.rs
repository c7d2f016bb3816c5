//! Where the prompts of a probe come from: the value of `prompts` in a configuration.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::from_map::from_map;

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

/// What is expected where no table stands: every form there is.
const FORMS: &str = "a table: `{ n = 4, half_len = 50 }`, `{ texts = [\"…\"] }`, `{ tokens = [[1, 2]] }` or \
                     `{ file = \"prompts.jsonl\" }`";

impl<'de, const N: usize, const HALF_LEN: usize> Deserialize<'de> for PromptSource<N, HALF_LEN> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written: Written = from_map(from, FORMS)?;
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
    pub(crate) fn bos(&self, prepend_bos: bool) -> bool {
        self.prepend_bos.unwrap_or(prepend_bos)
    }

    /// The field that errors about one of the prompts name.
    pub(crate) fn field(&self) -> &'static str {
        self.given_by().unwrap_or("prompts")
    }

    /// The field that gives prompts one by one, where they are not random.
    pub(crate) fn given_by(&self) -> Option<&'static str> {
        match self.prompts {
            PromptKind::Random { .. } => None,
            PromptKind::Texts { .. } => Some("prompts.texts"),
            PromptKind::Tokens { .. } => Some("prompts.tokens"),
            PromptKind::File { .. } => Some("prompts.file"),
        }
    }
}

impl<const N: usize, const HALF_LEN: usize> From<PromptKind> for PromptSource<N, HALF_LEN> {
    fn from(prompts: PromptKind) -> Self {
        Self { prompts, prepend_bos: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Source = PromptSource<1, 12>;

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
            let table = "invalid type: sequence, expected a table: `{ n = 4, half_len = 50 }`";
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
}
