//! Parts of the messages of [`ProbeError`](super::ProbeError).

/// A word in quotes, a number without.
pub(super) fn shown(word: &str) -> String {
    let is_number = word.ends_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok();
    if is_number { word.to_owned() } else { format!("{word:?}") }
}

/// The first `count` ids.
pub(super) fn ids(count: usize) -> String {
    format!("the ids 0 to {}", count.saturating_sub(1))
}

/// The nearest names as a question; empty without any.
pub(super) fn meant(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!(" (did you mean `{}`?)", nearest.join("`, `")) }
}

#[cfg(test)]
mod tests {
    use super::super::ProbeError;

    #[test]
    fn words_are_quoted_and_numbers_are_not() {
        let message = |word: &str| {
            let allowed = "0 to 5".to_owned();
            ProbeError::NoSuchChoice { field: "layers", word: word.to_owned(), allowed }.to_string()
        };
        assert_eq!(message("-3"), "layers cannot be -3: 0 to 5");
        assert_eq!(message("0.5"), "layers cannot be 0.5: 0 to 5");
        assert_eq!(message("al"), "layers cannot be \"al\": 0 to 5");
        assert_eq!(message("inf"), "layers cannot be \"inf\": 0 to 5");
    }
}
