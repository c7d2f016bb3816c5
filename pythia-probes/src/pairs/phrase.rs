//! Sentences as tokens: templates whose words are marked, and words the tokenizer has as single tokens.

use std::collections::BTreeMap;

use pythia_core::tokenizer::Tokenizer;
use rand_chacha::ChaCha8Rng;

use crate::random::below;

use super::draft::Draft;
use super::{PairError, Task};

/// Characters of a text that a message repeats.
const EXCERPT: usize = 40;

/// The beginning of a text, for a message.
pub(super) fn excerpt(text: &str) -> String {
    let kept: String = text.chars().take(EXCERPT).collect();
    if kept.len() < text.len() { kept + "…" } else { kept }
}

/// One of a list's members; the list is not empty.
pub(super) fn pick<'a, T>(rng: &mut ChaCha8Rng, list: &'a [T]) -> &'a T {
    &list[below(rng, list.len() as u32) as usize]
}

/// Two different members of a list, which has at least two; every ordered pair equally often.
pub(super) fn pick_two<'a, T>(rng: &mut ChaCha8Rng, list: &'a [T]) -> (&'a T, &'a T) {
    let first = below(rng, list.len() as u32) as usize;
    let second = below(rng, list.len() as u32 - 1) as usize;
    (&list[first], &list[second + usize::from(second >= first)])
}

/// Whether a list is long enough for its task.
pub(super) fn enough<T>(list: Vec<T>, task: Task, needed: usize, what: &'static str) -> Result<Vec<T>, PairError> {
    let found = list.len();
    if found < needed { Err(PairError::Wordless { task, what, found, needed }) } else { Ok(list) }
}

/// A word that is one token with a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Without the space.
    pub text: &'static str,
    /// The token, space included.
    pub id: u32,
}

/// A model's tokenizer, and how many of its ids the model has.
#[derive(Clone, Copy)]
pub(super) struct Lexicon<'a> {
    tokenizer: &'a Tokenizer,
    vocab: usize,
}

impl<'a> Lexicon<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, vocab: usize) -> Self {
        Self { tokenizer, vocab }
    }

    /// The ids of a text, nothing added.
    pub(super) fn encode(self, text: &str) -> Result<Vec<u32>, PairError> {
        let failed = |error: pythia_core::tokenizer::TokenizerError| error.to_string();
        let ids = self.tokenizer.encode(text).map_err(failed);
        ids.map_err(|reason| PairError::Tokenizer { text: excerpt(text), reason })
    }

    /// The id of a text that is one token of the model.
    pub(super) fn single(self, text: &str) -> Result<Option<u32>, PairError> {
        match self.encode(text)?[..] {
            [id] if (id as usize) < self.vocab => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// A word that is one token with a space in front, or nothing.
    pub(super) fn word(self, text: &'static str) -> Result<Option<Word>, PairError> {
        Ok(self.single(&format!(" {text}"))?.map(|id| Word { text, id }))
    }

    /// Those of the words that are single tokens with a space in front, in their order.
    pub(super) fn words(self, words: &[&'static str]) -> Result<Vec<Word>, PairError> {
        words.iter().filter_map(|text| self.word(text).transpose()).collect()
    }

    /// Those of the couples of which both are single tokens with a space in front.
    pub(super) fn couples(self, couples: &[(&'static str, &'static str)]) -> Result<Vec<(Word, Word)>, PairError> {
        let couple = |&(one, other)| Ok(self.word(one)?.zip(self.word(other)?));
        couples.iter().filter_map(|words| couple(words).transpose()).collect()
    }

    /// The tokens of both sentences.
    pub(super) fn draft(self, sentences: SentencePair<'_>) -> Result<Draft, PairError> {
        let (clean, corrupt) =
            (self.sentence(&sentences, &sentences.clean)?, self.sentence(&sentences, &sentences.corrupt)?);
        if clean.ids.len() != corrupt.ids.len() {
            return Err(PairError::Lengths { clean: clean.ids.len(), corrupt: corrupt.ids.len() });
        }
        let mut positions = BTreeMap::new();
        for ((name, clean), corrupt) in clean.marks.into_iter().zip(corrupt.marks) {
            let name = name.to_owned();
            match (clean, corrupt.1) {
                (Some(at), Some(same)) if at == same => positions.insert(name, at),
                (clean, corrupt) => return Err(PairError::Moved { name, clean, corrupt }),
            };
        }
        let SentencePair { answers, wrongs, .. } = sentences;
        Ok(Draft { clean: clean.ids, corrupt: corrupt.ids, answers, wrongs, positions })
    }

    /// The template with its slots filled, and the last token of every marked slot.
    fn sentence(self, sentences: &SentencePair<'_>, slots: &Slots<'_>) -> Result<Sentence, PairError> {
        let (text, ends) = fill(sentences.template, slots);
        let ids = self.encode(&text)?;
        let mark = |&(name, slot): &(&'static str, &str)| {
            let end = ends.iter().find(|(filled, _)| *filled == slot);
            Ok((name, end.map(|(_, end)| self.last(&text[..*end], &ids)).transpose()?.flatten()))
        };
        let marks = sentences.marks.iter().map(mark).collect::<Result<_, _>>()?;
        Ok(Sentence { ids, marks })
    }

    /// The index of the token in which `start` ends, if a token of the whole ends there.
    fn last(self, start: &str, ids: &[u32]) -> Result<Option<usize>, PairError> {
        let start = self.encode(start)?;
        Ok(ids.starts_with(&start).then(|| start.len().checked_sub(1)).flatten())
    }
}

/// Words by the names of the slots they fill.
pub(super) type Slots<'a> = Vec<(&'static str, &'a str)>;

/// Two sentences of one template.
pub(super) struct SentencePair<'a> {
    /// `{name}` is a slot; braces stand for nothing else.
    pub template: &'static str,
    /// Names of positions with the slot whose last token each is.
    pub marks: Vec<(&'static str, &'static str)>,
    pub clean: Slots<'a>,
    pub corrupt: Slots<'a>,
    pub answers: Vec<u32>,
    pub wrongs: Vec<u32>,
}

struct Sentence {
    ids: Vec<u32>,
    marks: Vec<(&'static str, Option<usize>)>,
}

/// The text of a template, and for every slot in its order the byte where its word ends. A slot without a word keeps
/// its braces.
fn fill<'t>(template: &'t str, slots: &Slots<'_>) -> (String, Vec<(&'t str, usize)>) {
    let (mut text, mut ends) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some((before, slot, after)) = next_slot(rest) {
        let word = slots.iter().find(|(name, _)| *name == slot);
        text.push_str(before);
        match word {
            Some((_, word)) => text.push_str(word),
            None => text.extend(["{", slot, "}"]),
        }
        ends.push((slot, text.len()));
        rest = after;
    }
    text.push_str(rest);
    (text, ends)
}

/// What stands before the first slot, its name, and what stands behind it.
fn next_slot(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (slot, after) = rest.split_once('}')?;
    Some((before, slot, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::testing;
    use crate::random::{Domain, generator};

    #[test]
    fn templates_are_filled_and_say_where_each_word_ends() {
        let filled = fill("The {a} of {b}{a} {c}.", &vec![("a", "été"), ("b", "x")]);
        assert_eq!(filled.0, "The été of xété {c}.");
        assert_eq!(filled.1, [("a", 9), ("b", 14), ("a", 19), ("c", 23)]);
        assert_eq!(fill("no slot } {", &Vec::new()), ("no slot } {".to_owned(), Vec::new()));
    }

    #[test]
    fn two_picks_are_never_the_same_and_every_ordered_pair_is_as_likely() {
        let mut rng = generator(0, Domain::PairsIoi, 0);
        let mut counts = BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(pick_two(&mut rng, &['a', 'b', 'c'])).or_insert(0_i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // The standard deviation of a count is 29.
        assert!(counts.iter().all(|((one, other), count)| one != other && (count - 1000).abs() < 150), "{counts:?}");
    }

    #[test]
    fn a_message_repeats_a_texts_beginning_alone() {
        assert_eq!(excerpt("abc"), "abc");
        assert_eq!(excerpt(&"é".repeat(EXCERPT + 1)), "é".repeat(EXCERPT) + "…");
    }

    #[test]
    fn a_position_that_differs_between_the_two_is_refused() {
        let tokenizer = testing::tokenizer();
        let lexicon = Lexicon::new(&tokenizer, 50_277);
        let pair = |clean, corrupt| SentencePair {
            template: "When {a} and {b} went",
            marks: vec![("a", "a"), ("b", "b")],
            clean,
            corrupt,
            answers: Vec::new(),
            wrongs: Vec::new(),
        };
        let long = "Ouagadougou";
        let draft = lexicon.draft(pair(vec![("a", "Rome"), ("b", long)], vec![("a", long), ("b", "Rome")]));
        assert!(matches!(draft, Err(PairError::Moved { clean: Some(1), corrupt: Some(2..), .. })), "{draft:?}");
        let draft = lexicon.draft(pair(vec![("a", "Rome"), ("b", "Paris")], vec![("a", "Rome"), ("b", long)]));
        assert!(matches!(draft, Err(PairError::Lengths { clean: 5, .. })), "{draft:?}");
        let draft = lexicon.draft(pair(vec![("a", "Rome"), ("b", "Paris")], vec![("a", "Oslo"), ("b", "Paris")]));
        let positions = draft.map(|draft| draft.positions);
        assert_eq!(positions, Ok(BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 3)])));
    }

    #[test]
    fn a_word_cut_into_pieces_or_beyond_the_models_vocabulary_is_no_word() {
        let tokenizer = testing::tokenizer();
        let found = Lexicon::new(&tokenizer, 50_277).words(&["he", "Ouagadougou", "she"]).expect("plain words");
        assert_eq!(found.iter().map(|word| word.text).collect::<Vec<_>>(), ["he", "she"]);
        assert_eq!(tokenizer.token_text(found[1].id).expect("a token"), " she");
        let couples = [("he", "she"), ("he", "Ouagadougou")];
        assert_eq!(Lexicon::new(&tokenizer, 50_277).couples(&couples), Ok(vec![(found[0], found[1])]));
        let (first, last) = (found.iter().min_by_key(|word| word.id), found.iter().map(|word| word.id).max());
        let smaller = Lexicon::new(&tokenizer, last.expect("two words") as usize).words(&["he", "she"]);
        assert_eq!(smaller, Ok(first.into_iter().copied().collect()));
    }
}
