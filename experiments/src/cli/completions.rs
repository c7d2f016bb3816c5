//! `pythia completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;
use crate::cli::failure::Failure;
use crate::terminal::exit::{self, Exit};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

const LONG_HELP: &str =
    exit::examples!("  pythia completions bash > ~/.local/share/bash-completion/completions/pythia");

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "pythia", &mut script);
    super::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}
