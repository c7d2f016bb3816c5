//! The suite's tokenizer: a byte-level BPE, read from `tokenizer.json`. It adds no beginning-of-sequence token.
//!
//! A file may hold settings of a training run: `truncation`, `padding`, and `dropout` of merges. They would change
//! the ids of a text unasked, so they are not obeyed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokenizers::models::ModelWrapper;

use crate::content::WrongContent;
use crate::json;

/// The suite's file has 2 MB, and 3.6 MB in its newest form.
const MAX_BYTES: u64 = 64 << 20;

/// Text to token ids and back.
///
/// ```
/// use std::path::Path;
/// use pythia_core::tokenizer::Tokenizer;
///
/// let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tokenizer/tokenizer.json");
/// let tokenizer = Tokenizer::from_file(Path::new(file))?;
/// let ids = tokenizer.encode("When Mary and John went to the store")?;
/// assert_eq!(tokenizer.decode(&ids)?, "When Mary and John went to the store");
/// assert_eq!(tokenizer.token(ids[1])?, "ĠMary");
/// # Ok::<(), pythia_core::tokenizer::TokenizerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    n_ids: usize,
    hash: blake3::Hash,
}

/// A tokenizer that cannot be read or used.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// `tokenizer.json` of the model.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something is wrong with this file.
    #[error("{}: {source}", path.display())]
    File {
        /// `tokenizer.json` of the model.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TokenizerError>,
    },
    /// The file is far larger than any tokenizer of this kind.
    #[error("a tokenizer of {found} bytes or more is refused; at most {max} are read")]
    TooLarge {
        /// Bytes found, a lower bound.
        found: u64,
        /// The most that is read.
        max: u64,
    },
    /// Not even JSON.
    #[error("not a readable tokenizer.json: {0}")]
    Content(#[from] WrongContent),
    /// Not a tokenizer.
    #[error("not a readable tokenizer.json: {source}")]
    Malformed {
        /// Where and why.
        source: tokenizers::Error,
    },
    /// The tokenizer refused a text or a sequence of ids.
    #[error("the tokenizer failed: {source}")]
    Failed {
        /// Why.
        source: tokenizers::Error,
    },
    /// An id that the tokenizer does not know, such as one of a padding row.
    #[error("there is no token {id}; the tokenizer knows ids 0 to {}", n_ids.saturating_sub(1))]
    UnknownId {
        /// Token id as given.
        id: u32,
        /// How many ids there are.
        n_ids: usize,
    },
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError`] when the file cannot be read, is too large, or is not a tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let io = |source| TokenizerError::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        let file = |source| TokenizerError::File { path: path.to_owned(), source: Box::new(source) };
        Self::from_bytes(&bytes).map_err(file)
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError`] when they are too large or not a tokenizer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(TokenizerError::TooLarge { found: bytes.len() as u64, max: MAX_BYTES });
        }
        let text = json::text(bytes)?;
        let malformed = |source| TokenizerError::Malformed { source };
        let mut inner: tokenizers::Tokenizer = text.parse().map_err(malformed)?;
        obey_nothing_of_training(&mut inner).map_err(malformed)?;
        let n_ids = inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        Ok(Self { inner, n_ids, hash: blake3::hash(bytes) })
    }

    /// Token ids of a text; nothing is added at either end.
    ///
    /// # Errors
    /// [`TokenizerError::Failed`] when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|source| TokenizerError::Failed { source })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of a sequence of ids, special tokens included.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`] for an id that the tokenizer does not have.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        for &id in ids {
            self.token(id)?;
        }
        self.inner.decode(ids, false).map_err(|source| TokenizerError::Failed { source })
    }

    /// One token as the vocabulary spells it, with `Ġ` for a leading space.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn token(&self, id: u32) -> Result<String, TokenizerError> {
        self.inner.id_to_token(id).ok_or(TokenizerError::UnknownId { id, n_ids: self.n_ids })
    }

    /// One token as readable text; a token that is part of a character shows as `�`.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn token_text(&self, id: u32) -> Result<String, TokenizerError> {
        self.decode(&[id])
    }

    /// Number of ids: one more than the largest. 50,277 for the suite's tokenizer; rows of an embedding from there on
    /// are padding.
    pub fn n_ids(&self) -> usize {
        self.n_ids
    }

    /// Fingerprint of the file, in hexadecimal.
    pub fn content_hash(&self) -> String {
        self.hash.to_hex().to_string()
    }
}

/// Switches off what shortens, lengthens or varies the ids of a text.
fn obey_nothing_of_training(tokenizer: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
    tokenizer.with_truncation(None)?.with_padding(None);
    if let ModelWrapper::BPE(model) = tokenizer.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        tokenizer.with_model(model);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(Tokenizer::from_bytes(b""), Err(TokenizerError::Content(WrongContent::Empty))));
        for bytes in [&b"{}"[..], b"not json", b"{\"model\": {\"type\": \"BPE\"}}"] {
            assert!(matches!(Tokenizer::from_bytes(bytes), Err(TokenizerError::Malformed { .. })));
        }
        let missing = Tokenizer::from_file(Path::new("/nonexistent/tokenizer.json")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/tokenizer.json"));
    }

    /// The committed tokenizer's file with other values of some keys; `model.` is a key of its model.
    fn altered(changes: &[(&str, &str)]) -> Vec<u8> {
        let text = std::fs::read_to_string(crate::testing::fixture("tokenizer").join("tokenizer.json")).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, value) in changes {
            let value = serde_json::from_str(value).unwrap();
            match key.strip_prefix("model.") {
                Some(key) => file["model"][key] = value,
                None => file[*key] = value,
            }
        }
        serde_json::to_vec(&file).unwrap()
    }

    #[test]
    fn settings_of_a_training_run_change_no_ids() {
        let text = "When Mary and John went to the store, John gave a drink to Mary. John went to the store again.";
        let plain = Tokenizer::from_bytes(&altered(&[])).unwrap().encode(text).unwrap();
        let cut = r#"{"direction": "Left", "max_length": 8, "strategy": "LongestFirst", "stride": 0}"#;
        let pad = r#"{"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 1,
            "pad_type_id": 0, "pad_token": "<|padding|>"}"#;
        let bos = r#"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}}"#;
        let settings = [
            &[("truncation", cut)][..],
            &[("padding", pad)],
            &[("truncation", cut), ("padding", pad)],
            &[("model.dropout", "0.9")],
            &[("post_processor", bos)],
        ];
        for changes in settings {
            let bytes = altered(changes);
            let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), plain, "{changes:?}");
            assert_eq!(tokenizer.content_hash(), blake3::hash(&bytes).to_hex().to_string(), "the hash is the file's");
        }
    }

    #[test]
    fn errors_name_the_file_and_what_it_is() {
        let dir = crate::testing::TempDir::new();
        let marked = dir.write("marked.json", [b"\xEF\xBB\xBF", &altered(&[])[..]].concat());
        assert_eq!(Tokenizer::from_file(&marked).unwrap().n_ids(), 333);
        for (text, words) in [
            ("{\"version\": 1}", "not a readable tokenizer.json"),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
            ("<!doctype html><p>401", "web page"),
        ] {
            let file = dir.write("sub/tokenizer.json", text);
            let error = Tokenizer::from_file(&file).unwrap_err().to_string();
            assert!(error.contains(&file.display().to_string()) && error.contains(words), "{error}");
        }
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
        decoded: String,
    }

    /// Holds the answers in a file to the tokenizer's; gives how many there were.
    fn agree(tokenizer: &Tokenizer, answers: &Path) -> usize {
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(answers).unwrap()).unwrap();
        for case in &golden.cases {
            assert_eq!(tokenizer.encode(&case.text).unwrap(), case.ids, "{:?}", case.text);
            assert_eq!(tokenizer.decode(&case.ids).unwrap(), case.decoded, "{:?}", case.text);
        }
        golden.cases.len()
    }

    /// The committed tokenizer is a tiny one of the suite's kind. The answers are those of the Python package.
    #[test]
    fn a_small_tokenizer_of_the_suites_kind_answers_as_pythons_does() {
        let folder = crate::testing::fixture("tokenizer");
        let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json")).unwrap();
        assert_eq!(agree(&tokenizer, &folder.join("answers.json")), 25);
        assert_eq!(tokenizer.n_ids(), 333);
        assert_eq!(tokenizer.token(0).unwrap(), "<|endoftext|>");
        assert_eq!(tokenizer.token(316).unwrap(), "ĠJohn");
        assert_eq!(tokenizer.token_text(316).unwrap(), " John");
        assert!(matches!(tokenizer.decode(&[5, 333]), Err(TokenizerError::UnknownId { id: 333, n_ids: 333 })));
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_reference_cases_of_the_suites_tokenizer_agree() {
        let shared = crate::testing::shared();
        let tokenizer = Tokenizer::from_file(&shared.join("data/pythia_repo/20B_tokenizer.json")).unwrap();
        assert_eq!(agree(&tokenizer, &shared.join("data/golden/tokenizer_golden.json")), 51);
        assert_eq!(tokenizer.n_ids(), 50_277);
        assert_eq!(tokenizer.token(344).unwrap(), "Ġhe");
        assert_eq!(tokenizer.token_text(344).unwrap(), " he");
        assert!(matches!(tokenizer.decode(&[5, 50_277]), Err(TokenizerError::UnknownId { id: 50_277, n_ids: 50_277 })));
    }
}
