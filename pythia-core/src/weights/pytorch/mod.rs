//! PyTorch's `.bin` files: a zip archive of one pickle, which names the tensors, and one raw member per storage.
//!
//! The pickle may be a training state: a dictionary that holds the dictionary of tensors under a usual key.
//!
//! Nothing is unpickled in Python's sense. [`pickle`] interprets the few instructions that a dictionary of tensors
//! needs, with a closed list of globals as enum variants, and refuses the rest. [`archive`] finds the members, which
//! are uncompressed and read in place.

mod archive;
mod pickle;

use std::collections::BTreeMap;

pub use archive::ZipError;
pub use pickle::PickleError;

use self::archive::Member;
use self::pickle::PickledTensor;
use super::WeightError;
use super::directory::StoredTensor;
use super::map::MappedFile;
use crate::content::WrongContent;

/// The tensors of a PyTorch file.
pub(super) fn list(file: &MappedFile) -> Result<Vec<(String, StoredTensor)>, WeightError> {
    let path = || file.path().to_owned();
    let bytes = file.whole().map_err(|source| WeightError::Io { path: path(), source })?;
    if let Some(source) = WrongContent::instead_of_pytorch(&bytes) {
        return Err(WeightError::Content { path: path(), source });
    }
    let zip = |source| WeightError::Zip { path: path(), source };
    let members = archive::members(&bytes).map_err(zip)?;
    let root = root(&members).map_err(zip)?;
    if let Some(order) = members.get(&format!("{root}/byteorder"))
        && order.bytes(&bytes) != b"little"
    {
        return Err(zip(ZipError::BigEndian));
    }
    let pickle = |source| WeightError::Pickle { path: path(), source };
    let pickled = pickle::read(members[&format!("{root}/data.pkl")].bytes(&bytes)).map_err(pickle)?;
    let place = |(name, tensor): (&str, PickledTensor)| {
        let stored = place(name, &tensor, &root, &members)?;
        Ok((name.to_owned(), stored))
    };
    pickled.into_iter().map(place).collect::<Result<_, _>>().map_err(pickle)
}

/// The top folder inside the archive.
fn root(members: &BTreeMap<String, Member>) -> Result<String, ZipError> {
    let mut roots = members.keys().filter_map(|name| name.strip_suffix("/data.pkl")).filter(|root| !root.contains('/'));
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root.to_owned()),
        _ => Err(ZipError::NoPickle),
    }
}

/// Finds a tensor's bytes and checks that they are inside its storage.
fn place(
    name: &str,
    tensor: &PickledTensor,
    root: &str,
    members: &BTreeMap<String, Member>,
) -> Result<StoredTensor, PickleError> {
    let storage = format!("{root}/data/{}", tensor.key);
    let member = members.get(&storage);
    let member = member.ok_or_else(|| PickleError::NoStorage { tensor: name.to_owned(), storage: storage.clone() })?;
    let size = tensor.dtype.bitsize() as u64 / 8;
    let outside =
        || PickleError::OutsideStorage { tensor: name.to_owned(), storage: storage.clone(), bytes: member.len };
    let n_values = tensor.shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent)).ok_or_else(outside)?;
    let start = tensor.first.checked_mul(size).ok_or_else(outside)?;
    let len = n_values.checked_mul(size).ok_or_else(outside)?;
    if start.checked_add(len).is_none_or(|end| end > member.len) {
        return Err(outside());
    }
    // Both fit: the member lies within a file that is mapped as a whole.
    let shape = tensor.shape.iter().map(|&extent| extent as usize).collect();
    Ok(StoredTensor { dtype: tensor.dtype, shape, offset: member.offset + start, len: len as usize })
}
