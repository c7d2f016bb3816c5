//! The environment: variables, default paths, cores. It is read here and nowhere else.

use std::env;

use pythia_files::Environment;
use pythia_hub::Settings;

use super::quote;

/// The folder of output folders: an experiment's is OUT/NAME where neither the command line nor its file names one.
pub(crate) const OUT: &str = "out";

/// What the environment says about the public hub, and where its cache is. What only a connection needs is read later.
pub(crate) fn hub_settings() -> Settings {
    Settings::of(Environment::of_process())
}

/// The command as it was typed, for "run this again". Bytes that are no text are shown as �.
pub(crate) fn this_command() -> String {
    env::args_os().map(quote::shell).collect::<Vec<_>>().join(" ")
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
