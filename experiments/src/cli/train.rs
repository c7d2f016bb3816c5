//! `pythia train`: a suite of checkpoints of your own.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use pythia_core::device::DeviceName;

use crate::cli::device_args::open_device;
use crate::cli::failure::Failure;
use crate::config::Precision;
use crate::nano::{self, Outcome, Recipe};
use crate::terminal::exit::{self, Exit};
use crate::terminal::progress::Progress;
use crate::terminal::say;

/// Where the trained suite goes by default.
pub(crate) const NANO: &str = "data/nano";

/// Train a suite of checkpoints of your own
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

const LONG_HELP: &str = exit::examples!("  pythia train nano\n  pythia train nano --seed 1 --out data/nano-seed1");

/// What can be trained.
#[derive(Debug, Subcommand)]
enum What {
    /// A two-layer GPT-NeoX with 154 checkpoints in which induction heads form, in about two minutes
    Nano {
        /// Folder that receives DIR/step512/config.json, DIR/step512/model.safetensors and so on
        #[arg(long, value_name = "DIR", default_value = NANO)]
        out: PathBuf,
        /// Decides the initial weights and the data
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Where to compute: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them
        #[arg(long, default_value = "cpu")]
        device: DeviceName,
    },
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let What::Nano { out, seed, device } = args.what;
    train_nano(&out, seed, device)?;
    Ok(Exit::Ok)
}

/// Trains the suite `nano` into a folder, or finds it there.
pub(crate) fn train_nano(out: &Path, seed: u64, device: DeviceName) -> Result<(), Failure> {
    let runs_on = open_device(device, Precision::F32)?;
    let recipe = Recipe { seed, ..Recipe::default() };
    let updates = recipe.steps().last().copied().unwrap_or(0);
    let mut progress = Progress::new("training nano", updates as usize);
    let outcome = nano::ensure(out, &recipe, &runs_on.compute.device, &mut |tick| {
        progress.advance_to(tick.step as usize, &format!("loss {:.3}", tick.loss));
    })?;
    let seconds = progress.seconds();
    progress.finish();
    match outcome {
        Outcome::Trained => {
            say!("trained nano in {seconds:.0} s; its checkpoints are in {}", out.display())
        }
        Outcome::Reused => say!("nano is in {} already", out.display()),
    }
    Ok(())
}
