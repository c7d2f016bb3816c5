//! `pythia lock`: pin the checkpoints of an experiment.

use pythia_hub::Lock;

use super::ExperimentArgs;
use crate::checkpoint::library::{Library, LibraryError, Which, Wish};
use crate::cli::failure::Failure;
use crate::resolved::pins::{Pins, branch};
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;

/// Pin the checkpoints of an experiment: commits, files, sizes and hashes
///
/// Writes EXPERIMENT.lock.json beside the experiment file. A run on pinned checkpoints asks the hub for nothing but bytes, and refuses
/// bytes that are not those that were pinned. `run` pins by itself what is not pinned yet; this command can also renew the pins.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Ask the hub again for what is pinned already, and list what has changed
    #[arg(long)]
    update: bool,
}

const LONG_HELP: &str = concat!(
    "Examples:
  pythia lock exp.toml
  pythia lock exp.toml --update

",
    exit::help!()
);

/// Runs the command.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let mut library = args.experiment.library(&experiment)?;
    let wishes = Wish::all(&experiment);
    let before = library.lock.clone();
    if wishes.is_empty() {
        super::print("the experiment names no model of the suite: there is nothing to pin")?;
        return Ok(Exit::Ok);
    }
    if library.hub.settings().offline {
        return Err(LibraryError::Offline.into());
    }
    let which = if args.update { Which::All } else { Which::Unpinned };
    library.pin(&wishes, which, &|line| crate::terminal::say!("{line}"))?;
    for line in wishes.iter().flat_map(|wish| lines(wish, &before, &library)) {
        super::print(&line)?;
    }
    super::print(&format!("pins are kept in {}", library.file.display()))?;
    Ok(Exit::Ok)
}

/// What is pinned of a model, and what has changed.
fn lines(wish: &Wish, before: &Lock, library: &Library) -> Vec<String> {
    let Some(pins) = Pins::of(&library.lock, wish.id) else {
        return vec![format!("{}: nothing is pinned", wish.id)];
    };
    let steps: Vec<_> = wish.steps.iter().filter(|step| pins.pin(Some(**step)).is_some()).collect();
    let bytes = steps.iter().filter_map(|step| pins.bytes(Some(**step))).sum();
    let mut lines = vec![format!("{}: {} checkpoints, {}", wish.id, steps.len(), human::bytes(bytes))];
    for step in wish.steps.iter().map(|step| Some(*step)) {
        let then = before.pin(&pins.repo, &branch(step));
        if let (Some(then), Some(now)) = (then, pins.pin(step))
            && then != now
        {
            let name = branch(step);
            lines.push(match then.commit == now.commit {
                true => format!("  {name} lists other files under the same commit {}: do not trust it", now.commit),
                false => format!("  {name} has moved from {} to {}", then.commit, now.commit),
            });
        }
    }
    lines
}
