//! Options that say what to compute with.

use pythia_core::device::{Backend, DeviceName};

use crate::checkpoint::load::RunsOn;
use crate::cli::failure::Failure;
use crate::config::Precision;
use crate::terminal::say;

/// What to compute with.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct DeviceArgs {
    /// Where to compute: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them
    #[arg(long, default_value = "cpu")]
    pub(super) device: DeviceName,
    /// Precision: of everything (f32, f64), or of weights and their products (f16, bf16)
    #[arg(long, default_value = "f32", ignore_case = true)]
    pub(super) dtype: Precision,
}

impl DeviceArgs {
    pub(super) fn open(self) -> Result<RunsOn, Failure> {
        open_device(self.device, self.dtype)
    }
}

/// Opens a device. The name of a GPU is printed: it may not be the one that was meant.
pub(super) fn open_device(device: DeviceName, precision: Precision) -> Result<RunsOn, Failure> {
    let (compute, dtype) = (device.open()?, precision.dtype());
    compute.check(dtype)?;
    if compute.backend != Backend::Cpu {
        say!("computing on {compute}{}", compute.remark());
    }
    Ok(RunsOn { compute, dtype })
}
