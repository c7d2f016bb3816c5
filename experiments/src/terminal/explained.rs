//! Errors that know how the program ends and what the user can do.

use std::error::Error;

use super::exit::Exit;

/// An error that can end a command.
pub(crate) trait Explained: Error {
    /// The exit code that scripts and schedulers see.
    fn exit(&self) -> Exit;

    /// What the user can do about it; `None` where the message says it already.
    fn remedy(&self) -> Option<String> {
        None
    }

    /// The whole message for people; `color` where a terminal shows it.
    fn report(&self, _color: bool) -> String {
        let remedy = self.remedy().map(|remedy| format!("\nremedy: {remedy}")).unwrap_or_default();
        format!("error: {self}{remedy}")
    }
}

/// An error whose message says everything, and that has one exit code: a struct, or an enum whose variants are all the
/// same kind of mistake. Other enums match on their variants, so that a new one has to be given its code.
macro_rules! exits_with {
    ($error:ty, $exit:ident) => {
        impl $crate::terminal::Explained for $error {
            fn exit(&self) -> $crate::terminal::Exit {
                $crate::terminal::Exit::$exit
            }
        }
    };
}
pub(crate) use exits_with;
