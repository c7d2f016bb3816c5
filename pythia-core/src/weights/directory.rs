//! The tensors in the files of a checkpoint by name, with type, shape and offset. Nothing is decoded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::map::MappedFile;
use super::{WeightError, WeightFiles, names, pytorch};
use crate::content::WrongContent;

/// One stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredTensor {
    /// Type of its values.
    pub dtype: Dtype,
    /// Extents, outermost first. The values are row-major without gaps.
    pub shape: Vec<usize>,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Its bytes; `shape` × size of `dtype`.
    pub len: usize,
}

/// All tensors of a checkpoint by their published names, each with the index of its file.
#[derive(Debug)]
pub(super) struct Directory {
    pub files: Vec<MappedFile>,
    pub tensors: BTreeMap<String, (usize, StoredTensor)>,
}

/// Largest safetensors header that is read; the suite's largest has 40 kB.
const MAX_HEADER: u64 = 8 << 20;

impl Directory {
    pub(super) fn open(files: &WeightFiles) -> Result<Self, WeightError> {
        let mut directory = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for path in files.paths() {
            let file = MappedFile::open(path).map_err(|source| WeightError::Io { path: path.clone(), source })?;
            let tensors = match files {
                WeightFiles::Safetensors(_) => list_safetensors(&file)?,
                WeightFiles::Pytorch(_) => pytorch::list(&file)?,
            };
            directory.files.push(file);
            for (name, tensor) in tensors {
                directory.add(name, tensor)?;
            }
        }
        if directory.files.is_empty() { Err(WeightError::NoFiles) } else { Ok(directory) }
    }

    /// Adds a tensor of the file opened last.
    fn add(&mut self, name: String, tensor: StoredTensor) -> Result<(), WeightError> {
        let name = names::published(&name).into_owned();
        let at = self.files.len() - 1;
        match self.tensors.insert(name.clone(), (at, tensor)) {
            None => Ok(()),
            Some((first, _)) => {
                Err(WeightError::Duplicate { tensor: name, first: self.path(first), second: self.path(at) })
            }
        }
    }

    /// The bytes of a tensor.
    pub(super) fn bytes(&self, file: usize, tensor: &StoredTensor) -> Result<Mmap, WeightError> {
        self.window(file, tensor, 0, tensor.len)
    }

    /// Some bytes of a tensor.
    pub(super) fn window(
        &self,
        file: usize,
        tensor: &StoredTensor,
        from: usize,
        len: usize,
    ) -> Result<Mmap, WeightError> {
        let map = self.files[file].range(tensor.offset + from as u64, len);
        map.map_err(|source| WeightError::Io { path: self.path(file), source })
    }

    /// Tells the system that a tensor is going to be read.
    pub(super) fn expect(&self, file: usize, tensor: &StoredTensor) {
        self.files[file].expect(tensor.offset, tensor.len);
    }

    /// Path of a file by index.
    pub(super) fn path(&self, file: usize) -> PathBuf {
        self.files[file].path().to_owned()
    }
}

/// The tensors of a safetensors file. The format's own reader checks that they tile the file without gaps or overlaps.
fn list_safetensors(file: &MappedFile) -> Result<Vec<(String, StoredTensor)>, WeightError> {
    let path = || file.path().to_owned();
    let bytes = file.whole().map_err(|source| WeightError::Io { path: path(), source })?;
    if let Some(source) = WrongContent::instead_of_safetensors(&bytes) {
        return Err(WeightError::Content { path: path(), source });
    }
    let refuse = |source| WeightError::Safetensors { path: path(), source };
    let header = bytes.first_chunk().map_or(0, |first: &[u8; 8]| u64::from_le_bytes(*first));
    if header > MAX_HEADER {
        return Err(refuse(SafeTensorError::HeaderTooLarge));
    }
    let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(refuse)?;
    let data = (header + 8) as u64;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let offset = data + start as u64;
        (name, StoredTensor { dtype: info.dtype, shape: info.shape.clone(), offset, len: end - start })
    });
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}
