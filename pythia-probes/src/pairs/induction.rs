//! Induction on random tokens: the sequence begins again, and what follows its last token is what followed it before.

use std::collections::{BTreeMap, HashMap};

use rand_chacha::ChaCha8Rng;

use crate::random::{Vocabulary, below};

use super::PairError;
use super::draft::Draft;

/// Tokens in a prompt without its BOS: `half` random ones, then the first half of them once more. All pairs of a list
/// have one length, and the answer is equally far from the beginning and the end of the first part.
pub(super) fn len(half: usize) -> usize {
    half.saturating_add(half / 2)
}

/// What the corrupt prompt does to the first part, which is all it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Corruption {
    /// Puts another id where the answer stood.
    Successor,
    /// Exchanges the token before the answer with another one's predecessor: both answers stay where they were, and
    /// what differs is which of them the last token points at.
    Match,
}

/// What this task draws from.
pub(super) struct Induction {
    corruption: Corruption,
    half: usize,
    /// The vocabulary's [`choices`](Vocabulary::choices).
    choices: u32,
    vocabulary: Vocabulary,
}

impl Induction {
    /// `half` is at least 2. A pair draws that many different ids and one more.
    pub(super) fn new(half: usize, corruption: Corruption, vocabulary: Vocabulary) -> Result<Self, PairError> {
        let choices = vocabulary.choices();
        let (half_len, needed) = (half, half.saturating_add(1));
        let enough = u32::try_from(choices).ok().filter(|_| choices >= needed);
        let choices = enough.ok_or(PairError::VocabTooSmall { half_len, needed, choices })?;
        Ok(Self { corruption, half, choices, vocabulary })
    }

    /// `clean = R R[..j]` with `j = half / 2`: its last token is `R[j - 1]`, so its answer is `R[j]`. In `corrupt`
    /// another id stands in the place of `R[j]`, which is in the first part alone; nothing else differs. Under
    /// [`Corruption::Match`], where `half` is at least 6, the ids of `R[j - 1]` and of the last but one change places
    /// in the first part instead, and the wrong answer is the last id of `R`.
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Draft {
        let drawn = distinct(rng, self.choices, self.half + 1).into_iter();
        let mut clean: Vec<u32> = drawn.map(|choice| self.vocabulary.random_id(choice)).collect();
        let (again, other) = (self.half / 2, clean[self.half]);
        clean.truncate(self.half);
        clean.extend_from_within(..again);
        let mut corrupt = clean.clone();
        let mut positions = vec![("first", again - 1), ("successor", again)];
        let (answer, wrong) = match self.corruption {
            Corruption::Successor => (std::mem::replace(&mut corrupt[again], other), other),
            Corruption::Match => {
                let last = self.half - 1;
                corrupt.swap(again - 1, last - 1);
                positions.extend([("other", last - 1), ("other_successor", last)]);
                (clean[again], clean[last])
            }
        };
        let positions: BTreeMap<_, _> = positions.into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
        Draft { clean, corrupt, answers: vec![answer], wrongs: vec![wrong], positions }
    }
}

/// `count` different numbers below `n`, in random order: the start of a Fisher-Yates shuffle, of which only the numbers
/// that moved are stored. Takes exactly `count` draws, also if `count` is `n`.
fn distinct(rng: &mut ChaCha8Rng, n: u32, count: usize) -> Vec<u32> {
    let mut moved: HashMap<u32, u32> = HashMap::new();
    let draw = |at: u32| {
        let chosen = at + below(rng, n - at);
        let here = moved.get(&at).copied().unwrap_or(at);
        moved.insert(chosen, here).unwrap_or(chosen)
    };
    (0..n).take(count).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::testing;
    use crate::pairs::{Pair, PairSource, Task};
    use std::collections::BTreeSet;

    fn pairs(half_len: usize, vocabulary: Vocabulary, bos: bool, seed: u64) -> Vec<Pair> {
        let source = PairSource { n: 20, half_len: Some(half_len), ..PairSource::task(Task::Induction) };
        source.make(None, None, vocabulary, bos, seed).expect("there are enough ids").list
    }

    #[test]
    fn the_last_token_was_followed_by_the_answer_and_in_the_corrupt_prompt_by_the_wrong_one() {
        let vocabulary = Vocabulary { size: 40, bos: 5 };
        for (half_len, bos, seed) in (2..20).flat_map(|half| [(half, true, half as u64), (half, false, 99)]) {
            for pair in pairs(half_len, vocabulary, bos, seed) {
                let at = |name: &str| pair.positions[name][0];
                assert_eq!(pair.clean.len(), usize::from(bos) + len(half_len));
                assert_eq!(pair.clean[0] == 5, bos);
                assert_eq!(
                    (pair.positions.len(), at("end"), at("successor")),
                    (3, pair.clean.len() - 1, at("first") + 1)
                );
                assert_eq!(pair.clean[at("first")], pair.clean[at("end")]);
                assert_eq!(testing::differences(&pair), [at("successor")]);
                assert_eq!([pair.clean[at("successor")]], pair.answers[..]);
                assert_eq!([pair.corrupt[at("successor")]], pair.wrongs[..]);
                let random = &pair.clean[usize::from(bos)..][..half_len];
                let different: BTreeSet<u32> = random.iter().chain(&pair.wrongs).copied().collect();
                assert_eq!(different.len(), half_len + 1);
                assert!(different.iter().all(|id| *id < 40 && *id != 5));
                assert_eq!(random[..half_len / 2], pair.clean[usize::from(bos) + half_len..]);
            }
        }
    }

    #[test]
    fn in_a_match_pair_both_answers_stay_and_their_predecessors_change_places() {
        let vocabulary = Vocabulary { size: 40, bos: 5 };
        for half_len in 6..20 {
            let source = PairSource { n: 20, half_len: Some(half_len), ..PairSource::task(Task::InductionMatch) };
            for pair in source.make(None, None, vocabulary, true, half_len as u64).expect("enough ids").list {
                let at = |name: &str| pair.positions[name][0];
                assert_eq!(testing::differences(&pair), [at("first"), at("other")]);
                assert_eq!(pair.clean[at("first")], pair.clean[at("end")]);
                assert_eq!(pair.corrupt[at("other")], pair.corrupt[at("end")]);
                assert_eq!([pair.clean[at("successor")]], pair.answers[..]);
                assert_eq!([pair.corrupt[at("other_successor")]], pair.wrongs[..]);
                assert_eq!((at("successor"), at("other_successor")), (at("first") + 1, at("other") + 1));
                assert!(at("other") > at("successor"));
            }
        }
        let short = PairSource { half_len: Some(5), ..PairSource::task(Task::InductionMatch) };
        assert_eq!(short.check(), Err(PairError::TooSmall { field: "pairs.half_len", value: 5, least: 6 }));
    }

    #[test]
    fn all_ids_are_used_where_they_just_suffice_and_one_less_is_refused() {
        let pair = &pairs(10, Vocabulary { size: 12, bos: 3 }, true, 0)[0];
        let ids: BTreeSet<u32> = pair.clean.iter().chain(&pair.wrongs).copied().collect();
        assert_eq!(ids, (0..12).collect());
        let source = PairSource { half_len: Some(10), ..PairSource::task(Task::Induction) };
        let small = source.make(None, None, Vocabulary { size: 11, bos: 3 }, true, 0);
        assert_eq!(small, Err(PairError::VocabTooSmall { half_len: 10, needed: 11, choices: 10 }));
        // A BOS beyond the vocabulary takes none of its ids.
        assert!(source.make(None, None, Vocabulary { size: 11, bos: 11 }, false, 0).is_ok());
    }

    #[test]
    fn a_shuffled_deck_has_every_order_equally_often() {
        let mut rng = crate::random::generator(3, crate::random::Domain::PairsInduction, 0);
        let mut counts: BTreeMap<Vec<u32>, i32> = BTreeMap::new();
        for _ in 0..12_000 {
            *counts.entry(distinct(&mut rng, 4, 3)).or_default() += 1;
        }
        // 24 orders of three of four; the standard deviation of a count is 22.
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (count - 500).abs() < 110), "{counts:?}");
    }
}
