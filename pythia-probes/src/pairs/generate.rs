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

/// Draws candidates of a task.
type DraftOf<'a> = Box<dyn Fn(&mut ChaCha8Rng) -> Result<Draft, PairError> + 'a>;

/// A task with the words and ids it is made of.
pub(super) struct Maker<'a> {
    task: Task,
    draft: DraftOf<'a>,
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
        let random = |corruption| {
            let maker = Induction::new(half, corruption, vocabulary)?;
            Ok(draft_of(maker, |maker, rng| Ok(maker.draft(rng))))
        };
        let draft = match task {
            Task::Ioi => draft_of(Ioi::new(lexicon?)?, Ioi::draft),
            Task::GreaterThan => draft_of(GreaterThan::new(lexicon?)?, GreaterThan::draft),
            Task::Agreement => draft_of(Agreement::new(lexicon?)?, Agreement::draft),
            Task::Pronoun => draft_of(Pronoun::new(lexicon?)?, Pronoun::draft),
            Task::Capitals => draft_of(Capitals::new(lexicon?)?, Capitals::draft),
            Task::Induction => random(Corruption::Successor)?,
            Task::InductionMatch => random(Corruption::Match)?,
        };
        Ok(Maker { task, draft })
    }

    /// Pair number `index`: the first candidate of its own stream that can be used.
    pub(super) fn pair(&self, vocab: usize, index: usize, seed: u64) -> Result<Draft, PairError> {
        let mut rng = generator(seed, domain(self.task), index as u64);
        let mut attempt = || {
            let draft = (self.draft)(&mut rng)?;
            draft.check(vocab).map(|()| draft)
        };
        let found = (1..ATTEMPTS).fold(attempt(), |found, _| found.or_else(|_| attempt()));
        let (task, attempts) = (self.task, ATTEMPTS);
        found.map_err(|last| PairError::NoCandidate { task, index, attempts, last: Box::new(last) })
    }
}

fn draft_of<'a, M: 'a>(maker: M, draft: impl Fn(&M, &mut ChaCha8Rng) -> Result<Draft, PairError> + 'a) -> DraftOf<'a> {
    Box::new(move |rng| draft(&maker, rng))
}

/// Both tasks of random tokens draw the same tokens.
fn domain(task: Task) -> Domain {
    match task {
        Task::Ioi => Domain::PairsIoi,
        Task::GreaterThan => Domain::PairsGreaterThan,
        Task::Agreement => Domain::PairsAgreement,
        Task::Pronoun => Domain::PairsPronoun,
        Task::Capitals => Domain::PairsCapitals,
        Task::Induction | Task::InductionMatch => Domain::PairsInduction,
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
        let random = [Task::Induction, Task::InductionMatch];
        for task in Task::ALL.into_iter().filter(|task| !random.contains(task)) {
            let error = Maker::new(task, 2, Some(&tokenizer), vocabulary).err();
            assert!(matches!(error, Some(PairError::Wordless { found: 0, .. })), "{task}: {error:?}");
        }
    }
}
