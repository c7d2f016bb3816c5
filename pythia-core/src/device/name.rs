//! Names of devices.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::DeviceError;

/// The library that drives a device. Results of two backends differ in their last digits, so it is recorded with
/// every result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The cores of this machine.
    Cpu,
    /// A GPU by way of Vulkan, Metal or DX12.
    Wgpu,
    /// A GPU by way of CUDA.
    Cuda,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 3] = [Self::Cpu, Self::Wgpu, Self::Cuda];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }

    /// The Cargo feature that adds it to the program `pythia`; `None` for what every program has.
    pub fn feature(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Wgpu => Some("gpu"),
            Self::Cuda => Some("cuda"),
        }
    }

    /// Its device of that number. The CPU is a single device.
    pub fn device(self, index: usize) -> DeviceName {
        match self {
            Self::Cpu => DeviceName::Cpu,
            Self::Wgpu => DeviceName::Wgpu(index),
            Self::Cuda => DeviceName::Cuda(index),
        }
    }

    /// Whether this program was built with it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A device as a user names it: `cpu`, `gpu`, `gpu:1`, `wgpu:1`, `cuda:1`. [`list`](super::list) shows the numbers.
/// Without a number the first device is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DeviceName {
    /// All cores of this machine.
    #[default]
    Cpu,
    /// A GPU by way of wgpu if the program has it, else by way of CUDA.
    Gpu(usize),
    /// A GPU by way of Vulkan, Metal or DX12.
    Wgpu(usize),
    /// A GPU by way of CUDA.
    Cuda(usize),
}

impl DeviceName {
    /// The regular expression of all names.
    pub const PATTERN: &'static str = r"^(cpu|(gpu|wgpu|cuda)(:(0|[1-9][0-9]{0,2}))?)$";
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { text: text.to_owned() };
        let lower = text.to_ascii_lowercase();
        let text = lower.as_str();
        if text == "cpu" {
            return Ok(Self::Cpu);
        }
        let (family, index) = match text.split_once(':') {
            Some((family, index)) => (family, number(index).ok_or_else(unknown)?),
            None => (text, 0),
        };
        match family {
            "gpu" => Ok(Self::Gpu(index)),
            "wgpu" => Ok(Self::Wgpu(index)),
            "cuda" => Ok(Self::Cuda(index)),
            _ => Err(unknown()),
        }
    }
}

/// Up to three digits, without a sign or leading zeros.
fn number(text: &str) -> Option<usize> {
    let plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, index) = match self {
            Self::Cpu => return f.write_str("cpu"),
            Self::Gpu(index) => ("gpu", index),
            Self::Wgpu(index) => ("wgpu", index),
            Self::Cuda(index) => ("cuda", index),
        };
        match index {
            0 => f.write_str(family),
            _ => write!(f, "{family}:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let names = [
            ("cpu", DeviceName::Cpu),
            ("gpu", DeviceName::Gpu(0)),
            ("wgpu:12", DeviceName::Wgpu(12)),
            ("cuda:1", DeviceName::Cuda(1)),
        ];
        for (text, name) in names {
            assert_eq!(text.parse::<DeviceName>().expect("a name"), name);
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("gpu:0".parse::<DeviceName>().expect("a name").to_string(), "gpu");
        assert_eq!("CUDA:1".parse::<DeviceName>().expect("a name"), DeviceName::Cuda(1));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_names_there_are() {
        for text in
            ["", "cpu:0", "gpu:", "gpu:-1", "gpu:+1", "gpu:01", "wgpu:1234", "tpu", "CPUS", "cuda:0:1", "gpu: 1"]
        {
            let error = text.parse::<DeviceName>().expect_err("no device").to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("gpu[:n]"), "{error}");
        }
    }
}
