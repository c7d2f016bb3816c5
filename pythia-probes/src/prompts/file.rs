//! Prompts written in a file, one per line as JSON.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::MAX_BATCH;
use crate::error::PromptsError;
use crate::pairs::{Tokens, Written, column_and_reason};

/// A prompt as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `{"text": "…"}`
    Text(String),
    /// `{"tokens": [1, 2]}`
    Tokens(Vec<u32>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "text")]
    text: Option<String>,
    #[serde(default, deserialize_with = "tokens")]
    tokens: Option<Vec<u32>>,
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match from.deserialize_any(Tokens { key: "text" })? {
        Written::Text(text) => Ok(Some(text)),
        Written::Texts(_) | Written::Ids(_) => Err(D::Error::custom("text is a list, but a prompt is one text")),
    }
}

fn tokens<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u32>>, D::Error> {
    match from.deserialize_any(Tokens { key: "tokens" })? {
        Written::Ids(ids) => Ok(Some(ids)),
        Written::Text(_) | Written::Texts(_) => Err(D::Error::custom("tokens has texts, but it is a list of ids")),
    }
}

/// The prompts of a file, in its order; empty lines are left out. `path` is what errors call it.
///
/// # Errors
/// A line that is not a prompt, no prompt, and more of them than are run at once.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Line>, PromptsError> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let found = lines.clone().count();
    if found == 0 {
        return Err(PromptsError::Empty { path: path.into() });
    }
    if found > MAX_BATCH {
        let place = path.display().to_string();
        return Err(PromptsError::TooMany { field: "prompts.file", place, found, most: MAX_BATCH });
    }
    let refused = |index, (column, reason)| PromptsError::Line { path: path.into(), line: index + 1, column, reason };
    lines.map(|(index, line)| prompt(line).map_err(|reason| refused(index, reason))).collect()
}

/// The prompt of a line, or the column and the reason why it is none.
fn prompt(line: &str) -> Result<Line, (usize, String)> {
    let expected = "a prompt is a JSON object, {\"text\": \"…\"} or {\"tokens\": [1, 2]}".to_owned();
    // Serde would take a list for a struct's fields in their order.
    if !line.trim_start().starts_with('{') {
        return Err((1, expected));
    }
    let Fields { text, tokens } = serde_json::from_str(line).map_err(|error| column_and_reason(&error))?;
    match (text, tokens) {
        (Some(text), None) => Ok(Line::Text(text)),
        (None, Some(ids)) => Ok(Line::Tokens(ids)),
        (Some(_), Some(_)) | (None, None) => Err((1, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_or_tokens_and_empty_lines_are_left_out() {
        let text = "\u{feff}{\"text\": \"cab\"}\r\n\n  \n{\"tokens\": [3, 1]}\n";
        assert_eq!(read(Path::new("p"), text), Ok(vec![Line::Text("cab".into()), Line::Tokens(vec![3, 1])]));
        let none = read(Path::new("p.jsonl"), "\n").expect_err("every line is empty");
        assert_eq!(none.to_string(), "p.jsonl has no prompts: every line is empty");
        let many = read(Path::new("p.jsonl"), &"{\"tokens\": [1]}\n".repeat(70_000)).expect_err("too many");
        assert_eq!(many.to_string(), "p.jsonl has 70000 prompts, but at most 65536 are run at once");
    }

    #[test]
    fn a_line_that_is_no_prompt_is_named() {
        for (bad, reason) in [
            ("{}", "1: a prompt is a JSON object, {\"text\": \"…\"} or {\"tokens\": [1, 2]}"),
            ("{\"text\": \"a\", \"tokens\": [1]}", "1: a prompt is a JSON object"),
            ("[null, [1, 2]]", "1: a prompt is a JSON object"),
            ("tokens", "1: a prompt is a JSON object"),
            ("{\"texts\": [\"a\"]}", "unknown field `texts`"),
            ("{\"tokens\": [-1]}", "invalid type: integer `-1`, expected a token id in the list \"tokens\""),
            ("{\"tokens\": [\"a\"]}", "tokens has texts, but it is a list of ids"),
            ("{\"text\": [1]}", "text is a list, but a prompt is one text"),
            ("{\"text\": 3}", "invalid type: integer `3`, expected text or a list of token ids for \"text\""),
        ] {
            let error = read(Path::new("p.jsonl"), &format!("{{\"text\": \"a\"}}\n\n{bad}")).expect_err(bad);
            assert!(matches!(error, PromptsError::Line { line: 3, .. }), "{error}");
            let told = error.to_string();
            assert!(told.starts_with("p.jsonl, line 3, column ") && told.contains(reason), "{told}");
            assert!(!told.contains("at line"), "{told}");
        }
    }
}
