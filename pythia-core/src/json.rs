//! JSON as Python writes it: with a byte order mark at its head, and with `NaN` and `Infinity` among its numbers.

use std::borrow::Cow;

use crate::content::WrongContent;

/// The words that Python writes for numbers that JSON has not.
const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// The text of a file in the grammar of JSON. Python's words for numbers become strings: a key that nobody reads may
/// have such a value, and one that is read as a number is refused with the word in the message.
///
/// # Errors
/// What the bytes are instead of JSON, where that can be told.
pub(crate) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, WrongContent> {
    if let Some(wrong) = WrongContent::of(bytes) {
        return Err(wrong);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| WrongContent::NotUtf8)?;
    Ok(without_words(text))
}

/// The same text with Python's words in quotes.
fn without_words(text: &str) -> Cow<'_, str> {
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len() + 64), text);
    while let Some(at) = rest.find(['"', 'N', '-', 'I']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match WORDS.iter().find(|word| rest.starts_with(**word)) {
            Some(word) => {
                out.extend(["\"", word, "\""]);
                word.len()
            }
            None => {
                let len = if rest.starts_with('"') { string(rest) } else { 1 };
                out.push_str(&rest[..len]);
                len
            }
        };
        rest = &rest[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Bytes of the string literal at the head of a text; all of the text where it does not end.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|&(_, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_python_are_quoted_outside_of_strings_alone() {
        let cases = [
            (r#"{"a": NaN, "b": [Infinity, -Infinity, -1]}"#, r#"{"a": "NaN", "b": ["Infinity", "-Infinity", -1]}"#),
            (r#"{"NaN": "a \" NaN \\", "b": NaN}"#, r#"{"NaN": "a \" NaN \\", "b": "NaN"}"#),
            ("{\"ä\": \"NaN", "{\"ä\": \"NaN"),
            ("Nothing", "Nothing"),
        ];
        for (given, expected) in cases {
            assert_eq!(text(given.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(text(b"\xEF\xBB\xBF{}").unwrap(), "{}");
        assert_eq!(text(b"{\"a\": \"\xFF\"}"), Err(WrongContent::NotUtf8));
        assert_eq!(text(b"\xFF\xFE{\0}\0"), Err(WrongContent::Utf16));
    }
}
