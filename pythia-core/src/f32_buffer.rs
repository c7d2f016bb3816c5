//! Memory for the values of a parameter.
//!
//! Weights take up most of the memory, in few large buffers. Each large buffer has its own pages from the system,
//! which return to the system when it is dropped, while an allocator might keep them. So the memory of the process
//! can be planned. The pages become a tensor's memory without a copy.
//!
//! One exception: clearing fresh pages takes a third of the time of loading a checkpoint, and the next checkpoint or
//! block has weights of the same sizes. Dropped pages are kept for a request of the same size, and the first request
//! of another size releases all of them. So the kept pages never add to the memory that was in use before.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use memmap2::{Advice, MmapMut};

/// Buffers of at least so many values (1 MiB) have their own pages. In tests small ones have too.
const LARGE: usize = if cfg!(test) { 1 << 8 } else { 1 << 18 };

/// Dropped pages that are kept for the next request.
static SPARE: Mutex<Spare> = Mutex::new(Spare(Vec::new()));

/// A fixed number of 32-bit floats.
pub struct F32Buffer(Held);

enum Held {
    Heap(Vec<f32>),
    Pages(Pages),
}

/// Pages of the system that hold floats from end to end; absent only while they are dropped.
struct Pages(Option<MmapMut>);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl AsMut<[u8]> for Pages {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        spare(|spare| spare.0.extend(self.0.take()));
    }
}

/// Pages by their sizes.
struct Spare(Vec<MmapMut>);

impl Spare {
    /// Takes pages of this size. If there are none, the kept pages of other sizes are released.
    fn take(&mut self, bytes: usize) -> Option<MmapMut> {
        match self.0.iter().position(|pages| pages.len() == bytes) {
            Some(at) => Some(self.0.swap_remove(at)),
            None => {
                self.0.clear();
                None
            }
        }
    }
}

fn spare<T>(act: impl FnOnce(&mut Spare) -> T) -> T {
    act(&mut SPARE.lock().unwrap_or_else(PoisonError::into_inner))
}

impl F32Buffer {
    /// A buffer of `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut floats = Self::to_fill(len);
        floats.fill(0.0);
        floats
    }

    /// A buffer with unspecified values, for callers that write all of them.
    pub(crate) fn to_fill(len: usize) -> Self {
        if len < LARGE {
            return Self(Held::Heap(vec![0.0; len]));
        }
        let bytes = len * size_of::<f32>();
        if let Some(pages) = spare(|spare| spare.take(bytes)) {
            return Self(Held::Pages(Pages(Some(pages))));
        }
        // If the system has no pages, the allocator reports it.
        match MmapMut::map_anon(bytes) {
            Ok(pages) => Self(Held::Pages(Pages(Some(advised(pages))))),
            Err(_) => Self(Held::Heap(vec![0.0; len])),
        }
    }

    /// The buffer as data of a tensor of this shape. Values are copied only if `dtype` is not float32.
    pub(crate) fn into_data(self, shape: Vec<usize>, dtype: DType) -> TensorData {
        if dtype == DType::F32 {
            return self.into_shaped(shape);
        }
        let data = self.into_shaped(shape).convert_dtype(dtype);
        // A converted model uses none of these pages, and its memory is planned without them.
        Self::release();
        data
    }

    /// Releases all kept pages to the system.
    pub(crate) fn release() {
        spare(|spare| spare.0.clear());
    }

    fn into_shaped(self, shape: Vec<usize>) -> TensorData {
        match self.0 {
            Held::Heap(values) => TensorData::new(values, shape),
            Held::Pages(pages) => {
                let bytes = Bytes::from_shared(bytes::Bytes::from_owner(pages), AllocationProperty::Other);
                TensorData::from_bytes(bytes, shape, DType::F32)
            }
        }
    }
}

/// Asks for large pages, which are faster to clear and to look up. Small ones work too.
fn advised(pages: MmapMut) -> MmapMut {
    #[cfg(target_os = "linux")]
    let _ = pages.advise(Advice::HugePage);
    pages
}

impl Deref for F32Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Held::Heap(values) => values,
            Held::Pages(pages) => bytemuck::cast_slice(pages.as_ref()),
        }
    }
}

impl DerefMut for F32Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Held::Heap(values) => values,
            Held::Pages(pages) => bytemuck::cast_slice_mut(pages.as_mut()),
        }
    }
}

impl From<Vec<f32>> for F32Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self(Held::Heap(values))
    }
}

impl FromIterator<f32> for F32Buffer {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Self(Held::Heap(values.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a F32Buffer {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut F32Buffer {
    type Item = &'a mut f32;
    type IntoIter = std::slice::IterMut<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl Clone for F32Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::to_fill(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for F32Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl PartialEq<Vec<f32>> for F32Buffer {
    fn eq(&self, other: &Vec<f32>) -> bool {
        **self == **other
    }
}

impl fmt::Debug for F32Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor};

    fn counting(len: usize) -> F32Buffer {
        let mut floats = F32Buffer::zeroed(len);
        assert!(floats.iter().all(|&value| value == 0.0));
        floats.iter_mut().zip(1u16..).for_each(|(value, n)| *value = f32::from(n));
        floats
    }

    #[test]
    fn pages_and_heap_hold_the_same() {
        for len in [0, 1, LARGE - 1, LARGE, LARGE + 1000] {
            let floats = counting(len);
            assert_eq!(matches!(floats.0, Held::Pages(_)), len >= LARGE);
            assert_eq!(floats.len(), len);
            assert_eq!(floats.clone(), floats);
            assert_eq!(floats, floats.to_vec());
            let tensor =
                Tensor::<1>::from_data(floats.clone().into_data(vec![len], DType::F32), (&Device::flex(), DType::F32));
            assert_eq!(floats, tensor.into_data().try_into_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn a_tensor_on_pages_computes_and_is_never_changed_in_place_for_others() {
        let floats = counting(LARGE);
        let expected: Vec<f32> = floats.iter().map(|value| value * 2.0 + 1.0).collect();
        let device = Device::flex();
        let tensor = Tensor::<1>::from_data(floats.clone().into_data(vec![LARGE], DType::F32), (&device, DType::F32));
        let kept = tensor.clone();
        let found = (tensor * 2.0 + 1.0).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(found, expected);
        assert_eq!(floats, kept.into_data().try_into_vec::<f32>().unwrap());
    }

    #[test]
    fn spared_pages_serve_their_own_size_and_are_given_back_for_another() {
        let pages = |bytes| MmapMut::map_anon(bytes).unwrap();
        let mut spare = Spare(vec![pages(4096), pages(8192), pages(4096)]);
        assert!(spare.take(4096).is_some_and(|pages| pages.len() == 4096));
        assert!(spare.take(8192).is_some_and(|pages| pages.len() == 8192));
        assert_eq!(spare.0.len(), 1);
        assert!(spare.take(12_288).is_none());
        assert!(spare.0.is_empty() && spare.take(4096).is_none());
    }

    #[test]
    fn zeros_are_zeros_on_used_pages_too() {
        for _ in 0..3 {
            drop(counting(LARGE + 7));
            assert!(F32Buffer::zeroed(LARGE + 7).iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn another_type_has_the_same_numbers() {
        let floats = counting(LARGE);
        let found = floats.clone().into_data(vec![LARGE], DType::F64).try_into_vec::<f64>().unwrap();
        assert!(found.iter().zip(&floats).all(|(&a, &b)| a == f64::from(b)));
    }
}
