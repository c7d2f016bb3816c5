//! Problems with their places, and how they are shown: file, line, token, what is allowed.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::problem::Problem;
use super::sources::Sources;
use crate::terminal::{Exit, Explained};

/// A problem and the bytes of the joined texts that it is about.
#[derive(Debug)]
pub(crate) struct Located {
    /// Boxed, because results carry it around.
    pub(crate) problem: Box<Problem>,
    /// Where, in the joined texts.
    pub(crate) span: Range<usize>,
}

impl Located {
    /// Puts a problem at a place.
    pub(crate) fn new(problem: impl Into<Problem>, span: Range<usize>) -> Self {
        Self { problem: Box::new(problem.into()), span }
    }

    /// An error of the TOML reader at its span, or at `fallback`.
    pub(crate) fn toml(error: toml::de::Error, fallback: Range<usize>) -> Self {
        let span = error.span().unwrap_or(fallback);
        Self::new(Problem::Toml(error), span)
    }
}

/// Everything that is wrong with one configuration, with the texts to show it in.
#[derive(Debug, thiserror::Error)]
pub(crate) struct ConfigErrors {
    /// The file and the overrides.
    pub(crate) sources: Sources,
    /// What is wrong, in the order found; never empty.
    pub(crate) problems: Vec<Located>,
}

impl ConfigErrors {
    /// The report for people: each problem with file, line, token and remedy; `color` where a terminal shows it.
    pub(crate) fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown = self.problems.iter().map(|located| renderer.render(&[self.group(located)]));
        shown.collect::<Vec<_>>().join("\n\n")
    }

    /// Whether the experiment itself is right and only models or files that it names are missing. A file that is there
    /// and cannot be read is a mistake in the experiment, as one with a broken line is.
    pub(crate) fn are_about_data(&self) -> bool {
        let is_data = |problem: &Problem| match problem {
            Problem::Store(_) | Problem::ModelInfo(_) | Problem::TokenizerToFetch { .. } => true,
            Problem::Input { error, .. } | Problem::KnownBadFile { error } => error.is_missing(),
            _ => false,
        };
        self.problems.iter().all(|located| is_data(&located.problem))
    }

    /// Whether nothing is wrong, and only what a run fetches is missing for a check.
    pub(crate) fn are_to_fetch(&self) -> bool {
        self.problems.iter().all(|located| matches!(*located.problem, Problem::TokenizerToFetch { .. }))
    }

    fn group<'a>(&'a self, located: &'a Located) -> Group<'a> {
        let place = self.sources.place(&located.span);
        let mark = AnnotationKind::Primary.span(place.span.clone()).label(located.problem.label());
        let snippet = Snippet::source(place.text).path(place.name).annotation(mark);
        let for_override = place.is_override.then(|| located.problem.help_for_override(place.text)).flatten();
        let help = for_override.unwrap_or_else(|| located.problem.help());
        let help = help.into_iter().map(|line| Level::HELP.message(line));
        Level::ERROR.primary_title(located.problem.to_string()).element(snippet).elements(help)
    }
}

impl Explained for ConfigErrors {
    fn exit(&self) -> Exit {
        // The experiment itself may be right, and only data that it names is missing or broken.
        if self.are_about_data() { Exit::BadInput } else { Exit::Usage }
    }

    fn report(&self, color: bool) -> String {
        self.render(color)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
