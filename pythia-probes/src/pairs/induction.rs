//! Induction on random tokens: the sequence begins again, and what follows its last token is what followed it before.

use std::collections::{BTreeMap, HashMap};

use rand_chacha::ChaCha8Rng;

use crate::prompts::{Vocabulary, below};

use super::PairError;
use super::draft::Draft;

/// The sizes of a pair: `R` has `half` ids and its first `again` stand there once more, so that the last token of the prompt
/// is `R[again - 1]` and its successor `R[again]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    half: usize,
    again: usize,
}

impl Layout {
    /// The second part ends in the middle of the first: all pairs of a list have one length, and the answer is equally far from
    /// the first part's beginning and its end. `half` is at least 2.
    pub fn new(half: usize) -> Self {
        Self { half, again: half / 2 }
    }

    /// Tokens in a prompt, without a BOS.
    pub fn len(self) -> usize {
        self.half + self.again
    }

    /// Ids of the vocabulary but the BOS, if they are enough for a pair: those of `R` and one more.
    pub fn choices(self, vocabulary: Vocabulary) -> Result<u32, PairError> {
        let choices = vocabulary.size - usize::from((vocabulary.bos as usize) < vocabulary.size);
        let (half_len, needed) = (self.half, self.half + 1);
        let enough = u32::try_from(choices).ok().filter(|_| choices >= needed);
        enough.ok_or(PairError::VocabTooSmall { half_len, needed, choices })
    }

    /// One pair: `clean = R R[..again]` has the answer `R[again]`; in `corrupt` another id stands in its place in the first
    /// part, and nothing else differs.
    pub fn draft(self, rng: &mut ChaCha8Rng, choices: u32, vocabulary: Vocabulary) -> Draft {
        let has_bos = (vocabulary.bos as usize) < vocabulary.size;
        let mut ids = distinct(rng, choices, self.half + 1);
        ids.iter_mut().for_each(|id| *id += u32::from(has_bos && *id >= vocabulary.bos));
        let other = ids.pop().unwrap_or_default();
        let answer = ids[self.again];
        ids.extend_from_within(..self.again);
        let mut corrupt = ids.clone();
        corrupt[self.again] = other;
        let positions = [("first", self.again - 1), ("successor", self.again)];
        let positions: BTreeMap<_, _> = positions.map(|(name, at)| (name.to_owned(), at)).into();
        Draft { clean: ids, corrupt, answers: vec![answer], wrongs: vec![other], positions }
    }
}

/// `count` different numbers below `n`, in random order: the first cards of a shuffled deck, of which only those are kept that
/// are no longer in their place. Takes exactly `count` draws, also where they are all there are.
fn distinct(rng: &mut ChaCha8Rng, n: u32, count: usize) -> Vec<u32> {
    let mut moved: HashMap<u32, u32> = HashMap::new();
    let draw = |at: u32| {
        let chosen = at + below(rng, n - at);
        let here = moved.get(&at).copied().unwrap_or(at);
        moved.insert(chosen, here).unwrap_or(chosen)
    };
    (0..n).take(count).map(draw).collect()
}
