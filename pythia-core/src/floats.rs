//! The numbers of a parameter.
//!
//! Weights are by far the largest things in memory, and there are few of them. Each large one has pages of its own from the system:
//! they are gone the moment it is dropped, where an allocator would keep them for a while in case something of that size came again.
//! So what the process holds can be planned. The pages become a tensor's memory as they are, without a copy.

use std::fmt;
use std::ops::{Deref, DerefMut};

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use memmap2::{Advice, MmapMut};

/// Values from which on pages of their own pay: 1 MiB.
const LARGE: usize = 1 << 18;

/// A fixed number of 32-bit floats.
pub struct Floats(Held);

enum Held {
    Heap(Vec<f32>),
    Pages(Pages),
}

/// Pages of the system that hold floats from end to end.
struct Pages(MmapMut);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Floats {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        if len < LARGE {
            return Self(Held::Heap(vec![0.0; len]));
        }
        // Where the system has no pages to give, the allocator says what it says to everybody.
        match MmapMut::map_anon(len * size_of::<f32>()) {
            Ok(pages) => Self(Held::Pages(Pages(advised(pages)))),
            Err(_) => Self(Held::Heap(vec![0.0; len])),
        }
    }

    /// As the contents of a tensor of this shape; nothing is copied.
    pub(crate) fn into_data(self, shape: Vec<usize>) -> TensorData {
        match self.0 {
            Held::Heap(values) => TensorData::new(values, shape),
            Held::Pages(pages) => {
                let bytes = Bytes::from_shared(bytes::Bytes::from_owner(pages), AllocationProperty::Other);
                TensorData::from_bytes(bytes, shape, DType::F32)
            }
        }
    }
}

/// Large pages are cleared and looked up faster; where there are none, small ones do.
fn advised(pages: MmapMut) -> MmapMut {
    #[cfg(target_os = "linux")]
    let _ = pages.advise(Advice::HugePage);
    pages
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Held::Heap(values) => values,
            Held::Pages(pages) => bytemuck::cast_slice(&pages.0),
        }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Held::Heap(values) => values,
            Held::Pages(pages) => bytemuck::cast_slice_mut(&mut pages.0),
        }
    }
}

impl From<Vec<f32>> for Floats {
    fn from(values: Vec<f32>) -> Self {
        Self(Held::Heap(values))
    }
}

impl FromIterator<f32> for Floats {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Self(Held::Heap(values.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a Floats {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Floats {
    type Item = &'a mut f32;
    type IntoIter = std::slice::IterMut<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl Clone for Floats {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl PartialEq<Vec<f32>> for Floats {
    fn eq(&self, other: &Vec<f32>) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor};

    fn counting(len: usize) -> Floats {
        let mut floats = Floats::zeroed(len);
        assert!(floats.iter().all(|&value| value == 0.0));
        floats.iter_mut().zip(1u16..).for_each(|(value, n)| *value = f32::from(n));
        floats
    }

    #[test]
    fn pages_and_heap_hold_the_same() {
        for len in [0, 1, LARGE - 1, LARGE, LARGE + 1000] {
            let floats = counting(len.min(60_000).max(len));
            assert_eq!(matches!(floats.0, Held::Pages(_)), len >= LARGE);
            assert_eq!(floats.len(), len);
            assert_eq!(floats.clone(), floats);
            assert_eq!(floats, floats.to_vec());
            let tensor = Tensor::<1>::from_data(floats.clone().into_data(vec![len]), (&Device::flex(), DType::F32));
            assert_eq!(floats, tensor.into_data().try_into_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn a_tensor_on_pages_computes_and_is_never_changed_in_place_for_others() {
        let floats = counting(LARGE);
        let expected: Vec<f32> = floats.iter().map(|value| value * 2.0 + 1.0).collect();
        let device = Device::flex();
        let tensor = Tensor::<1>::from_data(floats.clone().into_data(vec![LARGE]), (&device, DType::F32));
        let kept = tensor.clone();
        let found = (tensor * 2.0 + 1.0).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(found, expected);
        assert_eq!(floats, kept.into_data().try_into_vec::<f32>().unwrap());
    }
}
