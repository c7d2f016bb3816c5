//! The error that ends a command, as people and shells see it.

use std::fmt;

use crate::terminal::{Exit, Explained, env, say};

/// The error that ends a command.
#[derive(Debug)]
pub struct Failure(Box<dyn Explained>);

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.0.exit()
    }

    /// Prints the message to stderr, in colours where a person reads it.
    pub fn print(&self) {
        say!("{}", self.report(env::color()));
    }

    /// The message for people: what is wrong and what to do.
    pub(crate) fn report(&self, color: bool) -> String {
        self.0.report(color)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Explained + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}
