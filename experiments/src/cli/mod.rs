//! The commands: one file each, each with `Args` and `run(args) -> Result<Exit, Failure>`.

use clap::{Parser, Subcommand};

use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::terminal::exit::{self, Exit};

pub(crate) mod activations;
pub(crate) mod bench;
pub(crate) mod cache;
mod capture;
pub mod columns;
#[cfg(test)]
mod command_lines;
pub(crate) mod completions;
mod curve;
pub(crate) mod demo;
mod device_args;
pub(crate) mod error;
mod experiment_args;
pub mod failure;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod migrate;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod report;
mod results_args;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod validate;
pub(crate) mod verify;

use experiment_args::{ExperimentArgs, RunArgs};

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
const LONG_HELP: &str = exit::examples!(
    "  pythia demo                        see induction heads form, offline, in about two minutes
  pythia new head_scores > exp.toml  a commented experiment file to start from
  pythia plan exp.toml               what would run, what it costs, what is done
  pythia run exp.toml                run it; again to resume
  pythia summary out/demo            what came out, in numbers; `pythia report` in pictures"
);

/// The commands; their help texts are the docs of their `Args`.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Plan(plan::Args),
    Summary(summary::Args),
    Query(query::Args),
    Report(report::Args),
    Validate(validate::Args),
    New(new::Args),
    Migrate(migrate::Args),
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
            Command::New(args) => new::run(args),
            Command::Migrate(args) => migrate::run(args),
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

/// Prints a line to stdout. A reader that goes away early is no failure.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Prints exactly these bytes to stdout.
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut stdout = std::io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
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
    fn options_that_a_command_would_ignore_are_refused() {
        let refused = |words: &str| Cli::try_parse_from(words.split(' ')).is_err();
        for command in ["lock", "cache fetch"] {
            assert!(!refused(&format!("pythia {command} exp.toml --set seed=1 --cache-max 2GB --lock exp.json")));
            for option in ["--out x", "--limit 1", "--on-bad skip", "--memory 1GiB", "--device cpu", "--dtype f64"] {
                assert!(refused(&format!("pythia {command} exp.toml {option}")), "{command} {option}");
            }
        }
        assert!(!refused(
            "pythia plan exp.toml --out x --limit 1 --on-bad skip --memory 1GiB --device cpu --dtype f64"
        ));
    }

    #[test]
    fn the_long_help_ends_with_the_exit_codes() {
        assert!(LONG_HELP.ends_with(exit::HELP));
    }
}
