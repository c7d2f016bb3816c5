//! What the tests of pairs share.

use std::path::{Path, PathBuf};

use pythia_core::tokenizer::Tokenizer;

use crate::random::Vocabulary;

use super::{Pair, PairSource, Task};

/// The ids of the suite's tokenizer that are not padding.
pub(super) const SUITE: Vocabulary = Vocabulary { size: 50_277, bos: 0 };

/// A file of `PYTHIA_SHARED`, or of `shared` beside the repository, if it is there.
pub(super) fn shared(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("PYTHIA_SHARED").map_or(beside, PathBuf::from);
    Some(folder.join(file)).filter(|path| path.is_file())
}

/// The suite's tokenizer, where it is at hand.
pub(super) fn tokenizer() -> Option<Tokenizer> {
    Some(
        Tokenizer::from_file(&shared("data/pythia_repo/20B_tokenizer.json")?)
            .expect("the suite's tokenizer is readable"),
    )
}

/// Generated pairs, with the tokenizer they were made for.
pub(super) struct Made {
    pub tokenizer: Tokenizer,
    pub list: Vec<Pair>,
}

/// `n` pairs of seed 11, where the suite's tokenizer is at hand.
pub(super) fn made(task: Task, n: usize, prepend_bos: bool) -> Option<Made> {
    let tokenizer = tokenizer()?;
    let source = PairSource { n, ..PairSource::task(task) };
    let pairs =
        source.make(Some(&tokenizer), None, SUITE, prepend_bos, 11).expect("the suite's tokenizer has the words");
    Some(Made { tokenizer, list: pairs.list })
}

/// Where the two prompts differ.
pub(super) fn differences(pair: &Pair) -> Vec<usize> {
    (0..pair.clean.len()).filter(|at| pair.clean[*at] != pair.corrupt[*at]).collect()
}
