//! `pythia status`: how far runs are, from any other terminal.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::cli::results_args::ResultsArgs;
use crate::files::journal;
use crate::results::status::Status;
use crate::terminal::exit::{self, Exit};

/// Show how far the runs of an output folder are, without touching them
///
/// Of every experiment: cells done, failed, left out and to do, which processes run, how many cells a minute in the
/// last ten minutes, the time that is left at that rate, and the last failures. Nothing is written or locked.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    results: ResultsArgs,
    /// Print again every so many seconds, until no run is active
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = pause)]
    watch: Option<Duration>,
    /// Print JSON to stdout, one line each time with --watch
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia status
  pythia status exp.toml --watch
  pythia status out/demo --json"
);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let dir = args.results.folder()?;
    let once = args.watch.is_none();
    let clears = !once && !args.json && std::io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let status = Status::of(&dir, journal::now())?;
        let text = if args.json { json(&status, once)? } else { status.lines().join("\n") };
        if clears {
            super::print(&format!("{CLEAR}{text}"))?;
        } else if text != before {
            super::print(&text)?;
        }
        let Some(pause) = args.watch.filter(|_| !status.is_settled()) else { return Ok(Exit::Ok) };
        before = text;
        thread::sleep(pause);
    }
}

fn json(status: &Status, pretty: bool) -> Result<String, Failure> {
    let text = if pretty { serde_json::to_string_pretty(status) } else { serde_json::to_string(status) };
    Ok(text.map_err(|error| CommandError::Stdout(error.into()))?)
}

fn pause(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.1 to 86400 are expected".into())
}
