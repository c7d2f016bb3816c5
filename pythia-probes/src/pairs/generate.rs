//! The pairs of a task: one stream of random numbers for each pair, and candidates from it until one can be used.

use pythia_core::tokenizer::Tokenizer;
use rand_chacha::ChaCha8Rng;

use crate::random::{Domain, Vocabulary, generator};

use super::agreement::Agreement;
use super::capitals::Capitals;
use super::draft::Draft;
use super::greater_than::GreaterThan;
use super::induction::{Corruption, Induction};
use super::ioi::Ioi;
use super::phrase::Lexicon;
use super::pronoun::Pronoun;
use super::{PairError, Task};

/// Candidates that are drawn for one pair before its generator gives up.
const ATTEMPTS: usize = 1000;

/// A task with the words and ids it is made of.
pub(super) enum Maker<'a> {
    Ioi(Ioi<'a>),
    GreaterThan(GreaterThan<'a>),
    Agreement(Agreement<'a>),
    Pronoun(Pronoun<'a>),
    Capitals(Capitals<'a>),
    Induction(Induction),
    InductionMatch(Induction),
}

impl<'a> Maker<'a> {
    /// Looks up the words of a task, and refuses it if they are too few; `half` is the size of random tokens.
    pub(super) fn new(
        task: Task,
        half: usize,
        tokenizer: Option<&'a Tokenizer>,
        vocabulary: Vocabulary,
    ) -> Result<Self, PairError> {
        let lexicon = tokenizer.map(|tokenizer| Lexicon::new(tokenizer, vocabulary.size));
        let lexicon = lexicon.ok_or(PairError::TaskNeedsTokenizer { task });
        match task {
            Task::Ioi => Ioi::new(lexicon?).map(Maker::Ioi),
            Task::GreaterThan => GreaterThan::new(lexicon?).map(Maker::GreaterThan),
            Task::Agreement => Agreement::new(lexicon?).map(Maker::Agreement),
            Task::Pronoun => Pronoun::new(lexicon?).map(Maker::Pronoun),
            Task::Capitals => Capitals::new(lexicon?).map(Maker::Capitals),
            Task::Induction => Induction::new(half, Corruption::Successor, vocabulary).map(Maker::Induction),
            Task::InductionMatch => Induction::new(half, Corruption::Match, vocabulary).map(Maker::InductionMatch),
        }
    }

    /// Pair number `index`: the first candidate of its own stream that can be used.
    pub(super) fn pair(&self, vocab: usize, index: usize, seed: u64) -> Result<Draft, PairError> {
        let mut rng = generator(seed, self.domain(), index as u64);
        let mut attempt = || {
            let draft = self.candidate(&mut rng)?;
            draft.check(vocab).map(|()| draft)
        };
        let found = (1..ATTEMPTS).fold(attempt(), |found, _| found.or_else(|_| attempt()));
        let (task, attempts) = (self.task(), ATTEMPTS);
        found.map_err(|last| PairError::NoCandidate { task, index, attempts, last: Box::new(last) })
    }

    fn candidate(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        match self {
            Maker::Ioi(maker) => maker.draft(rng),
            Maker::GreaterThan(maker) => maker.draft(rng),
            Maker::Agreement(maker) => maker.draft(rng),
            Maker::Pronoun(maker) => maker.draft(rng),
            Maker::Capitals(maker) => maker.draft(rng),
            Maker::Induction(maker) | Maker::InductionMatch(maker) => Ok(maker.draft(rng)),
        }
    }

    fn task(&self) -> Task {
        match self {
            Maker::Ioi(_) => Task::Ioi,
            Maker::GreaterThan(_) => Task::GreaterThan,
            Maker::Agreement(_) => Task::Agreement,
            Maker::Pronoun(_) => Task::Pronoun,
            Maker::Capitals(_) => Task::Capitals,
            Maker::Induction(_) => Task::Induction,
            Maker::InductionMatch(_) => Task::InductionMatch,
        }
    }

    fn domain(&self) -> Domain {
        match self {
            Maker::Ioi(_) => Domain::PairsIoi,
            Maker::GreaterThan(_) => Domain::PairsGreaterThan,
            Maker::Agreement(_) => Domain::PairsAgreement,
            Maker::Pronoun(_) => Domain::PairsPronoun,
            Maker::Capitals(_) => Domain::PairsCapitals,
            Maker::Induction(_) | Maker::InductionMatch(_) => Domain::PairsInduction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::testing;

    #[test]
    fn a_generator_gives_up_with_the_last_reason() {
        let tokenizer = testing::tokenizer();
        let maker = Maker::new(Task::Ioi, 2, Some(&tokenizer), testing::SUITE).expect("the words are there");
        // A vocabulary that lacks every word: no candidate passes.
        let Err(PairError::NoCandidate { task: Task::Ioi, index: 3, attempts: ATTEMPTS, last }) = maker.pair(1, 3, 0)
        else {
            panic!("no pair has the id 0 alone");
        };
        assert!(matches!(*last, PairError::IdOutOfVocab { key: "clean", vocab: 1, .. }), "{last}");
    }

    #[test]
    fn a_tokenizer_of_single_bytes_has_no_words_and_says_so() {
        // Byte-level, without one merge: every word falls into its letters.
        let letters = ('!'..='~').chain(['Ġ']).zip(0..).map(|(letter, id)| (letter.to_string(), id)).collect();
        let tokenizer = testing::byte_level(&letters, &[]);
        let vocabulary = Vocabulary { size: 95, bos: 94 };
        for task in Task::ALL.into_iter().filter(|task| task.needs_tokenizer()) {
            let error = Maker::new(task, 2, Some(&tokenizer), vocabulary).err();
            assert!(matches!(error, Some(PairError::Wordless { found: 0, .. })), "{task}: {error:?}");
        }
    }
}
