//! Pairs whose answers are written partly with a space before them and partly without: `" Paris"` and `"Rome"`.
//!
//! The space belongs to the token, so one of the two is never the word that the model would write there, and the
//! difference between their logits is mostly that of the space.

use serde_json::Value;

use crate::resolved::ResolvedExperiment;

/// A line of a file of pairs, with an answer of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mixed {
    line: usize,
    with_space: String,
    without: String,
}

/// A warning per probe that reads such pairs.
pub(super) fn notes(resolved: &ResolvedExperiment) -> Vec<String> {
    let probes = resolved.experiment.probes.iter();
    let files = probes.flat_map(|probe| probe.spec.files().into_iter().map(move |file| (&probe.name, file)));
    let texts = files.filter_map(|(probe, file)| Some((probe, resolved.inputs.contents.get(file)?)));
    texts.filter_map(|(probe, text)| note(&mixed(text)).map(|note| format!("probe `{probe}`: {note}"))).collect()
}

fn note(mixed: &[Mixed]) -> Option<String> {
    let Mixed { line, with_space, without } = mixed.first()?;
    let (pairs, have) = if mixed.len() == 1 { ("pair", "has") } else { ("pairs", "have") };
    Some(format!(
        "warning: {} {pairs} {have} answers with and without a leading space, which are different tokens; \
         the first is line {line}: {with_space:?} and {without:?}",
        mixed.len()
    ))
}

/// The pairs of a file whose answers differ in this. Lines that are no pairs are reported where they are read.
fn mixed(text: &str) -> Vec<Mixed> {
    let of_line = |(index, text): (usize, &str)| {
        let pair: Value = serde_json::from_str(text).ok()?;
        let words: Vec<&str> = ["answer", "wrong"].iter().filter_map(|key| pair.get(key)).flat_map(texts).collect();
        let find = |spaced: bool| words.iter().find(|word| is_word(word) && word.starts_with(' ') == spaced);
        let (with_space, without) = (find(true)?, find(false)?);
        Some(Mixed { line: index + 1, with_space: (*with_space).to_owned(), without: (*without).to_owned() })
    };
    text.trim_start_matches('\u{feff}').lines().enumerate().filter_map(of_line).collect()
}

/// The texts among the answers: one, or those of a list. Token ids say nothing about spaces.
fn texts(answers: &Value) -> Vec<&str> {
    match answers {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether it is a word or a number: punctuation follows a word without a space.
fn is_word(text: &str) -> bool {
    text.trim_start().starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(answer: &str, wrong: &str) -> String {
        format!("{{\"clean\": \"a\", \"corrupt\": \"b\", \"answer\": {answer}, \"wrong\": {wrong}}}\n")
    }

    #[test]
    fn only_pairs_that_mix_both_forms_are_found() {
        let even =
            [("\" Paris\"", "\" Rome\""), ("\"is\"", "[\"are\", \"was\"]"), ("[3]", "[4]"), ("\",\"", "\" and\"")];
        let text: String = even.iter().map(|(answer, wrong)| line(answer, wrong)).collect();
        assert_eq!(mixed(&format!("{text}not JSON\n[1]\n3\n")), []);
        let found = mixed(&format!("{text}\n{}{}", line("\" Paris\"", "\"Rome\""), line("[\"a\", \" b\"]", "[]")));
        assert_eq!(found.iter().map(|one| one.line).collect::<Vec<_>>(), [6, 7]);
        let told = note(&found).expect("a note");
        assert!(told.starts_with("warning: 2 pairs have answers with and without a leading space"), "{told}");
        assert!(told.ends_with("the first is line 6: \" Paris\" and \"Rome\""), "{told}");
    }
}
