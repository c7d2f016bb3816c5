//! Devices: the CPU cores of this machine, or a GPU. A device is a value that is chosen at run time. Nothing here
//! uses a default device, which could be another one than the chosen one.
//!
//! ```
//! use burn::tensor::DType;
//! use pythia_core::device::{Backend, Compute, DeviceError, DeviceName};
//!
//! let cpu: Compute = "cpu".parse::<DeviceName>()?.open()?;
//! assert_eq!((cpu.backend, cpu.asked()), (Backend::Cpu, DeviceName::Cpu));
//! cpu.check(DType::F64)?;
//! assert!(matches!("tpu".parse::<DeviceName>(), Err(DeviceError::Unknown { .. })));
//! # Ok::<(), DeviceError>(())
//! ```

mod cause;
mod error;
mod exact;
mod host;
mod ints;
mod name;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device};

pub use cause::cause;
pub use error::DeviceError;
pub use host::{ReadError, host_f32, host_f64, host_ints};
pub use ints::ints;
pub use name::{Backend, DeviceName};

/// An opened device.
#[derive(Clone, Debug)]
pub struct Compute {
    /// The handle of the tensor library.
    pub device: Device,
    /// What drives it.
    pub backend: Backend,
    /// Its number among those of its backend.
    pub index: usize,
    /// The name that its driver reports; `None` for the CPU.
    pub name: Option<String>,
    /// Whether it is a software implementation of a GPU.
    pub software: bool,
}

impl DeviceName {
    /// The backend that drives it. For `gpu` that is wgpu, which computes exactly on every card, or else the one that
    /// this program has. It does not depend on the machine, so that a plan made on another machine is valid for the
    /// run.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`].
    pub fn backend(self) -> Result<Backend, DeviceError> {
        let backend = match self {
            Self::Cpu => Backend::Cpu,
            Self::Cuda(_) => Backend::Cuda,
            Self::Gpu(_) if !Backend::Wgpu.is_built() && Backend::Cuda.is_built() => Backend::Cuda,
            Self::Gpu(_) | Self::Wgpu(_) => Backend::Wgpu,
        };
        match backend.is_built() {
            true => Ok(backend),
            false => Err(DeviceError::NotBuilt { asked: self, backend }),
        }
    }

    /// Opens the device that the name stands for.
    ///
    /// # Errors
    /// The program has no such backend, the machine has no such device, or its driver fails.
    pub fn open(self) -> Result<Compute, DeviceError> {
        let backend = self.backend()?;
        let index = match self {
            Self::Cpu => 0,
            Self::Gpu(index) | Self::Wgpu(index) | Self::Cuda(index) => index,
        };
        match found(backend).into_iter().nth(index) {
            Some(found) => found.open(index).map_err(|reason| DeviceError::Failed { asked: self, reason }),
            None => {
                let told = |device: Result<Compute, DeviceError>| match device {
                    Ok(device) => device.to_string(),
                    Err(error) => error.to_string(),
                };
                Err(DeviceError::Absent { asked: self, found: all(backend).map(told).collect() })
            }
        }
    }
}

/// The CPU cores of this machine, as the tensor library's device. Burn's name for its CPU backend is flex.
///
/// ```
/// use pythia_core::{device, model::GptNeoX};
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
/// let model = GptNeoX::load(folder, &device::cpu())?;
/// assert_eq!(model.tokens(&[vec![5, 8, 13]]).dims(), [1, 3]);
/// # Ok::<(), pythia_core::load::LoadError>(())
/// ```
pub fn cpu() -> Device {
    Device::flex()
}

/// Every device that this program can use on this machine, the CPU first, or why one fails.
pub fn list() -> Vec<Result<Compute, DeviceError>> {
    Backend::ALL.into_iter().flat_map(all).collect()
}

/// The devices of a backend.
fn all(backend: Backend) -> impl Iterator<Item = Result<Compute, DeviceError>> {
    let open = move |(index, found): (usize, Found)| {
        let asked = backend.device(index);
        found.open(index).map_err(|reason| DeviceError::Failed { asked, reason })
    };
    found(backend).into_iter().enumerate().map(open)
}

impl Compute {
    /// The cores of this machine.
    pub fn cpu() -> Self {
        Self { device: cpu(), backend: Backend::Cpu, index: 0, name: None, software: false }
    }

    /// Checks that the device supports a number type. A GPU also computes a test product in float32, the type of
    /// scores and logits for every type of weights. This takes as long as its driver needs to compile the product.
    ///
    /// # Errors
    /// [`DeviceError::Numbers`], [`DeviceError::Inexact`], [`DeviceError::Failed`].
    pub fn check(&self, dtype: DType) -> Result<(), DeviceError> {
        if !self.computes_in(dtype) {
            return Err(self.refusal(dtype));
        }
        if self.backend == Backend::Cpu {
            return Ok(());
        }
        let asked = self.asked();
        match answer(|| exact::products(&self.device)).and_then(|exact| exact) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DeviceError::Inexact { device: self.to_string() }),
            Err(reason) => Err(DeviceError::Failed { asked, reason }),
        }
    }

    /// Its name.
    pub fn asked(&self) -> DeviceName {
        self.backend.device(self.index)
    }

    /// A remark for the user before anything is computed; empty for a hardware GPU.
    pub fn remark(&self) -> &'static str {
        if self.software { ", a driver that computes on the cores of this machine" } else { "" }
    }

    fn refusal(&self, dtype: DType) -> DeviceError {
        let offered: Vec<&str> =
            DTYPES.iter().filter(|(dtype, _)| self.computes_in(*dtype)).map(|(_, name)| *name).collect();
        let name = DTYPES.iter().find(|(known, _)| *known == dtype).map_or("such numbers", |(_, name)| *name);
        let offered = format!("it offers {}", offered.join(", "));
        DeviceError::Numbers { device: self.to_string(), dtype: name, offered }
    }

    /// Whether weights and products may have that type.
    pub fn computes_in(&self, dtype: DType) -> bool {
        match (self.backend, dtype) {
            (_, DType::F32) | (Backend::Cpu, DType::F64 | DType::F16 | DType::BF16) => true,
            // Shader languages lack exp and erf in float64, which is for checks and need not be fast.
            (Backend::Wgpu | Backend::Cuda, DType::F16 | DType::BF16) => self.device.supports_dtype(dtype),
            _ => false,
        }
    }
}

impl std::fmt::Display for Compute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.backend, &self.name) {
            (Backend::Cpu, _) => f.write_str("cpu"),
            (backend, name) => write!(f, "{backend}:{} ({})", self.index, name.as_deref().unwrap_or("nameless")),
        }
    }
}

/// Whether that is the CPU, whose tensors are in this program's own memory.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Number types by name.
const DTYPES: [(DType, &str); 4] =
    [(DType::F32, "f32"), (DType::F64, "f64"), (DType::F16, "f16"), (DType::BF16, "bf16")];

/// A device in the list of a driver.
struct Found {
    device: Device,
    backend: Backend,
    software: bool,
}

impl Found {
    /// Opens the device.
    fn open(self, index: usize) -> Result<Compute, String> {
        let Found { device, backend, software } = self;
        let name = answer(|| identity(&device))?;
        Ok(Compute { device, backend, index, name, software })
    }
}

/// Runs a request to a device and turns panics into errors, because the libraries panic when a driver fails.
///
/// # Errors
/// The message of the panic.
pub fn answer<T>(ask: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(ask)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("its driver failed").to_owned()
    })
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn identity(device: &Device) -> Option<String> {
    device.identity().map(|identity| identity.name)
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
fn identity(_: &Device) -> Option<String> {
    None
}

/// The devices of a backend: discrete GPUs first, then others, software implementations last.
fn found(backend: Backend) -> Vec<Found> {
    match backend {
        Backend::Cpu => vec![Found { device: Device::flex(), backend, software: false }],
        Backend::Wgpu => wgpu(),
        Backend::Cuda => cuda(),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Vec<Found> {
    use burn::tensor::{DeviceKind, DeviceType};
    let all = Device::enumerate(DeviceType::Wgpu).into_vec();
    let discrete: Vec<Device> = (0..all.len()).map(|index| Device::wgpu(DeviceKind::DiscreteGpu(index))).collect();
    let software = Device::wgpu(DeviceKind::Cpu);
    let of = |device: Device| Found { software: device == software, device, backend: Backend::Wgpu };
    let mut found: Vec<Found> = all.into_iter().map(of).collect();
    found.sort_by_key(|found| (found.software, !discrete.contains(&found.device)));
    found
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Vec<Found> {
    Vec::new()
}

#[cfg(feature = "cuda")]
fn cuda() -> Vec<Found> {
    use burn::tensor::DeviceType;
    let all = Device::enumerate(DeviceType::Cuda).into_vec();
    all.into_iter().map(|device| Found { device, backend: Backend::Cuda, software: false }).collect()
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Vec<Found> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_first() {
        let devices: Vec<Compute> = list().into_iter().map(|device| device.expect("it answers")).collect();
        assert_eq!((devices[0].backend, devices[0].to_string().as_str()), (Backend::Cpu, "cpu"));
        assert!(DTYPES.iter().all(|(dtype, _)| devices[0].check(*dtype).is_ok()));
        assert_eq!(DeviceName::Cpu.open().expect("there").device, Device::flex());
    }

    #[test]
    fn a_device_that_is_not_there_says_which_are() {
        let asked = DeviceName::Wgpu(999);
        let error = asked.open().expect_err("no machine has so many");
        match Backend::Wgpu.is_built() {
            true => assert!(matches!(&error, DeviceError::Absent { asked: DeviceName::Wgpu(999), .. }), "{error}"),
            false => assert_eq!(error, DeviceError::NotBuilt { asked, backend: Backend::Wgpu }),
        }
    }

    /// The two features of the program `pythia` are the ones that the messages name (tests/tests/gpu.rs looks for them
    /// in its manifest).
    #[test]
    fn a_backend_that_is_not_built_in_is_named_with_its_feature() {
        for (asked, backend) in [("gpu:1", Backend::Wgpu), ("wgpu", Backend::Wgpu), ("cuda", Backend::Cuda)] {
            let asked = asked.parse().expect("a device");
            let error = DeviceError::NotBuilt { asked, backend }.to_string();
            let command =
                format!("`cargo build --release --features {}`", backend.feature().expect("not in every build"));
            assert!(error.contains(&format!("without {backend}, which the device {asked} needs")), "{error}");
            assert!(error.contains(&command), "{error}");
            assert_eq!(error.contains("released binary"), backend == Backend::Wgpu, "{error}");
        }
    }

    #[test]
    fn float64_is_for_the_cpu() {
        let card = Compute { backend: Backend::Wgpu, name: Some("a card".into()), ..Compute::cpu() };
        let error = card.check(DType::F64).expect_err("refused").to_string();
        assert!(error.starts_with("wgpu:0 (a card) does not compute in f64; it offers f32"), "{error}");
    }
}
