//! Suggestions for a misspelt name.

/// The candidates that `word` most likely meant, best first, at most three.
///
/// Distance is Levenshtein's, ignoring case; a candidate further off than about a third of its length is
/// left out, so that nonsense gets no suggestion at all.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let word = word.to_lowercase();
    let mut scored: Vec<(usize, &str)> = candidates
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(d, candidate)| *d <= candidate.chars().count().max(word.chars().count()) / 3 + 1)
        .collect();
    scored.sort();
    scored.dedup();
    scored.truncate(3);
    scored.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Levenshtein distance: insertions, deletions and substitutions that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    // Only a prefix is compared, so that a hostile word cannot make this quadratic in its length.
    let b: Vec<char> = b.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, d) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn the_best_comes_first_and_nonsense_gets_nothing() {
        let names = ["pythia-70m", "pythia-160m", "pythia-12b"];
        assert_eq!(nearest("pythia-71m", names.into_iter())[0], "pythia-70m");
        assert!(nearest("xyzzy", names.into_iter()).is_empty());
    }
}
