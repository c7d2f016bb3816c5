//! What the tests of pairs share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use pythia_core::tokenizer::Tokenizer;
use serde_json::json;

use crate::random::Vocabulary;

use super::{Pair, PairSource, Task};

/// The ids of the suite's tokenizer that are not padding. The id 0 is the BOS.
pub(super) const SUITE: Vocabulary = Vocabulary { size: 50_277, bos: 0 };

/// The files whose words are tokens of [`tokenizer`]: the word lists, and the templates of the generators.
const SOURCES: [&str; 6] = [
    include_str!("words.rs"),
    include_str!("ioi.rs"),
    include_str!("greater_than.rs"),
    include_str!("agreement.rs"),
    include_str!("pronoun.rs"),
    include_str!("capitals.rs"),
];

/// A byte-level BPE tokenizer made here, in which every word of the generators is one token where a space stands
/// before it, as in the suite's tokenizer.
pub(super) fn tokenizer() -> Tokenizer {
    let words = || SOURCES.iter().flat_map(|source| source.split(|c: char| !c.is_ascii_alphabetic()));
    let spaced = words().filter(|word| *word != "Laura").map(|word| format!("Ġ{word}"));
    let numbers = (0..100).map(|number| format!("{number:02}"));
    let centuries = (10..21).map(|century| format!("Ġ{century}"));
    let first = words().filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned);
    // Merges of words after a space come first, so that no other merge takes a letter from them.
    let texts: Vec<String> = spaced.chain(centuries).chain(numbers).chain(first).collect();
    let mut vocab: BTreeMap<String, usize> = BTreeMap::from([("<|endoftext|>".to_owned(), 0)]);
    for byte in ('!'..='~').chain(['Ġ']) {
        let id = vocab.len();
        vocab.insert(byte.to_string(), id);
    }
    let mut merges = Vec::new();
    for text in &texts {
        for (at, next) in text.char_indices().skip(1) {
            let merged = text[..at + next.len_utf8()].to_owned();
            let id = vocab.len();
            if let Entry::Vacant(entry) = vocab.entry(merged) {
                entry.insert(id);
                merges.push(format!("{} {next}", &text[..at]));
            }
        }
    }
    byte_level(&vocab, &merges)
}

/// A byte-level BPE tokenizer with these tokens and merges, as a `tokenizer.json` has them.
pub(super) fn byte_level(vocab: &BTreeMap<String, usize>, merges: &[String]) -> Tokenizer {
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let file = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null, "truncation": null,
        "padding": null, "decoder": bytes, "pre_tokenizer": bytes,
        "model": { "type": "BPE", "vocab": vocab, "merges": merges },
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).expect("a tokenizer")
}

/// A file of `PYTHIA_SHARED`, or of `shared` beside the repository.
pub(super) fn shared(file: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("PYTHIA_SHARED").map_or(beside, PathBuf::from).join(file);
    assert!(path.is_file(), "{} is missing: set PYTHIA_SHARED to the folder of shared test data", path.display());
    path
}

/// The suite's tokenizer, of the shared folder.
pub(super) fn shared_tokenizer() -> Tokenizer {
    Tokenizer::from_file(&shared("data/pythia_repo/20B_tokenizer.json")).expect("the suite's tokenizer is readable")
}

/// Generated pairs, with the tokenizer they were made for.
pub(super) struct Made {
    pub tokenizer: Tokenizer,
    pub list: Vec<Pair>,
}

/// `n` pairs of seed 11 by [`tokenizer`].
pub(super) fn made(task: Task, n: usize, prepend_bos: bool) -> Made {
    let tokenizer = tokenizer();
    let source = PairSource { n, ..PairSource::task(task) };
    let pairs = source.make(Some(&tokenizer), None, SUITE, prepend_bos, 11).expect("the tokenizer has the words");
    Made { tokenizer, list: pairs.list }
}

/// Where the two prompts differ.
pub(super) fn differences(pair: &Pair) -> Vec<usize> {
    (0..pair.clean.len()).filter(|at| pair.clean[*at] != pair.corrupt[*at]).collect()
}
