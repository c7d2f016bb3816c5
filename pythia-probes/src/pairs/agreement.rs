//! Subject-verb agreement, also across a noun of its own number that stands between the two.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, SentencePair, Word, enough, pick, pick_two};
use super::words::{NOUNS, PREPOSITIONS, VERBS};
use super::{PairError, Task};

const TEMPLATES: &[&str] = &["The {subject}", "The {subject} {preposition} the {other}"];

/// The words of this task that are single tokens.
pub(super) struct Agreement<'a> {
    lexicon: Lexicon<'a>,
    nouns: Vec<(Word, Word)>,
    prepositions: Vec<Word>,
    singular: Vec<u32>,
    plural: Vec<u32>,
}

impl<'a> Agreement<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let (task, prepositions) = (Task::Agreement, lexicon.words(PREPOSITIONS)?);
        let verbs = enough(lexicon.couples(VERBS)?, task, 1, "verbs of which both numbers are single tokens")?;
        let (singular, plural) = verbs.into_iter().map(|(one, many)| (one.id, many.id)).unzip();
        Ok(Self {
            lexicon,
            nouns: enough(lexicon.couples(NOUNS)?, task, 2, "nouns of which both numbers are single tokens")?,
            prepositions: enough(prepositions, task, 1, "prepositions that are single tokens")?,
            singular,
            plural,
        })
    }

    /// In `corrupt` the subject has the other number, and nothing else changes. All verbs of a number are right.
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let template = *pick(rng, TEMPLATES);
        let (subject, other) = pick_two(rng, &self.nouns);
        let preposition = pick(rng, &self.prepositions);
        let other = pick(rng, &[other.0, other.1]).text;
        let slots = |subject| vec![("subject", subject), ("preposition", preposition.text), ("other", other)];
        let (one, many) = ((subject.0, &self.singular), (subject.1, &self.plural));
        let ((clean, answers), (corrupt, wrongs)) = *pick(rng, &[(one, many), (many, one)]);
        self.lexicon.draft(SentencePair {
            template,
            marks: vec![("subject", "subject")],
            clean: slots(clean.text),
            corrupt: slots(corrupt.text),
            answers: answers.clone(),
            wrongs: wrongs.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pairs::Task;
    use crate::pairs::testing::{self, Made};
    use crate::pairs::words::NOUNS;

    #[test]
    fn the_verbs_have_the_subjects_number() {
        let Made { tokenizer, list } = testing::made(Task::Agreement, 300, true);
        let text = |id: u32| tokenizer.token_text(id).expect("a token");
        let mut kinds = std::collections::BTreeSet::new();
        for pair in &list {
            let (at, end) = (pair.positions["subject"][0], pair.positions["end"][0]);
            assert_eq!(testing::differences(pair), [at]);
            let (clean, corrupt) = (text(pair.clean[at]), text(pair.corrupt[at]));
            let find = |one: &str, many: &str| {
                NOUNS
                    .iter()
                    .any(|nouns| (format!(" {}", nouns.0), format!(" {}", nouns.1)) == (one.into(), many.into()))
            };
            let singular = find(&clean, &corrupt);
            assert!(singular || find(&corrupt, &clean), "{clean}, {corrupt}");
            let (one, many) = (&[" is", " was", " has", " does"], &[" are", " were", " have", " do"]);
            let (answers, wrongs) = if singular { (one, many) } else { (many, one) };
            assert_eq!(pair.answers.iter().map(|id| text(*id)).collect::<Vec<_>>(), answers);
            assert_eq!(pair.wrongs.iter().map(|id| text(*id)).collect::<Vec<_>>(), wrongs);
            assert!(end == at || end == at + 3, "{at} to {end}");
            kinds.insert((singular, end == at, text(pair.clean[end]).ends_with('s')));
        }
        // Both numbers alone, and both with an attractor of either number.
        assert!(kinds.len() >= 6, "{kinds:?}");
    }
}
