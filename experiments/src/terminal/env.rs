//! The environment: variables, default paths, free memory, cores. It is read here and nowhere else.

use std::env;

use pythia_hub::{Settings, SettingsError};

use super::quote;

/// The folder of output folders: an experiment's is OUT/NAME where neither the command line nor its file names one.
pub(crate) const OUT: &str = "out";

/// What the environment says about the public hub, and where its cache is.
pub(crate) fn hub_settings() -> Result<Settings, SettingsError> {
    Settings::from_vars(|name| env::var(name).ok(), &env::home_dir().unwrap_or_default())
}

/// The command as it was typed, for "run this again".
pub(crate) fn this_command() -> String {
    env::args_os().map(quote::shell).collect::<Vec<_>>().join(" ")
}

/// Bytes of memory that programs can still have; `None` where the system does not tell.
pub(crate) fn available_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
