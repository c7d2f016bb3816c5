//! The generated task: sequences in which looking back for an earlier occurrence pays.
//!
//! Two kinds of sequence are mixed, both starting with the token 0:
//!
//! - **repeats**: a block R of uniform random tokens over and over, its period drawn anew for every sequence, so that no
//!   fixed offset solves it;
//! - **bigrams**: a Markov chain whose ordinary tokens follow a fixed table, while each of a few trigger tokens gets a
//!   fresh successor in every sequence (Bietti et al. 2023, "Birth of a transformer"): what follows a trigger can only
//!   be known from the context. The fixed part is what a model learns first, and it makes the loss fall at once.

use serde::{Deserialize, Serialize};

use super::random::{Purpose, Random};

/// Chances of an ordinary token's four successors in the bigram table.
const SUCCESSOR_CHANCES: [f64; 4] = [0.55, 0.25, 0.12, 0.08];

/// The first token of every sequence.
const BOS: u32 = 0;

/// The distribution of the training sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// Number of tokens, the one that begins every sequence (0) included.
    pub(crate) vocab: u32,
    /// Positions a sequence trains on; it is one token longer, because every position has a next token.
    pub(crate) length: usize,
    /// Share of sequences that are repeats.
    pub(crate) repeats: f64,
    /// Smallest and largest period of a repeat, in tokens.
    pub(crate) periods: (u32, u32),
    /// Trigger tokens: the ids 1 to this one.
    pub(crate) triggers: u32,
    /// Chance that an ordinary token of a bigram sequence is followed by a trigger.
    pub(crate) trigger_chance: f64,
}

impl Default for Task {
    fn default() -> Self {
        Self { vocab: 128, length: 64, repeats: 0.6, periods: (4, 32), triggers: 8, trigger_chance: 0.25 }
    }
}

/// The fixed part of the bigram source: four successors for every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bigrams(Vec<[u32; 4]>);

impl Task {
    /// The bigram table of a seed.
    pub(crate) fn bigrams(&self, seed: u64) -> Bigrams {
        let mut random = Random::new(seed, Purpose::Bigrams, 0);
        let row = |_| std::array::from_fn(|_| random.between(1, self.vocab));
        Bigrams((0..self.vocab).map(row).collect())
    }

    /// The sequences of one step, `batch` times `length + 1` tokens. A pure function of seed and step.
    pub(crate) fn batch(&self, bigrams: &Bigrams, seed: u64, step: u32, batch: usize) -> Vec<Vec<u32>> {
        let mut random = Random::new(seed, Purpose::Batches, u64::from(step));
        (0..batch).map(|_| self.sequence(bigrams, &mut random)).collect()
    }

    fn sequence(&self, bigrams: &Bigrams, random: &mut Random) -> Vec<u32> {
        let mut tokens = vec![BOS];
        if random.unit() < self.repeats {
            tokens.extend(self.repeat(random));
        } else {
            tokens.extend(self.chain(bigrams, random));
        }
        tokens
    }

    /// `length` tokens of R R R …
    fn repeat(&self, random: &mut Random) -> Vec<u32> {
        let (shortest, longest) = self.periods;
        let period = random.between(shortest, longest + 1);
        let block: Vec<u32> = (0..period).map(|_| random.between(1, self.vocab)).collect();
        block.into_iter().cycle().take(self.length).collect()
    }

    /// `length` tokens of the Markov chain, the triggers' successors drawn for this sequence.
    fn chain(&self, bigrams: &Bigrams, random: &mut Random) -> Vec<u32> {
        let fresh: Vec<u32> = (0..self.triggers).map(|_| random.between(1, self.vocab)).collect();
        let mut token = random.between(1, self.vocab);
        let mut tokens = Vec::with_capacity(self.length);
        while tokens.len() < self.length {
            tokens.push(token);
            token = match fresh.get(token as usize - 1) {
                Some(&successor) => successor,
                None => self.ordinary_successor(bigrams, token, random),
            };
        }
        tokens
    }

    fn ordinary_successor(&self, bigrams: &Bigrams, token: u32, random: &mut Random) -> u32 {
        if random.unit() < self.trigger_chance {
            return random.between(1, self.triggers + 1);
        }
        let mut left = random.unit();
        let successors = bigrams.0[token as usize];
        for (successor, chance) in successors.into_iter().zip(SUCCESSOR_CHANCES) {
            left -= chance;
            if left < 0.0 {
                return successor;
            }
        }
        // Rounding alone can lead here; the chances sum to one.
        successors[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn draw(task: &Task, seed: u64, step: u32) -> Vec<Vec<u32>> {
        task.batch(&task.bigrams(seed), seed, step, 64)
    }

    #[test]
    fn sequences_have_their_length_begin_with_bos_and_stay_in_the_vocabulary() {
        let task = Task::default();
        for tokens in draw(&task, 1, 0) {
            assert_eq!(tokens.len(), task.length + 1);
            assert_eq!(tokens[0], BOS);
            assert!(tokens[1..].iter().all(|&t| (1..task.vocab).contains(&t)));
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let task = Task::default();
        assert_eq!(draw(&task, 1, 9), draw(&task, 1, 9));
        assert_ne!(draw(&task, 1, 9), draw(&task, 1, 10));
        assert_ne!(draw(&task, 1, 9), draw(&task, 2, 9));
    }

    #[test]
    fn repeats_repeat_with_a_period_in_range_and_periods_vary() {
        let task = Task { repeats: 1.0, ..Task::default() };
        let period = |tokens: &[u32]| (1..tokens.len()).find(|&p| tokens[p..].iter().zip(tokens).all(|(a, b)| a == b));
        let periods: BTreeSet<usize> =
            draw(&task, 1, 0).iter().map(|tokens| period(&tokens[1..]).expect("a period")).collect();
        assert!(periods.iter().all(|&p| p <= 32), "{periods:?}");
        assert!(periods.len() > 10, "{periods:?}");
    }

    #[test]
    fn a_trigger_has_one_successor_in_a_sequence_and_others_in_the_next() {
        let task = Task { repeats: 0.0, ..Task::default() };
        let mut successors_of_1 = BTreeSet::new();
        for tokens in draw(&task, 1, 0) {
            let mut seen = BTreeMap::new();
            for pair in tokens[1..].windows(2).filter(|pair| pair[0] <= task.triggers) {
                assert_eq!(*seen.entry(pair[0]).or_insert(pair[1]), pair[1]);
            }
            successors_of_1.extend(seen.get(&1).copied());
        }
        assert!(successors_of_1.len() > 10);
    }

    #[test]
    fn ordinary_tokens_follow_the_table() {
        let task = Task { repeats: 0.0, trigger_chance: 0.0, ..Task::default() };
        let bigrams = task.bigrams(1);
        for tokens in draw(&task, 1, 0) {
            for pair in tokens[1..].windows(2).filter(|pair| pair[0] > task.triggers) {
                assert!(bigrams.0[pair[0] as usize].contains(&pair[1]));
            }
        }
    }
}
