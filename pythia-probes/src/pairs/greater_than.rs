//! Greater-Than: an event that ends in the century in which it began ends in a later year.

use rand_chacha::ChaCha8Rng;

use super::draft::Draft;
use super::phrase::{Lexicon, SentencePair, Word, enough, pick};
use super::words::EVENTS;
use super::{PairError, Task};

const TEMPLATE: &str = "The {event} lasted from the year {xx}{yy} to the year {xx}";
/// First two digits of the years.
const CENTURIES: std::ops::RangeInclusive<u32> = 11..=19;
/// Last two digits: at least one is greater, and none is the corrupt prompt's 01.
const YEARS: std::ops::RangeInclusive<usize> = 2..=98;

/// What this task is made of where the tokenizer cuts years into two tokens of two digits.
pub(super) struct GreaterThan<'a> {
    lexicon: Lexicon<'a>,
    events: Vec<Word>,
    /// First two digits, and the last two as a number.
    years: Vec<(String, usize)>,
    /// The tokens "00" to "99" that there are, with their number.
    digits: Vec<(usize, u32)>,
}

impl<'a> GreaterThan<'a> {
    pub(super) fn new(lexicon: Lexicon<'a>) -> Result<Self, PairError> {
        let events = enough(lexicon.words(EVENTS)?, Task::GreaterThan, 1, "events that are single tokens")?;
        let digit = |number| Ok(lexicon.single(&two(number))?.map(|id| (number, id)));
        let digits: Vec<_> =
            (0..100).filter_map(|number| digit(number).transpose()).collect::<Result<_, PairError>>()?;
        let years = enough(years(lexicon, &digits)?, Task::GreaterThan, 1, "years that are two tokens of two digits")?;
        Ok(Self { lexicon, events, years, digits })
    }

    /// In `corrupt` it begins in the year 01 of the same century, after which nearly every year is right.
    pub(super) fn draft(&self, rng: &mut ChaCha8Rng) -> Result<Draft, PairError> {
        let event = pick(rng, &self.events);
        let (century, year) = pick(rng, &self.years);
        let digits = two(*year);
        let slots = |yy| vec![("event", event.text), ("xx", century.as_str()), ("yy", yy)];
        let (later, others): (Vec<_>, Vec<_>) = self.digits.iter().partition(|(number, _)| number > year);
        let ids = |digits: Vec<(usize, u32)>| digits.into_iter().map(|(_, id)| id).collect();
        self.lexicon.draft(SentencePair {
            template: TEMPLATE,
            marks: vec![("yy", "yy")],
            clean: slots(&digits),
            corrupt: slots("01"),
            answers: ids(later),
            wrongs: ids(others),
        })
    }
}

/// The years that are two tokens in a text, of centuries whose year 01 is too, and with a later year to answer with.
fn years(lexicon: Lexicon<'_>, digits: &[(usize, u32)]) -> Result<Vec<(String, usize)>, PairError> {
    let mut years = Vec::new();
    for century in CENTURIES.map(|century| century.to_string()) {
        let Some(front) = lexicon.single(&format!(" {century}"))? else { continue };
        let splits = |number: usize| -> Result<bool, PairError> {
            let Some((_, back)) = digits.iter().find(|(digits, _)| *digits == number) else { return Ok(false) };
            Ok(lexicon.encode(&format!(" {century}{}", two(number)))? == [front, *back])
        };
        if !splits(1)? {
            continue;
        }
        for year in YEARS {
            if splits(year)? && digits.iter().any(|(number, _)| *number > year) {
                years.push((century.clone(), year));
            }
        }
    }
    Ok(years)
}

fn two(number: usize) -> String {
    format!("{number:02}")
}

#[cfg(test)]
mod tests {
    use crate::pairs::Task;
    use crate::pairs::testing::{self, Made};

    #[test]
    fn right_are_the_later_years_and_wrong_all_others() {
        let Made { tokenizer, list } = testing::made(Task::GreaterThan, 200, true);
        let number = |id: u32| tokenizer.token_text(id).expect("a token").parse::<u32>().expect("two digits");
        for pair in &list {
            let (yy, end) = (pair.positions["yy"][0], pair.positions["end"][0]);
            assert_eq!(pair.positions.len(), 2);
            assert_eq!(testing::differences(pair), [yy]);
            let year = number(pair.clean[yy]);
            assert!((2..=98).contains(&year));
            assert_eq!(number(pair.corrupt[yy]), 1);
            assert_eq!(pair.clean[yy - 1], pair.clean[end]);
            let answers: Vec<u32> = pair.answers.iter().map(|id| number(*id)).collect();
            let wrongs: Vec<u32> = pair.wrongs.iter().map(|id| number(*id)).collect();
            assert_eq!(answers, (year + 1..100).collect::<Vec<u32>>());
            assert_eq!(wrongs, (0..=year).collect::<Vec<u32>>());
        }
    }
}
