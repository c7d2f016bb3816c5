//! The texts a configuration comes from: one file and any number of `--set` arguments, addressed by one range of bytes.
//!
//! All texts are joined to one string, so that a span of the merged document also tells which text it is in.

use std::ops::Range;
use std::path::{Path, PathBuf};

use pythia_core::store::ModelRef;
use pythia_files::{Environment, PathError};
use toml::Spanned;

use super::located::Located;
use super::paths::PathRule;
use super::problem::Problem;

/// One text: its name in messages, and its place in the joined string.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    name: String,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sources {
    text: String,
    parts: Vec<Part>,
    /// Boxed, because errors carry all of this around.
    rule: Box<PathRule>,
}

/// A span, seen within the text that holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct Place<'a> {
    /// What the text is called: a path, or `--set`.
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    /// The bytes of `text` that are meant.
    pub(crate) span: Range<usize>,
    /// Whether the text is a `--set` argument and not the file.
    pub(crate) is_override: bool,
}

impl Sources {
    /// Starts with the experiment file.
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        let rule = Box::new(PathRule::of(file, Environment::of_process()));
        let mut sources = Self { text: String::new(), parts: Vec::new(), rule };
        sources.push(file.display().to_string(), text);
        sources
    }

    /// Where a path leads that stands at this place of the texts.
    pub(crate) fn path(&self, written: &Path, at: &Range<usize>) -> Result<PathBuf, PathError> {
        self.rule.path(written, self.place(at).is_override)
    }

    /// Replaces the path of a key by where it leads.
    pub(super) fn lead(&self, key: &'static str, path: &mut Option<Spanned<PathBuf>>) -> Result<(), Located> {
        let Some(path) = path else { return Ok(()) };
        let (at, written) = (path.span(), path.get_ref().clone());
        let failed = |error| Located::new(Problem::Path { key, written: written.clone(), error }, at.clone());
        *path.get_mut() = self.path(&written, &at).map_err(failed)?;
        Ok(())
    }

    /// The model that a name or a path means.
    pub(super) fn model(&self, written: &Spanned<String>) -> Result<Spanned<ModelRef>, Located> {
        let at = written.span();
        let model = self.rule.model(written.get_ref(), self.place(&at).is_override);
        model.map(|model| Spanned::new(at.clone(), model)).map_err(|problem| Located::new(problem, at.clone()))
    }

    /// Adds a text after the others and returns its place in the joined string.
    pub(crate) fn push(&mut self, name: impl Into<String>, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        let range = start..self.text.len();
        // The separator keeps a span at the end of one text from being taken for the start of the next.
        self.text.push('\n');
        self.parts.push(Part { name: name.into(), range: range.clone() });
        range
    }

    pub(crate) fn file(&self) -> &str {
        self.slice(&self.parts[0].range)
    }

    /// The bytes of a range of the joined string; empty where the range is not one of it.
    pub(crate) fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Where a span of the joined string lies.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place<'_> {
        let index = self.parts.iter().rposition(|part| part.range.start <= span.start).unwrap_or(0);
        let part = &self.parts[index];
        let text = self.slice(&part.range);
        let inside = |at: usize| at.saturating_sub(part.range.start).min(text.len());
        Place { name: &part.name, text, span: inside(span.start)..inside(span.end), is_override: index > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_finds_its_text() {
        let mut sources = Sources::new(Path::new("a.toml"), "seed = 0");
        let range = sources.push("--set", "seed=1");
        assert_eq!(sources.place(&(7..8)), Place { name: "a.toml", text: "seed = 0", span: 7..8, is_override: false });
        let place = sources.place(&(range.start + 5..range.start + 6));
        assert_eq!(place, Place { name: "--set", text: "seed=1", span: 5..6, is_override: true });
        assert_eq!(sources.file(), "seed = 0");
    }

    #[test]
    fn a_span_beyond_the_end_is_cut() {
        let sources = Sources::new(Path::new("a.toml"), "x");
        assert_eq!(sources.place(&(5..9)).span, 1..1);
    }
}
