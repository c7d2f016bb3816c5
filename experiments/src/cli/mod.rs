//! The commands: one file each, each with `Args` and `run(args) -> Result<Exit, Failure>`.

use clap::{Parser, Subcommand};
use pythia_core::device::{Backend, DeviceName};

use crate::checkpoint::load::RunsOn;
use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::config::Precision;
use crate::terminal::exit::{self, Exit};
use crate::terminal::say;

pub(crate) mod activations;
pub(crate) mod bench;
pub(crate) mod cache;
mod capture;
pub mod columns;
pub(crate) mod completions;
mod curve;
pub(crate) mod demo;
pub(crate) mod error;
mod experiment_args;
pub mod failure;
mod foreign;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod validate;
pub(crate) mod verify;

use experiment_args::ExperimentArgs;

/// Interpretability probes over the checkpoints of the Pythia suite.
///
/// An experiment is a TOML file: models x checkpoints x probes. `pythia run FILE` sweeps it and leaves one tidy Parquet
/// table per probe; running the same command again resumes.
#[derive(Debug, Parser)]
#[command(name = "pythia", version, after_help = exit::HELP, after_long_help = LONG_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How `--help` ends.
const LONG_HELP: &str = concat!(
    "Examples:
  pythia demo                                          see induction heads form, offline, in about two minutes
  pythia plan experiments/configs/induction-nano.toml  what would run, what it costs, what is done
  pythia run experiments/configs/induction-nano.toml   run it; again to resume
  pythia summary out/demo                              what came out, in numbers; `pythia report` in pictures

",
    exit::help!()
);

/// The commands; what `--help` says of each stands at its `Args`.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Plan(plan::Args),
    Summary(summary::Args),
    Query(query::Args),
    Report(report::Args),
    Validate(validate::Args),
    Verify(verify::Args),
    Status(status::Args),
    Merge(merge::Args),
    Lock(lock::Args),
    Cache(cache::Args),
    Demo(demo::Args),
    Train(train::Args),
    List(list::Args),
    Activations(activations::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Plan(args) => plan::run(args),
            Command::Summary(args) => summary::run(args),
            Command::Query(args) => query::run(args),
            Command::Report(args) => report::run(args),
            Command::Validate(args) => validate::run(args),
            Command::Verify(args) => verify::run(args),
            Command::Status(args) => status::run(args),
            Command::Merge(args) => merge::run(args),
            Command::Lock(args) => lock::run(args),
            Command::Cache(args) => cache::run(args),
            Command::Demo(args) => demo::run(args),
            Command::Train(args) => train::run(args),
            Command::List(args) => list::run(args),
            Command::Activations(args) => activations::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Completions(args) => completions::run(args),
        }
    }
}

/// Where to compute. Of a GPU it is said which one it is, for that is not always the one that was meant.
pub(crate) fn open_device(device: DeviceName, precision: Precision) -> Result<RunsOn, Failure> {
    let (compute, dtype) = (device.open()?, precision.dtype());
    compute.check(dtype)?;
    if compute.backend != Backend::Cpu {
        say!("computing on {compute}{}", compute.remark());
    }
    Ok(RunsOn { compute, dtype })
}

/// Prints to stdout what is meant for machines; a reader that goes away early is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Stdout(error).into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_help_ends_with_the_exit_codes() {
        assert!(LONG_HELP.ends_with(exit::HELP));
    }
}
