//! Indirect object identification: two names, of which the one that is not repeated is given something.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, SentencePair, Word, enough, pick, pick_two};
use super::words::{FEMALE, MALE, OBJECTS, PLACES};
use super::{PairError, Task};

/// `{a}` and `{b}` are the two names in their order, `{s}` the one who gives.
const TEMPLATES: &[&str] = &[
    "When {a} and {b} went to the {place}, {s} gave a {object} to",
    "Then, {a} and {b} went to the {place}. {s} gave a {object} to",
    "After {a} and {b} had left the {place}, {s} handed a {object} to",
    "While {a} and {b} were working at the {place}, {s} offered a {object} to",
    "Yesterday, {a} and {b} met at the {place}, and {s} brought a {object} to",
    "Because {a} and {b} had a long talk at the {place}, {s} sent a {object} to",
];

/// The words of this task that are single tokens.
pub(super) struct Ioi<'a> {
    lexicon: Lexicon<'a>,
    names: Vec<Word>,
    places: Vec<Word>,
    objects: Vec<Word>,
}

impl<'a> Ioi<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let names = lexicon.words(&[FEMALE, MALE].concat())?;
        let list = |words, what| enough(lexicon.words(words)?, Task::Ioi, 1, what);
        Ok(Self {
            lexicon,
            names: enough(names, Task::Ioi, 2, "names that are single tokens")?,
            places: list(PLACES, "places that are single tokens")?,
            objects: list(OBJECTS, "objects that are single tokens")?,
        })
    }

    /// In `corrupt` the other one gives, so that right and wrong change places. Both orders of the two names are as
    /// likely: `io s1 … s2` (ABBA's kind) and `s1 io … s2` (BABA's).
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let template = *pick(rng, TEMPLATES);
        let (io, subject) = pick_two(rng, &self.names);
        let (place, object) = (pick(rng, &self.places), pick(rng, &self.objects));
        let [first, second] = *pick(rng, &[["io", "s1"], ["s1", "io"]]);
        let (a, b) = if first == "io" { (io, subject) } else { (subject, io) };
        let slots = |giver: &Word| {
            vec![("a", a.text), ("b", b.text), ("s", giver.text), ("place", place.text), ("object", object.text)]
        };
        self.lexicon.draft(SentencePair {
            template,
            marks: vec![(first, "a"), (second, "b"), ("s2", "s")],
            clean: slots(subject),
            corrupt: slots(io),
            answers: vec![io.id],
            wrongs: vec![subject.id],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pairs::Task;
    use crate::pairs::testing::{self, Made};

    #[test]
    fn the_answer_is_the_name_that_is_not_repeated_and_the_corrupt_giver_is_the_other_one() {
        let Made { tokenizer, list } = testing::made(Task::Ioi, 300, true);
        let mut orders = [0, 0];
        for pair in &list {
            let at = |name: &str| pair.positions[name][0];
            assert_eq!(pair.positions.len(), 4);
            assert_eq!([pair.clean[at("io")]], pair.answers[..]);
            assert_eq!([pair.clean[at("s1")]], pair.wrongs[..]);
            assert_eq!(pair.clean[at("s2")], pair.clean[at("s1")]);
            assert_eq!(pair.corrupt[at("s2")], pair.clean[at("io")]);
            assert_eq!(testing::differences(pair), [at("s2")]);
            assert_eq!(pair.clean.iter().filter(|id| **id == pair.answers[0]).count(), 1);
            assert_eq!(tokenizer.token_text(pair.clean[at("end")]).expect("a token"), " to");
            assert!(at("s1").max(at("io")) < at("s2") && at("s2") < at("end"));
            orders[usize::from(at("s1") < at("io"))] += 1;
        }
        // Of 300, the standard deviation is 9.
        assert!(orders.iter().all(|count| (105..195).contains(count)), "{orders:?}");
    }

    #[test]
    fn every_template_and_many_names_occur() {
        let Made { tokenizer, list } = testing::made(Task::Ioi, 300, false);
        let first = |pair: &crate::pairs::Pair| tokenizer.token_text(pair.clean[0]).expect("a token");
        let starts: std::collections::BTreeSet<String> = list.iter().map(first).collect();
        assert_eq!(starts.len(), super::TEMPLATES.len(), "{starts:?}");
        let names: std::collections::BTreeSet<u32> = list.iter().map(|pair| pair.answers[0]).collect();
        assert!(names.len() > 70, "{}", names.len());
    }
}
