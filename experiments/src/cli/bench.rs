//! `pythia bench`: time a whole workload.

use std::path::PathBuf;

use pythia_core::device::DeviceError;
use pythia_core::store::FolderStore;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::meter::{self, Repetitions, Timing};
use crate::bench::workload::{self, Measured, Sizes, Workload};
use crate::cli::device_args::DeviceArgs;
use crate::cli::failure::Failure;
use crate::terminal::env;
use crate::terminal::exit::{self, Exit};

/// Time a whole workload and print one line of JSON
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Args {
    /// What to time
    #[arg(value_enum)]
    workload: Workload,
    /// A folder with one model, or for the workload h a folder of checkpoints
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What the line calls the model's size
    #[arg(long, value_name = "LABEL", default_value = "")]
    size: String,
    /// What the line calls the model's files
    #[arg(long, value_name = "LABEL", default_value = "")]
    file: String,
    #[command(flatten)]
    sizes: Sizes,
    /// Exactly this many repetitions [default: 3 to 15, as many as fit the budget]
    #[arg(long, value_name = "N")]
    reps: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Seconds the repetitions may take
    #[arg(long, value_name = "SECONDS", default_value_t = 25.0)]
    budget: f64,
}

/// The line. Its fields are those by which it is compared with the lines of other programs.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    labels: Value,
    #[serde(flatten)]
    timing: Timing,
    #[serde(flatten)]
    measured: Measured,
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let store = FolderStore::open(&args.model)?;
    let runs_on = args.device.open()?;
    let mut work = workload::prepare(args.workload, &store, args.sizes, &runs_on)?;
    let mut measured = Measured::default();
    let repetitions = Repetitions { reps: args.reps, budget: args.budget };
    let timing = meter::time(repetitions, &mut || {
        measured = work()?;
        // A GPU has only queued its operations so far.
        let device = &runs_on.compute.device;
        device.sync().map_err(|error| DeviceError::Failed { asked: args.device.device, reason: error.to_string() })?;
        Ok::<(), Failure>(())
    })?;
    let labels = labels(&args, &runs_on.compute.to_string());
    super::print(&json!(Line { labels, timing, measured }).to_string())?;
    Ok(Exit::Ok)
}

fn labels(args: &Args, device: &str) -> Value {
    json!({
        "peer": "pythia",
        "work": args.workload.letter(),
        "size": args.size,
        "variant": if args.sizes.last_logits { "last" } else { "std" },
        "batch": args.sizes.batch,
        "seq": args.workload.length(args.sizes.length),
        "device": device,
        "dtype": args.device.dtype.long_name(),
        "file": args.file,
        "threads": env::cores(),
    })
}
