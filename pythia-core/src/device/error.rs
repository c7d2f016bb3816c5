//! Why a device cannot be used.

use super::{Backend, DeviceName, cause};

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("`{text}` is no device; there are cpu, gpu[:n], wgpu[:n] and cuda[:n]")]
    Unknown {
        /// The requested device.
        text: String,
    },
    /// The program was built without its backend.
    #[error("this program was built without {backend}, which the device {asked} needs; {}", remedy(*backend))]
    NotBuilt {
        /// The requested device.
        asked: DeviceName,
        /// The missing backend.
        backend: Backend,
    },
    /// The machine has no such device.
    #[error("this machine has no device {asked}: {}", has(found))]
    Absent {
        /// The requested device.
        asked: DeviceName,
        /// The devices of that backend.
        found: Vec<String>,
    },
    /// The device exists but fails.
    #[error("the device {asked} fails: {}", cause(reason))]
    Failed {
        /// The requested device.
        asked: DeviceName,
        /// The message of its driver.
        reason: String,
    },
    /// The device rounds float32 products.
    #[error(
        "{device} rounds float32 products to fewer digits (TF32, by the library that drives it), and scores and \
         logits are such products in every dtype; use wgpu on the same card"
    )]
    Inexact {
        /// Name of the device that was opened.
        device: String,
    },
    /// The device does not support the number type.
    #[error("{device} does not compute in {dtype}; {offered}")]
    Numbers {
        /// Name of the device that was opened.
        device: String,
        /// The requested type.
        dtype: &'static str,
        /// The number types that it supports.
        offered: String,
    },
}

fn remedy(missing: Backend) -> String {
    let released = if missing == Backend::Wgpu { ", or use a released binary, which has it" } else { "" };
    let command = |feature| format!("build it with `cargo build --release --features {feature}`{released}");
    missing.feature().map_or_else(|| "every build has it".to_owned(), command)
}

fn has(found: &[String]) -> String {
    match found {
        [] => "no driver offers one (Vulkan, Metal or DX12 for wgpu, the NVIDIA driver for cuda)".to_owned(),
        found => format!("it has {}", found.join(", ")),
    }
}
