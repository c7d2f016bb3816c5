//! Prompts written in a file, one per line as JSON.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::MAX_BATCH;
use crate::error::PromptsError;
use crate::pairs::column_and_reason;

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
    #[serde(default, deserialize_with = "given")]
    text: Option<String>,
    #[serde(default, deserialize_with = "given")]
    tokens: Option<Vec<u32>>,
}

/// A value that stands there. An `Option` alone would take null for a key that is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
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
            ("{\"tokens\": [-1]}", "invalid value: integer `-1`, expected u32"),
            ("{\"tokens\": [\"a\"]}", "invalid type: string \"a\", expected u32"),
            ("{\"tokens\": [1], \"text\": null}", "invalid type: null, expected a string"),
            ("{\"text\": [1]}", "invalid type: sequence, expected a string"),
            ("{\"text\": 3}", "invalid type: integer `3`, expected a string"),
        ] {
            let error = read(Path::new("p.jsonl"), &format!("{{\"text\": \"a\"}}\n\n{bad}")).expect_err(bad);
            assert!(matches!(error, PromptsError::Line { line: 3, .. }), "{error}");
            let told = error.to_string();
            assert!(told.starts_with("p.jsonl, line 3, column ") && told.contains(reason), "{told}");
            assert!(!told.contains("at line"), "{told}");
        }
    }
}
