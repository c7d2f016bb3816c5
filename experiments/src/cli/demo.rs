//! `pythia demo`: train nano, sweep its checkpoints, show induction emerge.

use std::path::PathBuf;

use pythia_core::device::{Backend, DeviceName};

use super::run::messages::{report, tables_with_rows};
use super::run::{prepare, show, sweep};
use super::train::{NANO, train_nano};
use crate::checkpoint::hub_access::HubAccess;
use crate::cli::curve;
use crate::cli::failure::Failure;
use crate::config;
use crate::plan::Plan;
use crate::plan::disk::Disk;
use crate::resolved::ResolvedExperiment;
use crate::sweep::refusal::{self, Refusal};
use crate::terminal::exit::{self, Exit};
use crate::terminal::{Explained, quote};

/// Train a small model, sweep its checkpoints, show induction emerge
///
/// Trains the suite `nano` into ./data/nano (or finds it there), runs the experiment induction-nano over its 154
/// checkpoints into ./out/demo (on a GPU ./out/demo-wgpu or ./out/demo-cuda), and prints how induction emerges. No
/// network, about two minutes on two cores.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Args {
    /// Where to compute, training included: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them
    #[arg(long, default_value = "cpu")]
    device: DeviceName,
}

/// The experiment that ships with the program.
const EXPERIMENT: &str = include_str!("../../configs/induction-nano.toml");
const OUT: &str = "out/demo";

/// Where results go: those of another backend differ in their last digits, and are kept apart.
fn out(backend: Backend) -> PathBuf {
    if backend == Backend::Cpu { OUT.into() } else { format!("{OUT}-{backend}").into() }
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let nano = PathBuf::from(NANO);
    train_nano(&nano, 0, args.device)?;
    let device = format!("device=\"{}\"", args.device);
    // The text names the folder as it lies from the file in the repository.
    let models = format!("models=[\"./{NANO}\"]");
    let experiment = config::parse("induction-nano.toml", EXPERIMENT, &[device, models])?;
    let hub = HubAccess::open(&experiment, "induction-nano.toml".as_ref(), true)?;
    let (resolved, hub) = prepare(experiment, hub)?;
    let disk = Disk { out: out(resolved.backend), offline: true };
    check_results(&resolved, &disk).map_err(|refusal| OldDemo { refusal, out: disk.out.clone() })?;
    let outcome = sweep(&resolved, &disk, &hub, None, false)?;
    if !tables_with_rows(&resolved, &disk)?.is_empty() {
        super::print(&curve::of(&resolved, &disk)?)?;
    }
    let exit = report(&resolved, &disk, &outcome);
    show(&resolved, &disk);
    Ok(exit)
}

/// What a sweep would refuse of an earlier demo.
fn check_results(resolved: &ResolvedExperiment, disk: &Disk) -> Result<(), Refusal> {
    refusal::check_version(resolved, disk, false)?;
    refusal::check_results(resolved, disk)?;
    refusal::check_weights(resolved, disk, &Plan::make(resolved, disk, None))
}

/// Results of another demo. The demo has none of the options that the remedies for a run name.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
struct OldDemo {
    refusal: Refusal,
    out: PathBuf,
}

impl Explained for OldDemo {
    fn exit(&self) -> Exit {
        self.refusal.exit()
    }

    fn remedy(&self) -> Option<String> {
        Some(format!("remove these results and run `pythia demo` again: rm -r {}", quote::shell(&self.out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_experiments_are_right() {
        let nano = config::parse("induction-nano.toml", EXPERIMENT, &[]).expect("right");
        assert_eq!(nano.models.len(), 1);
        let pythia = include_str!("../../configs/induction-pythia-70m.toml");
        config::parse("induction-pythia-70m.toml", pythia, &[]).expect("right");
    }
}
