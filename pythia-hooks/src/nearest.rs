//! Suggestions for a misspelt name.

/// Only the beginnings of words are compared, so that a hostile word cannot cost time quadratic in its length.
const COMPARED: usize = 128;

/// At most three candidates that are nearest to `word`, best first.
///
/// Distance is Levenshtein's, ignoring case. Candidates at a distance of more than about a third of the length are
/// left out.
///
/// ```
/// let names = ["pythia-70m", "pythia-160m", "pythia-12b"];
/// assert_eq!(pythia_hooks::nearest("pythia-71m", names.into_iter())[0], "pythia-70m");
/// ```
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let compared = |text: &str| text.chars().flat_map(char::to_lowercase).take(COMPARED).collect::<String>();
    let word_compared = compared(word);
    let mut scored: Vec<(usize, &str)> = candidates
        .map(|candidate| (strsim::levenshtein(&word_compared, &compared(candidate)), candidate))
        .filter(|(d, candidate)| *d <= candidate.chars().count().max(word.chars().count()) / 3 + 1)
        .collect();
    scored.sort();
    scored.dedup();
    scored.truncate(3);
    scored.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_nonsense_gets_nothing() {
        let names = ["pythia-70m", "pythia-160m", "pythia-12b"];
        assert_eq!(nearest("Pythia-71M", names.into_iter())[0], "pythia-70m");
        assert!(nearest("xyzzy", names.into_iter()).is_empty());
    }
}
