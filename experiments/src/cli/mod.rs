//! The commands: one file each, each with `Args` and `run(args) -> Result<Exit, Failure>`.

use std::fs;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use pythia_core::device::{Backend, DeviceName};
use pythia_probes::Bytes;

use crate::checkpoint::hub_access::{HubAccess, HubAccessError};
use crate::checkpoint::load::RunsOn;
use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::config::{self, Experiment, Precision};
use crate::integrity::OnBad;
use crate::plan::disk::Disk;
use crate::terminal::env;
use crate::terminal::exit::{self, Exit};

pub(crate) mod activations;
pub(crate) mod bench;
pub(crate) mod cache;
mod capture;
pub(crate) mod completions;
mod curve;
pub(crate) mod demo;
pub(crate) mod error;
pub mod failure;
mod foreign;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod migrate;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod train;
pub(crate) mod validate;
pub(crate) mod verify;

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

/// What names an experiment on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct ExperimentArgs {
    /// The experiment file
    pub(crate) file: PathBuf,
    /// Folder for results/ and state/ [default: the file's `out`, else ./out]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Lay a value over the file's, by dotted path: --set seed=1, --set probe.0.batch=4, --set 'steps=[0, 512]'
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Keep only the first N cells of the plan, for a cheap trial
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// What to do with checkpoints that are known to be wrong, or have the weights of another step [default: the file's `on_bad`, else fail]
    #[arg(long)]
    pub(crate) on_bad: Option<OnBad>,
    /// Open no connection: use what is in the cache
    #[arg(long)]
    pub(crate) offline: bool,
    /// Disk that fetched checkpoints may take, for example 200GB; the least recently used go first [default: the file's `cache_max`, else no bound]
    #[arg(long, value_name = "BYTES")]
    pub(crate) cache_max: Option<Bytes>,
    /// Disk that must stay free [default: the file's `min_free`, else 1GiB]
    #[arg(long, value_name = "BYTES")]
    pub(crate) min_free: Option<Bytes>,
    /// The file of pins [default: the experiment's own name with .lock.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Memory that the whole process may take, such as 16GiB [default: the file's `memory`, else what is free]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    /// Where to compute: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them [default: the file's `device`, else cpu]
    #[arg(long)]
    pub(crate) device: Option<DeviceName>,
    /// Precision: of everything (f32, f64), or of weights and their products (f16, bf16) [default: the file's `dtype`, else f32]
    #[arg(long)]
    pub(crate) dtype: Option<Precision>,
}

impl ExperimentArgs {
    /// Reads the experiment, with what the command line lays over it.
    fn experiment(&self) -> Result<Experiment, Failure> {
        let text =
            fs::read_to_string(&self.file).map_err(|source| CommandError::Read { path: self.file.clone(), source })?;
        let mut overrides = self.set.clone();
        overrides.extend(self.device.map(|name| format!("device=\"{name}\"")));
        overrides.extend(self.dtype.map(|dtype| {
            let word = dtype.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            format!("dtype={word}")
        }));
        overrides.extend(self.memory.map(|memory| format!("memory=\"{memory}\"")));
        overrides.extend(self.on_bad.map(|on_bad| {
            let word = on_bad.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            format!("on_bad={word}")
        }));
        let mut experiment = config::parse(&self.file.display().to_string(), &text, &overrides)?;
        let store = &mut experiment.store;
        store.cache_max = self.cache_max.or(store.cache_max);
        store.min_free = self.min_free.or(store.min_free);
        store.lock = self.lock.clone().or(store.lock.take());
        Ok(experiment)
    }

    /// Where its checkpoints come from.
    fn hub(&self, experiment: &Experiment) -> Result<HubAccess, HubAccessError> {
        HubAccess::open(experiment, &self.file, self.offline)
    }

    /// The output folder: the command line's, the file's, or the default.
    fn disk(&self, experiment: &Experiment) -> Disk {
        let out = self.out.clone().or_else(|| experiment.out.clone());
        Disk { out: out.unwrap_or_else(|| env::OUT.into()), offline: self.offline }
    }
}

/// Where to compute. Of a GPU it is said which one it is, for that is not always the one that was meant.
pub(crate) fn open_device(device: DeviceName, precision: Precision) -> Result<RunsOn, Failure> {
    let (compute, dtype) = (device.open()?, precision.dtype());
    compute.check(dtype)?;
    if compute.backend != Backend::Cpu {
        crate::terminal::say!("computing on {compute}{}", compute.remark());
    }
    Ok(RunsOn { compute, dtype })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number from 1 on is expected".into())
}

/// Prints to stdout what is meant for machines; a reader that goes away early is no failure.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Prints to stdout exactly these bytes.
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
    fn the_long_help_ends_with_the_exit_codes() {
        assert!(LONG_HELP.ends_with(exit::HELP));
    }
}
