//! `pythia validate`: check experiment files.

use std::path::{Path, PathBuf};

use crate::checkpoint::hub_access::HubAccess;
use crate::cli::error::read_file;
use crate::cli::failure::Failure;
use crate::config;
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::say;

/// Check experiment files
///
/// Each file is read and checked against its models and the files that it names: are the steps checkpoints, do the
/// prompts fit the context. A folder or a file that is missing is an error (exit code 3). Models of the suite need not
/// be fetched yet: their shapes are known. Nothing is computed or written.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// Experiment files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

const LONG_HELP: &str = exit::examples!("  pythia validate exp.toml\n  pythia validate *.toml");

/// Runs the command: all files are checked, and the worst one decides the exit code.
pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let mut worst = Exit::Ok;
    for file in &args.files {
        match validate(file) {
            Ok(note) => say!("{}: ok{note}", file.display()),
            Err(failure) => {
                failure.print();
                worst = worst.max(failure.exit());
            }
        }
    }
    Ok(worst)
}

/// What there is to note about a good file.
fn validate(file: &Path) -> Result<String, Failure> {
    let text = read_file(file)?;
    let experiment = config::parse(file, &text, &[])?;
    let hub = HubAccess::open(&experiment, file, true)?;
    match ResolvedExperiment::open(experiment, &hub.lock, hub.client.cache()) {
        Ok(resolved) => {
            let checkpoints: usize = resolved.models.iter().map(|model| model.steps.len()).sum();
            let mut notes = PairCounts::of(&resolved).notes(&resolved);
            notes.extend(resolved.notes().cloned());
            let notes: String = notes.iter().map(|note| format!("\n  note: {note}")).collect();
            let probes = human::plural(resolved.experiment.probes.len(), "probe");
            Ok(format!(": {} x {probes}{notes}", human::plural(checkpoints, "checkpoint")))
        }
        Err(errors) if errors.are_to_fetch() => {
            Ok(errors.problems.iter().map(|located| format!("\n  note: {}", located.problem)).collect())
        }
        Err(errors) => Err(errors.into()),
    }
}
