//! Numbers of things in words, for messages.

/// A number of tokens.
pub(crate) fn tokens(count: usize) -> String {
    if count == 1 { "1 token".to_owned() } else { format!("{count} tokens") }
}
