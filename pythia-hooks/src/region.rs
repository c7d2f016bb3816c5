//! Part of an activation, by named axis.

use std::{collections::BTreeMap, fmt, ops::Range};

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::{Axis, HookError, HookPoint};

/// Indices along one axis. Negative indices count from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// One index.
    Index(i64),
    /// Indices from the start up to, not including, the end.
    Range(i64, i64),
    /// Any indices.
    List(Vec<i64>),
}

impl From<i64> for Span {
    fn from(index: i64) -> Self {
        Span::Index(index)
    }
}

impl From<Range<i64>> for Span {
    fn from(range: Range<i64>) -> Self {
        Span::Range(range.start, range.end)
    }
}

impl From<Vec<i64>> for Span {
    fn from(indices: Vec<i64>) -> Self {
        Span::List(indices)
    }
}

impl Span {
    /// The indices along an axis of length `size`, in the order given; the first that does not exist otherwise.
    pub fn resolve(&self, size: usize) -> Result<Vec<usize>, i64> {
        let at = |index: i64| {
            let from_start = if index < 0 { index + size as i64 } else { index };
            usize::try_from(from_start).ok().filter(|&i| i < size).ok_or(index)
        };
        match self {
            Span::Index(index) => Ok(vec![at(*index)?]),
            Span::Range(start, end) if start == end => Ok(Vec::new()),
            // The end is exclusive: it is resolved through the last index inside, so that −1 and the length both work.
            Span::Range(start, end) => Ok((at(*start)?..=at(*end - 1)?).collect()),
            Span::List(indices) => indices.iter().map(|&index| at(index)).collect(),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Index(index) => write!(f, "{index}"),
            Span::Range(start, end) => write!(f, "{start}..{end}"),
            Span::List(indices) => write!(f, "{indices:?}"),
        }
    }
}

/// The part of an activation that an edit or a capture concerns: everything, narrowed along named axes.
///
/// ```
/// use pythia_hooks::{Axis, Region};
/// let region = Region::all().along(Axis::Head, 3).along(Axis::Pos, -4..-1);
/// assert_eq!(region.to_string(), "[pos -4..-1, head 3]");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region(BTreeMap<Axis, Span>);

impl Region {
    /// The whole activation.
    pub fn all() -> Self {
        Region::default()
    }

    /// Narrows the region along `axis`; a second call for one axis replaces the first.
    pub fn along(mut self, axis: Axis, span: impl Into<Span>) -> Self {
        self.0.insert(axis, span.into());
        self
    }

    /// Whether nothing narrows the region.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The axes along which the region is narrowed, with their spans.
    pub fn spans(&self) -> impl Iterator<Item = (Axis, &Span)> {
        self.0.iter().map(|(axis, span)| (*axis, span))
    }

    /// Checks that every axis exists at `point`; sizes are checked when the activation is there.
    ///
    /// # Errors
    /// [`HookError::NoSuchAxis`].
    pub fn check_axes(&self, point: HookPoint) -> Result<(), HookError> {
        match self.0.keys().find(|axis| point.site().dim_of(**axis).is_none()) {
            Some(&axis) => Err(HookError::NoSuchAxis { point, axis }),
            None => Ok(()),
        }
    }

    /// For each narrowed axis: its dimension and the indices chosen along it.
    ///
    /// # Errors
    /// [`HookError::NoSuchAxis`], [`HookError::OutOfRange`].
    pub fn resolve(&self, point: HookPoint, dims: &[usize]) -> Result<Vec<(usize, Vec<usize>)>, HookError> {
        self.check_axes(point)?;
        let chosen = |(&axis, span): (&Axis, &Span)| {
            let dim = point.site().dim_of(axis).ok_or(HookError::NoSuchAxis { point, axis })?;
            let size = dims[dim];
            let indices = span.resolve(size).map_err(|index| HookError::OutOfRange { point, axis, index, size })?;
            Ok((dim, indices))
        };
        self.0.iter().map(chosen).collect()
    }

    /// True where the activation of shape `dims` lies inside the region; `None` when that is everywhere.
    ///
    /// # Errors
    /// As [`Region::resolve`].
    pub fn mask<const D: usize>(
        &self,
        point: HookPoint,
        dims: [usize; D],
        device: &Device,
    ) -> Result<Option<Tensor<D, Bool>>, HookError> {
        let mut mask: Option<Tensor<D, Bool>> = None;
        for (dim, indices) in self.resolve(point, &dims)? {
            let mut inside = vec![false; dims[dim]];
            indices.into_iter().for_each(|index| inside[index] = true);
            let mut shape = [1; D];
            shape[dim] = dims[dim];
            let along = Tensor::<D, Bool>::from_data(TensorData::new(inside, shape), device).expand(dims);
            mask = Some(match mask {
                Some(mask) => mask.bool_and(along),
                None => along,
            });
        }
        Ok(mask)
    }

    /// The part of `value` inside the region; a narrowed axis keeps its place and gets the number of chosen indices.
    ///
    /// # Errors
    /// As [`Region::resolve`].
    pub fn take<const D: usize>(&self, point: HookPoint, value: Tensor<D>) -> Result<Tensor<D>, HookError> {
        let device = value.device();
        let chosen = self.resolve(point, &value.dims())?;
        Ok(chosen.into_iter().fold(value, |value, (dim, indices)| {
            let indices: Vec<i64> = indices.into_iter().map(|index| index as i64).collect();
            let length = indices.len();
            value.select(dim, Tensor::from_data(TensorData::new(indices, [length]), &device))
        }))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return Ok(());
        }
        let parts: Vec<String> = self.0.iter().map(|(axis, span)| format!("{axis} {span}")).collect();
        write!(f, "[{}]", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;

    #[test]
    fn spans_resolve_from_both_ends() {
        assert_eq!(Span::from(-1).resolve(5), Ok(vec![4]));
        assert_eq!(Span::from(1..3).resolve(5), Ok(vec![1, 2]));
        assert_eq!(Span::from(-2..5).resolve(5), Ok(vec![3, 4]));
        assert_eq!(Span::from(0..0).resolve(5), Ok(vec![]));
        assert_eq!(Span::from(vec![4, 0]).resolve(5), Ok(vec![4, 0]));
        assert_eq!(Span::from(5).resolve(5), Err(5));
        assert_eq!(Span::from(-6).resolve(5), Err(-6));
        assert_eq!(Span::from(3..7).resolve(5), Err(6));
    }

    #[test]
    fn a_mask_is_true_inside_only() {
        let region = Region::all().along(Axis::Head, 1).along(Axis::Pos, vec![0, 2]);
        let mask = region.mask(Site::Z.at(0), [1, 3, 2, 1], &Device::flex()).unwrap().unwrap();
        let inside: Vec<bool> = mask.into_data().try_into_vec().unwrap();
        assert_eq!(inside, [false, true, false, false, false, true]);
    }

    #[test]
    fn errors_name_the_axis() {
        let message = |region: Region, dims| {
            region.mask::<3>(Site::ResidPre.at(2), dims, &Device::flex()).unwrap_err().to_string()
        };
        assert!(message(Region::all().along(Axis::Head, 0), [1, 4, 8]).contains("no head axis"));
        assert!(message(Region::all().along(Axis::Pos, 4), [1, 4, 8]).contains("pos 4 is out of range"));
    }

    #[test]
    fn taking_keeps_the_axes() {
        let value = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::flex());
        let last = Region::all().along(Axis::Pos, vec![-1, 0]).take(Site::ResidPre.at(0), value).unwrap();
        assert_eq!(last.into_data(), TensorData::from([[[5.0f32, 6.0], [1.0, 2.0]]]));
    }
}
