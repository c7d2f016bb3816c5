//! Countries and their capitals.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, Scene, enough, pick, pick_two};
use super::words::CAPITALS;
use super::{PairError, Task};

const TEMPLATES: &[&str] = &[
    "The capital of {country} is the city of",
    "The capital city of {country} is called",
    "The name of the capital of {country} is",
];

/// The countries whose capital is a single token.
pub(super) struct Capitals<'a> {
    lexicon: Lexicon<'a>,
    countries: Vec<(&'static str, u32)>,
}

impl<'a> Capitals<'a> {
    pub fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let known = |&(country, capital)| Ok(lexicon.word(capital)?.map(|word| (country, word.id)));
        let known = CAPITALS.iter().filter_map(|row| known(row).transpose()).collect::<Result<Vec<_>, PairError>>()?;
        Ok(Self { lexicon, countries: enough(known, Task::Capitals, 2, "capitals that are single tokens")? })
    }

    /// In `corrupt` stands another country. The two may have different numbers of tokens, and the draft is refused then.
    pub fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let template = *pick(rng, TEMPLATES);
        let (clean, corrupt) = pick_two(rng, &self.countries);
        self.lexicon.draft(Scene {
            template,
            marks: vec![("country", "country")],
            clean: vec![("country", clean.0)],
            corrupt: vec![("country", corrupt.0)],
            answers: vec![clean.1],
            wrongs: vec![corrupt.1],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pairs::Task;
    use crate::pairs::testing::{self, Made};
    use crate::pairs::words::CAPITALS;

    #[test]
    fn each_country_has_its_capital() {
        let Some(Made { tokenizer, list }) = testing::made(Task::Capitals, 300, true) else { return };
        let mut lengths = std::collections::BTreeSet::new();
        for pair in &list {
            let at = pair.positions["country"];
            for (prompt, answers) in [(&pair.clean, &pair.answers), (&pair.corrupt, &pair.wrongs)] {
                let text = tokenizer.decode(&prompt[..=at]).expect("known ids");
                let capital = tokenizer.decode(answers).expect("known ids");
                let found = CAPITALS.iter().filter(|(country, _)| text.ends_with(&format!(" {country}")));
                assert!(found.clone().any(|(_, expected)| capital == format!(" {expected}")), "{text}: {capital}");
            }
            let differences = testing::differences(pair);
            assert_eq!(differences.last(), Some(&at), "{differences:?}");
            lengths.insert(tokenizer.decode(&pair.clean[..=at]).expect("known ids"));
        }
        assert!(
            lengths.iter().any(|text| text.ends_with("New Zealand") || text.ends_with("Saudi Arabia")),
            "{lengths:?}"
        );
    }
}
