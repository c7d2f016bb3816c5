//! What can be wrong with a pickle.

use thiserror::Error;

/// What can be wrong with a pickle.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PickleError {
    /// The pickle names a global that a dictionary of tensors does not need. It was not called.
    #[error(
        "its pickle asks for {module}.{name}, which is not on the list of what a checkpoint may use; nothing was run"
    )]
    Global {
        /// Module of the global.
        module: String,
        /// Its name.
        name: String,
    },
    /// An instruction that a dictionary of tensors does not need.
    #[error(
        "its pickle has instruction {opcode:#04x} at byte {offset}, which a checkpoint has no use for; nothing was run"
    )]
    Opcode {
        /// Byte that encodes the instruction.
        opcode: u8,
        /// Its offset.
        offset: usize,
    },
    /// The pickle is larger than any list of tensors.
    #[error("its pickle has {found} bytes, expected at most {max}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The most that is read.
        max: usize,
    },
    /// The pickle ends in the middle of an instruction or without a result.
    #[error("its pickle is cut short")]
    Truncated,
    /// An instruction that does not find what it needs.
    #[error("its pickle is malformed before byte {offset}: expected {expected}")]
    Malformed {
        /// Offset of the instruction.
        offset: usize,
        /// What the instruction needed.
        expected: &'static str,
    },
    /// The result is not a flat dictionary of tensors.
    #[error("its pickle does not hold a flat dictionary of tensors{}", something_else(key.as_deref()))]
    NotTensors {
        /// The first entry that is not a tensor; `None` where there is no dictionary at all.
        key: Option<String>,
    },
    /// A training state with two models.
    #[error("its pickle holds models under {first:?} and {second:?}")]
    SeveralModels {
        /// One key.
        first: String,
        /// Another key.
        second: String,
    },
    /// The same key twice.
    #[error("its pickle has tensor {tensor} twice")]
    Duplicate {
        /// Name of the tensor, a key of the dictionary.
        tensor: String,
    },
    /// A transposed or sparse view.
    #[error(
        "tensor {tensor} is not stored contiguously (shape {shape:?}, strides {strides:?}); save it again after \
         .contiguous()"
    )]
    Strided {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides, in values.
        strides: Vec<u64>,
    },
    /// A tensor whose storage is not in the archive.
    #[error("tensor {tensor} lies in {storage}, which the archive does not have")]
    NoStorage {
        /// Name of the tensor.
        tensor: String,
        /// Name of the missing member.
        storage: String,
    },
    /// A tensor that is larger than its storage.
    #[error("tensor {tensor} reaches beyond {storage}, which has {bytes} bytes")]
    OutsideStorage {
        /// Name of the tensor.
        tensor: String,
        /// Name of the member.
        storage: String,
        /// Its size.
        bytes: u64,
    },
}

impl PickleError {
    /// What helps against this cause.
    pub(in crate::weights) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Global { module, name } if is_quantised(module, name) => {
                "the weights are quantised: use the model before quantisation"
            }
            Self::Global { .. } | Self::Opcode { .. } | Self::NotTensors { .. } | Self::TooLarge { .. } => {
                "if you trust the file, save its weights alone: `torch.save(model.state_dict(), \
                 \"pytorch_model.bin\")`; a training state has them under a key such as \"model\" or \"module\""
            }
            Self::SeveralModels { .. } => "save one of them alone, as pytorch_model.bin",
            Self::Truncated | Self::Malformed { .. } | Self::Duplicate { .. } => "get the file from its source again",
            Self::NoStorage { .. } | Self::OutsideStorage { .. } => "get the file from its source again",
            // It says what helps.
            Self::Strided { .. } => return None,
        })
    }
}

/// Whether a global makes tensors of low precision.
fn is_quantised(module: &str, name: &str) -> bool {
    ["bitsandbytes", "torchao"].iter().any(|start| module.starts_with(start))
        || ["float8", "_rebuild_qtensor", "_rebuild_tensor_v3", "QInt8", "QUInt8"]
            .iter()
            .any(|part| name.contains(part))
}

fn something_else(key: Option<&str>) -> String {
    key.map_or(String::new(), |key| format!(": {key} is something else"))
}
