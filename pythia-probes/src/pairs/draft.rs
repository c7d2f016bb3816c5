//! What makes two prompts a pair, the same for files and generators.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Vocabulary;

use super::{Pair, PairError};

/// Two prompts and their answers as they were written or generated: without a BOS, and not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub clean: Vec<u32>,
    pub corrupt: Vec<u32>,
    pub answers: Vec<u32>,
    pub wrongs: Vec<u32>,
    /// Named indices below the prompts' length, without a BOS; for generators.
    pub positions: BTreeMap<String, usize>,
}

impl Draft {
    /// Why the pair cannot be used, if it cannot.
    pub(super) fn check(&self, vocab: usize) -> Result<(), PairError> {
        let (clean, corrupt) = (self.clean.len(), self.corrupt.len());
        if clean != corrupt {
            return Err(PairError::Lengths { clean, corrupt });
        }
        if self.clean == self.corrupt {
            return Err(PairError::Same { len: clean });
        }
        self.check_ids(vocab)
    }

    /// Why the pair cannot be used with noise in place of the corrupt prompt, if it cannot.
    pub(super) fn check_ids(&self, vocab: usize) -> Result<(), PairError> {
        let lists =
            [("clean", &self.clean), ("corrupt", &self.corrupt), ("answer", &self.answers), ("wrong", &self.wrongs)];
        for (key, ids) in lists {
            if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab) {
                return Err(PairError::IdOutOfVocab { key, id, vocab });
            }
        }
        self.check_answers()
    }

    /// Refuses a token that is named twice: it would count twice, or on both sides of a difference.
    fn check_answers(&self) -> Result<(), PairError> {
        let mut seen = BTreeSet::new();
        let twice = self.answers.iter().chain(&self.wrongs).find(|id| !seen.insert(**id));
        twice.map_or(Ok(()), |&id| Err(PairError::AnswerTwice { id }))
    }

    /// The pair of a draft that was checked: with its BOS, the positions shifted by it, and the position `"end"`.
    pub(super) fn finish(self, vocabulary: Vocabulary, prepend_bos: bool, source: usize) -> Pair {
        let shift = usize::from(prepend_bos);
        let prompt = |ids: Vec<u32>| prepend_bos.then_some(vocabulary.bos).into_iter().chain(ids).collect::<Vec<u32>>();
        let (clean, corrupt) = (prompt(self.clean), prompt(self.corrupt));
        let shifted = |(name, at): (String, usize)| (name, vec![at + shift]);
        let mut positions: BTreeMap<_, _> = self.positions.into_iter().map(shifted).collect();
        positions.insert("end".to_owned(), vec![clean.len().saturating_sub(1)]);
        Pair { clean, corrupt, answers: self.answers, wrongs: self.wrongs, positions, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: Vocabulary = Vocabulary { size: 10, bos: 7 };

    fn draft() -> Draft {
        let positions = BTreeMap::from([("subject".to_owned(), 1)]);
        Draft { clean: vec![1, 2, 3], corrupt: vec![1, 4, 3], answers: vec![5, 9], wrongs: vec![6], positions }
    }

    #[test]
    fn a_bos_shifts_every_position_and_end_is_the_last() {
        let positions =
            |subject, end| BTreeMap::from([("end".to_owned(), vec![end]), ("subject".to_owned(), vec![subject])]);
        let with = draft().finish(VOCABULARY, true, 3);
        assert_eq!((&with.clean[..], &with.corrupt[..]), (&[7, 1, 2, 3][..], &[7, 1, 4, 3][..]));
        assert_eq!((with.positions, with.source), (positions(2, 3), 3));
        let without = draft().finish(VOCABULARY, false, 3);
        assert_eq!((&without.clean[..], without.positions), (&[1, 2, 3][..], positions(1, 2)));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_datum() {
        assert_eq!(draft().check(10), Ok(()));
        assert_eq!(draft().check(9), Err(PairError::IdOutOfVocab { key: "answer", id: 9, vocab: 9 }));
        let check = |change: fn(&mut Draft)| {
            let mut draft = draft();
            change(&mut draft);
            draft.check(10)
        };
        assert_eq!(check(|draft| draft.corrupt.push(1)), Err(PairError::Lengths { clean: 3, corrupt: 4 }));
        assert_eq!(check(|draft| draft.corrupt[1] = 2), Err(PairError::Same { len: 3 }));
        let beyond = |key| Err(PairError::IdOutOfVocab { key, id: 10, vocab: 10 });
        assert_eq!(check(|draft| draft.clean[0] = 10), beyond("clean"));
        assert_eq!(check(|draft| draft.corrupt[0] = 10), beyond("corrupt"));
        assert_eq!(check(|draft| draft.wrongs[0] = 10), beyond("wrong"));
        assert_eq!(check(|draft| draft.wrongs[0] = 9), Err(PairError::AnswerTwice { id: 9 }));
        assert_eq!(check(|draft| draft.answers[0] = 9), Err(PairError::AnswerTwice { id: 9 }));
        assert_eq!(check(|draft| draft.wrongs.clear()), Ok(()));
    }
}
