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

/// How prompts that are not given one by one are made shorter.
pub(super) fn shorter(field: &str) -> &'static str {
    match field {
        "pairs.half_len" => "make half_len smaller",
        "pairs" => "take a task of shorter sentences, or a model with a longer context",
        _ => "make half_len or repeats smaller",
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProbeError;

    #[test]
    fn a_remedy_names_keys_that_the_field_has() {
        let message = |field| ProbeError::TooLong { field, len: 201, n_ctx: 128 }.to_string();
        let start = "a prompt of 201 tokens (BOS included) does not fit a context of 128: ";
        assert_eq!(message("prompts"), format!("{start}make half_len or repeats smaller"));
        assert_eq!(message("pairs.half_len"), format!("{start}make half_len smaller"));
        assert!(!message("pairs").contains("half_len"));
    }

    #[test]
    fn one_token_is_no_plural() {
        let short = ProbeError::PromptTooShort { field: "prompts.tokens", prompt: 0, len: 1 };
        assert!(short.to_string().contains("has 1 token (BOS included)"), "{short}");
    }

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
