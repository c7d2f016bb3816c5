//! `pythia lock`: pin the checkpoints of an experiment.

use pythia_hub::Lock;

use super::ExperimentArgs;
use crate::checkpoint::hub_access::{HubAccess, HubAccessError, PinRequest, PinScope};
use crate::cli::failure::Failure;
use crate::resolved::pins::{Pins, branch};
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::say;

/// Pin the checkpoints of an experiment: commits, files, sizes and hashes
///
/// Writes EXPERIMENT.lock.json beside the experiment file. A run on pinned checkpoints only downloads files,
/// and refuses those whose hashes are not the pinned ones. `run` pins by itself what is not pinned yet; this command
/// can also renew the pins.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Ask the hub again for what is pinned already, and list what has changed
    #[arg(long)]
    update: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia lock exp.toml
  pythia lock exp.toml --update"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let mut hub = args.experiment.hub(&experiment)?;
    let requests = PinRequest::all(&experiment);
    let before = hub.lock.clone();
    if requests.is_empty() {
        super::print("the experiment names no model of the suite: there is nothing to pin")?;
        return Ok(Exit::Ok);
    }
    if hub.client.settings().offline {
        return Err(HubAccessError::Offline.into());
    }
    let which = if args.update { PinScope::All } else { PinScope::Unpinned };
    hub.pin(&requests, which, &|line| say!("{line}"))?;
    for line in requests.iter().flat_map(|request| lines(request, &before, &hub)) {
        super::print(&line)?;
    }
    super::print(&format!("pins are kept in {}", hub.file.display()))?;
    Ok(Exit::Ok)
}

/// What is pinned of a model, and what has changed.
fn lines(request: &PinRequest, before: &Lock, hub: &HubAccess) -> Vec<String> {
    let Some(pins) = Pins::of(&hub.lock, request.id) else {
        return vec![format!("{}: nothing is pinned", request.id)];
    };
    let steps: Vec<_> = request.steps.iter().filter(|step| pins.pin(Some(**step)).is_some()).collect();
    let bytes = steps.iter().filter_map(|step| pins.bytes(Some(**step))).sum();
    let mut lines =
        vec![format!("{}: {}, {}", request.id, human::plural(steps.len(), "checkpoint"), human::bytes(bytes))];
    for step in request.steps.iter().map(|step| Some(*step)) {
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
