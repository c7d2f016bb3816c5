//! The pairs of a task, one stream of random numbers for each.

use pythia_core::tokenizer::Tokenizer;
use rand_chacha::ChaCha8Rng;

use crate::prompts::{Domain, Vocabulary, generator};

use super::draft::Draft;
use super::induction::Layout;
use super::{Pair, PairError, PairSource, Pairs, Task};

/// Candidates that are drawn for one pair before its generator gives up.
const ATTEMPTS: usize = 1000;

/// As many pairs as the source asks for, or the reason why there are none.
pub(super) fn pairs(
    task: Task,
    source: &PairSource,
    tokenizer: Option<&Tokenizer>,
    vocabulary: Vocabulary,
    prepend_bos: bool,
    seed: u64,
) -> Result<Pairs, PairError> {
    let maker = Maker::new(task, source, tokenizer, vocabulary)?;
    let pair = |index| maker.pair(task, index, seed).map(|draft| draft.finish(vocabulary, prepend_bos, index));
    let list = (0..source.n).map(pair).collect::<Result<Vec<Pair>, PairError>>()?;
    Ok(Pairs { list, dropped: Vec::new() })
}

/// Tokens in the longest prompt of a task, without a BOS.
pub(super) fn longest(task: Task, half: usize) -> usize {
    match task {
        Task::Induction => Layout::new(half).len(),
        _ => 32,
    }
}

struct Maker {
    layout: Layout,
    choices: u32,
    vocabulary: Vocabulary,
}

impl Maker {
    fn new(
        task: Task,
        source: &PairSource,
        tokenizer: Option<&Tokenizer>,
        vocabulary: Vocabulary,
    ) -> Result<Self, PairError> {
        if task.needs_tokenizer() && tokenizer.is_none() {
            return Err(PairError::TaskNeedsTokenizer { task });
        }
        let layout = Layout::new(source.half());
        Ok(Self { layout, choices: layout.choices(vocabulary)?, vocabulary })
    }

    fn candidate(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        Ok(self.layout.draft(rng, self.choices, self.vocabulary))
    }

    fn pair(&self, task: Task, index: usize, seed: u64) -> Result<Draft, PairError> {
        let mut rng = generator(seed, domain(task), index as u64);
        let mut last = PairError::NoSource;
        for _ in 0..ATTEMPTS {
            let draft = self.candidate(&mut rng);
            match draft.and_then(|draft| draft.check(self.vocabulary.size).map(|()| draft)) {
                Ok(draft) => return Ok(draft),
                Err(reason) => last = reason,
            }
        }
        Err(PairError::NoCandidate { task, index, attempts: ATTEMPTS, last: Box::new(last) })
    }
}

fn domain(task: Task) -> Domain {
    match task {
        Task::Ioi => Domain::PairsIoi,
        Task::GreaterThan => Domain::PairsGreaterThan,
        Task::Agreement => Domain::PairsAgreement,
        Task::Pronoun => Domain::PairsPronoun,
        Task::Capitals => Domain::PairsCapitals,
        Task::Induction => Domain::PairsInduction,
    }
}
