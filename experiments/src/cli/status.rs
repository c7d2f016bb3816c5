//! `pythia status`: how far runs are, from any other terminal.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::results::status::Status;
use crate::terminal::exit::{self, Exit};

/// Show how far the runs of an output folder are, without touching them
///
/// Of every experiment: cells done, failed, left out and to do, which processes run, how many cells a minute in the
/// last ten minutes, the time that is left at that rate, and the last failures. Nothing is written or locked.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The output folder of a run
    #[arg(default_value = crate::terminal::env::OUT)]
    dir: PathBuf,
    /// Print again every so many seconds, until no run is active
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = pause)]
    watch: Option<Duration>,
    /// Print JSON to stdout, one line each time with --watch
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia status out
  pythia status out --watch
  pythia status out --json"
);

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let Some(pause) = args.watch else {
        let status = Status::of(&args.dir, now())?;
        super::print(&if args.json { json(&status, true)? } else { status.lines().join("\n") })?;
        return Ok(Exit::Ok);
    };
    let clears = !args.json && std::io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let status = Status::of(&args.dir, now())?;
        let text = if args.json { json(&status, false)? } else { status.lines().join("\n") };
        if clears {
            super::print(&format!("{CLEAR}{text}"))?;
        } else if text != before {
            super::print(&text)?;
        }
        // A pipe is buffered otherwise.
        std::io::stdout().flush().or_else(gone).map_err(CommandError::Stdout)?;
        if status.is_settled() {
            return Ok(Exit::Ok);
        }
        before = text;
        thread::sleep(pause);
    }
}

fn json(status: &Status, pretty: bool) -> Result<String, Failure> {
    let text = if pretty { serde_json::to_string_pretty(status) } else { serde_json::to_string(status) };
    Ok(text.map_err(|error| CommandError::Stdout(error.into()))?)
}

/// A reader that went away early is no failure.
fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn pause(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.1 to 86400 are expected".into())
}
