//! `pythia bench`: time a whole workload.

use std::path::PathBuf;

use pythia_core::device::{DeviceError, DeviceName};
use pythia_core::store::FolderStore;
use serde::Serialize;

use crate::bench::meter::{self, Patience, Timing};
use crate::bench::workload::{self, Extra, Sizes, Workload};
use crate::cli::failure::Failure;
use crate::config::Precision;
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
    /// Sequences
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens of a sequence (workloads b and c)
    #[arg(long, default_value_t = 128)]
    seq: usize,
    /// Compute the logits of the last position only (workload b)
    #[arg(long)]
    last_logits: bool,
    /// Exactly this many repetitions [default: 3 to 15, as many as fit the budget]
    #[arg(long, value_name = "N")]
    reps: Option<usize>,
    /// Where to compute: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them
    #[arg(long, default_value = "cpu")]
    device: DeviceName,
    /// Precision: of everything (f32, f64), or of weights and their products (f16, bf16)
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// Seconds the repetitions may take
    #[arg(long, value_name = "SECONDS", default_value_t = 25.0)]
    budget: f64,
}

/// The line: the fields by which it is compared with other programs' lines.
#[derive(Serialize)]
struct Line {
    peer: &'static str,
    work: &'static str,
    size: String,
    variant: &'static str,
    batch: usize,
    seq: usize,
    device: String,
    dtype: &'static str,
    file: String,
    threads: usize,
    #[serde(flatten)]
    timing: Timing,
    #[serde(flatten)]
    noted: Extra,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let store = FolderStore::open(&args.model)?;
    let sizes = Sizes { batch: args.batch, length: args.seq, last_logits: args.last_logits };
    let runs_on = super::open_device(args.device, args.dtype)?;
    let device = runs_on.compute.to_string();
    let mut work = workload::prepare(args.workload, &store, sizes, &runs_on)?;
    let mut noted = Extra::default();
    let patience = Patience { reps: args.reps, budget: args.budget };
    let timing = meter::time(patience, &mut || {
        noted = work()?;
        // A GPU has then been asked, and has not answered yet.
        let device = &runs_on.compute.device;
        device.sync().map_err(|error| DeviceError::Dead { asked: args.device, reason: error.to_string() })?;
        Ok::<(), Failure>(())
    })?;
    super::print(&serde_json::json!(line(&args, device, timing, noted)).to_string())?;
    Ok(Exit::Ok)
}

fn line(args: &Args, device: String, timing: Timing, noted: Extra) -> Line {
    Line {
        peer: "pythia",
        work: args.workload.letter(),
        size: args.size.clone(),
        variant: if args.last_logits { "last" } else { "std" },
        batch: args.batch,
        seq: args.workload.length(args.seq),
        device,
        dtype: args.dtype.long_name(),
        file: args.file.clone(),
        threads: meter::processors() as usize,
        timing,
        noted,
    }
}
