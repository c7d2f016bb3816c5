//! The device that models are tested on.

use std::sync::OnceLock;

use burn::tensor::Device;
use pythia_core::device::{Backend, Compute, DeviceName};

/// The device that `PYTHIA_TEST_DEVICE` names, else the CPU.
///
/// # Panics
/// When the named device cannot be opened, so that no test passes by running elsewhere.
pub fn compute() -> &'static Compute {
    static COMPUTE: OnceLock<Compute> = OnceLock::new();
    COMPUTE.get_or_init(|| {
        let name = std::env::var("PYTHIA_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
        let open = || name.parse::<DeviceName>()?.open();
        open().unwrap_or_else(|error| panic!("PYTHIA_TEST_DEVICE: {error}"))
    })
}

/// The device itself.
pub fn device() -> Device {
    compute().device.clone()
}

/// How many random cases to try. Fewer on a GPU, where every shape compiles kernels of its own.
pub fn cases(on_the_cpu: u32) -> u32 {
    if compute().backend == Backend::Cpu { on_the_cpu } else { on_the_cpu.div_ceil(8) }
}
