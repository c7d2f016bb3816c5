//! Countries and their capitals.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, SentencePair, enough, pick};
use super::words::CAPITALS;
use super::{PairError, Task};

const TEMPLATES: &[&str] = &[
    "The capital of {country} is the city of",
    "The capital city of {country} is called",
    "The name of the capital of {country} is",
];

/// The countries whose capital is a single token and that share their number of tokens with another.
pub(super) struct Capitals<'a> {
    lexicon: Lexicon<'a>,
    countries: Vec<Country>,
}

struct Country {
    name: &'static str,
    /// Number of tokens, with a space in front.
    tokens: usize,
    capital: u32,
}

impl Country {
    fn may_replace(&self, other: &Country) -> bool {
        self.tokens == other.tokens && self.capital != other.capital
    }
}

impl<'a> Capitals<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let country = |&(name, capital): &(&'static str, &'static str)| {
            let Some(capital) = lexicon.word(capital)? else { return Ok(None) };
            let tokens = lexicon.encode(&format!(" {name}"))?.len();
            Ok(Some(Country { name, tokens, capital: capital.id }))
        };
        let known =
            CAPITALS.iter().filter_map(|row| country(row).transpose()).collect::<Result<Vec<_>, PairError>>()?;
        let alone = |country: &Country| !known.iter().any(|other| other.may_replace(country));
        let lonely: Vec<bool> = known.iter().map(alone).collect();
        let countries = known.into_iter().zip(lonely).filter(|(_, alone)| !alone).map(|(country, _)| country).collect();
        let what = "countries of equally many tokens whose capitals are single tokens";
        Ok(Self { lexicon, countries: enough(countries, Task::Capitals, 2, what)? })
    }

    /// In `corrupt` stands another country of as many tokens.
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let template = *pick(rng, TEMPLATES);
        let clean = pick(rng, &self.countries);
        let others: Vec<&Country> = self.countries.iter().filter(|other| other.may_replace(clean)).collect();
        let corrupt = *pick(rng, &others);
        self.lexicon.draft(SentencePair {
            template,
            marks: vec![("country", "country")],
            clean: vec![("country", clean.name)],
            corrupt: vec![("country", corrupt.name)],
            answers: vec![clean.capital],
            wrongs: vec![corrupt.capital],
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
        let Made { tokenizer, list } = testing::made(Task::Capitals, 300, true);
        let (mut seen, mut longer) = (std::collections::BTreeSet::new(), 0);
        for pair in &list {
            let at = pair.positions["country"][0];
            for (prompt, answers) in [(&pair.clean, &pair.answers), (&pair.corrupt, &pair.wrongs)] {
                let text = tokenizer.decode(&prompt[..=at]).expect("known ids");
                let capital = tokenizer.decode(answers).expect("known ids");
                let found = CAPITALS.iter().filter(|(country, _)| text.ends_with(&format!(" {country}")));
                assert!(found.clone().any(|(_, expected)| capital == format!(" {expected}")), "{text}: {capital}");
            }
            let differences = testing::differences(pair);
            assert!(differences.iter().all(|place| (at - 2..=at).contains(place)), "{differences:?}");
            seen.insert(pair.answers[0]);
            longer += usize::from(differences.contains(&(at - 1)));
        }
        // Of 37 countries the suite's tokenizer cuts 8 into more than one token; not all of those differ before the
        // last.
        assert!(seen.len() > 33, "{}", seen.len());
        assert!(longer > 15, "{longer}");
    }
}
