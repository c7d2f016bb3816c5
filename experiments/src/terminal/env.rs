//! The environment: variables, default paths, cores. It is read here and nowhere else.

use std::env;
use std::path::Path;

use pythia_files::Environment;
use pythia_hub::Settings;

/// The output folder where neither the command line nor the file names one.
pub(crate) const OUT: &str = "out";

/// What the environment says about the public hub, and where its cache is. What only a connection needs is read later.
pub(crate) fn hub_settings() -> Settings {
    Settings::of(Environment::of_process())
}

/// The command as it was typed, for "run this again". Bytes that are no text are shown as �.
pub(crate) fn this_command() -> String {
    env::args_os().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether a person with a colour terminal reads stderr.
pub(crate) fn color() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A path as a word of a shell.
pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=~+:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        assert_eq!(quoted("--set"), "--set");
        assert_eq!(quoted("steps=[0, 1]"), "'steps=[0, 1]'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
