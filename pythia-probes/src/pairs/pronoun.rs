//! The pronoun that goes with a given name.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, SentencePair, Word, enough, pick};
use super::words::{FEMALE, MALE, PRAISES};
use super::{PairError, Task};

const TEMPLATES: &[&str] =
    &["So {name} is {praise}, isn't", "Well, {name} is {praise}, isn't", "You know, {name} was {praise}, wasn't"];

/// The names and pronouns that are single tokens.
pub(super) struct Pronoun<'a> {
    lexicon: Lexicon<'a>,
    female: Vec<Word>,
    male: Vec<Word>,
    she: u32,
    he: u32,
}

impl<'a> Pronoun<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let task = Task::Pronoun;
        let pronouns =
            enough(lexicon.couples(&[("she", "he")])?, task, 1, "couples \"she\" and \"he\" of single tokens")?;
        let (she, he) = (pronouns[0].0.id, pronouns[0].1.id);
        let names = |words, what| enough(lexicon.words(words)?, task, 1, what);
        let female = names(FEMALE, "names of women that are single tokens")?;
        Ok(Self { lexicon, female, male: names(MALE, "names of men that are single tokens")?, she, he })
    }

    /// In `corrupt` stands a name of the other list.
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let (template, praise) = (*pick(rng, TEMPLATES), *pick(rng, PRAISES));
        let woman = (pick(rng, &self.female), self.she);
        let man = (pick(rng, &self.male), self.he);
        let ((clean, answer), (corrupt, wrong)) = *pick(rng, &[(woman, man), (man, woman)]);
        let slots = |name: &Word| vec![("name", name.text), ("praise", praise)];
        self.lexicon.draft(SentencePair {
            template,
            marks: vec![("name", "name")],
            clean: slots(clean),
            corrupt: slots(corrupt),
            answers: vec![answer],
            wrongs: vec![wrong],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pairs::Task;
    use crate::pairs::testing::{self, Made};
    use crate::pairs::words::{FEMALE, MALE};

    #[test]
    fn the_answer_goes_with_the_name() {
        let Made { tokenizer, list } = testing::made(Task::Pronoun, 200, true);
        let name = |id: u32| tokenizer.token_text(id).expect("a token").trim_start().to_owned();
        let [female, male] = [" she", " he"].map(|word| tokenizer.encode(word).expect("a word"));
        let mut women = 0;
        for pair in &list {
            let at = pair.positions["name"][0];
            assert_eq!(testing::differences(pair), [at]);
            let (clean, corrupt) = (name(pair.clean[at]), name(pair.corrupt[at]));
            let (she, he) = (FEMALE.contains(&clean.as_str()), FEMALE.contains(&corrupt.as_str()));
            assert!(she != he && MALE.contains(&if she { corrupt } else { clean }.as_str()));
            let (answer, wrong) = if she { (&female, &male) } else { (&male, &female) };
            assert_eq!((&pair.answers, &pair.wrongs), (answer, wrong));
            assert!(tokenizer.decode(&pair.clean).expect("known ids").ends_with("n't"));
            women += usize::from(she);
        }
        assert!((65..135).contains(&women), "{women}");
    }
}
