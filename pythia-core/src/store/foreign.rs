//! Folders whose weights are in a form that is not read here.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::weights::ADAPTER;

/// A form of weights that is not read here, told by the names of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignFormat {
    /// A low-rank adapter of peft.
    Adapter,
    /// The layout in which GPT-NeoX trains.
    NeoxNative,
    /// A checkpoint of DeepSpeed or of a library on top of it.
    DeepSpeed,
    /// A distributed checkpoint of PyTorch.
    Distributed,
    /// A file of llama.cpp.
    Gguf,
    /// Weights of TensorFlow or Flax.
    OtherFramework,
    /// Shards without their index.
    NoIndex,
    /// A file of PyTorch or safetensors under another name.
    OtherName,
}

impl ForeignFormat {
    /// The form that a file's name tells.
    fn of(name: &str) -> Option<Self> {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        Some(match name {
            "adapter_config.json" => Self::Adapter,
            _ if name.starts_with("layer_") && ends(&["-model_states.pt"]) => Self::NeoxNative,
            "zero_to_fp32.py" => Self::DeepSpeed,
            _ if name.starts_with("zero_pp_rank_") || ends(&["_model_states.pt"]) => Self::DeepSpeed,
            _ if ends(&[".distcp"]) => Self::Distributed,
            _ if ends(&[".gguf"]) => Self::Gguf,
            "tf_model.h5" | "flax_model.msgpack" => Self::OtherFramework,
            _ if name.contains("-of-") && ends(&[".safetensors", ".bin"]) => Self::NoIndex,
            // States of optimizers and loops lie beside weights.
            "training_args.bin" | "optimizer.bin" | "scheduler.bin" | "optimizer.pt" | "scheduler.pt" => return None,
            _ if ends(&[".safetensors", ".bin", ".pt", ".pth", ".ckpt"]) => Self::OtherName,
            _ => return None,
        })
    }

    /// Whether such a folder has no config.json of its own.
    fn replaces_config(self) -> bool {
        matches!(self, Self::Adapter | Self::NeoxNative | Self::DeepSpeed | Self::Distributed)
    }

    fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ForeignFormat {
    /// What the form is, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter => write!(f, "it is a LoRA adapter, not a whole model: {ADAPTER}"),
            Self::NeoxNative => f.write_str(
                "it has the layout in which GPT-NeoX trains: convert it with its tools/ckpts/convert_neox_to_hf.py",
            ),
            Self::DeepSpeed => f.write_str(
                "it is a training state of DeepSpeed: run `python zero_to_fp32.py . pytorch_model.bin` in its folder, \
                 or save what it has under \"module\" as pytorch_model.bin",
            ),
            Self::Distributed => f.write_str(
                "it is a distributed checkpoint of PyTorch: convert it with \
                 `python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIR pytorch_model.bin`",
            ),
            Self::Gguf => f.write_str("GGUF is not read: use the model's safetensors or PyTorch files"),
            Self::OtherFramework => {
                f.write_str("TensorFlow and Flax are not read: save the model with transformers in PyTorch")
            }
            Self::NoIndex => f.write_str("it is a shard, and its index is missing: copy the *.index.json there too"),
            Self::OtherName => f.write_str(
                "if it holds the model's weights, name it model.safetensors, or pytorch_model.bin if PyTorch wrote it",
            ),
        }
    }
}

/// The file that best explains why a folder has no weights, or no configuration, that could be read.
pub(super) fn find(dir: &Path, config: bool) -> Option<(PathBuf, ForeignFormat)> {
    // A folder that cannot be listed explains nothing; the error says what was looked for.
    let names = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let known = names.filter_map(|name| Some((ForeignFormat::of(&name)?, name)));
    let known = known.filter(|(format, _)| !config || format.replaces_config());
    let (format, name) = known.min_by_key(|(format, name)| (format.rank(), name.clone()))?;
    Some((dir.join(name), format))
}
