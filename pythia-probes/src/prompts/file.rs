//! Prompts written in a file, one per line as JSON.

use serde::Deserialize;

use super::MAX_BATCH;
use crate::error::ProbeError;

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
    text: Option<String>,
    tokens: Option<Vec<u32>>,
}

/// The prompts of a file, in its order; empty lines are left out.
///
/// # Errors
/// A line that is not a prompt, and more prompts than are run at once.
pub(super) fn read(text: &str) -> Result<Vec<Line>, ProbeError> {
    let mut prompts = Vec::new();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let refused = |reason: String| ProbeError::PromptLine { line: index + 1, reason };
        let Fields { text, tokens } = serde_json::from_str(line).map_err(|error| refused(error.to_string()))?;
        prompts.push(match (text, tokens) {
            (Some(text), None) => Line::Text(text),
            (None, Some(ids)) => Line::Tokens(ids),
            _ => return Err(refused("a prompt has either `text` or `tokens`".to_owned())),
        });
        if prompts.len() > MAX_BATCH {
            return Err(ProbeError::TooLarge { field: "prompts.file", value: prompts.len(), most: MAX_BATCH });
        }
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_or_tokens_and_empty_lines_are_left_out() {
        let text = "\u{feff}{\"text\": \"cab\"}\r\n\n  \n{\"tokens\": [3, 1]}\n";
        assert_eq!(read(text), Ok(vec![Line::Text("cab".into()), Line::Tokens(vec![3, 1])]));
        assert_eq!(read("\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_line_that_is_no_prompt_is_named() {
        for bad in ["{}", "{\"text\": \"a\", \"tokens\": [1]}", "{\"texts\": [\"a\"]}", "[1, 2]", "{\"tokens\": [-1]}"]
        {
            let error = read(&format!("{{\"text\": \"a\"}}\n\n{bad}")).expect_err(bad);
            assert!(matches!(error, ProbeError::PromptLine { line: 3, .. }), "{error}");
        }
    }
}
