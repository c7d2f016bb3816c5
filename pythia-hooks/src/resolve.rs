//! Regions of an activation: which indices they select, and the selected values.

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::{Axis, HookError, HookPoint, Region, Span, SpanError};

impl Region {
    /// Checks that every axis exists at `point`. Indices are checked by [`Region::resolve`].
    ///
    /// # Errors
    /// [`HookError::NoSuchAxis`].
    pub fn check_axes(&self, point: HookPoint) -> Result<(), HookError> {
        match self.spans().find(|(axis, _)| point.site().dim_of(*axis).is_none()) {
            Some((axis, _)) => Err(HookError::NoSuchAxis { point, axis }),
            None => Ok(()),
        }
    }

    /// The dimension and the selected indices of each narrowed axis.
    ///
    /// # Errors
    /// [`HookError::NoSuchAxis`], [`HookError::OutOfRange`], [`HookError::Backwards`].
    pub fn resolve(&self, point: HookPoint, dims: &[usize]) -> Result<Vec<(usize, Vec<usize>)>, HookError> {
        self.check_axes(point)?;
        let chosen = |(axis, span): (Axis, &Span)| {
            let dim = point.site().dim_of(axis).ok_or(HookError::NoSuchAxis { point, axis })?;
            Ok((dim, resolve_at(point, axis, span, dims[dim])?))
        };
        self.spans().map(chosen).collect()
    }

    /// A mask of shape `dims` that is true inside the region; `None` for the whole activation.
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

    /// The part of `value` inside the region; a narrowed axis keeps its place and has the length of its selected
    /// indices.
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

/// The indices of a span along an axis of `point`.
///
/// # Errors
/// [`HookError::OutOfRange`], [`HookError::Backwards`].
pub(crate) fn resolve_at(point: HookPoint, axis: Axis, span: &Span, size: usize) -> Result<Vec<usize>, HookError> {
    span.resolve(size).map_err(|error| match error {
        SpanError::OutOfRange(index) => HookError::OutOfRange { point, axis, index, size },
        SpanError::Backwards => HookError::Backwards { point, axis, span: span.clone(), size },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;

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
    fn an_empty_slice_is_explained() {
        let region = Region::all().along(Axis::Pos, -2..0);
        let error = region.resolve(Site::ResidPre.at(2), &[1, 4, 8]).unwrap_err().to_string();
        assert!(error.contains("pos -2..0 selects nothing") && error.contains("write -2.. "), "{error}");
    }

    #[test]
    fn taking_keeps_the_axes() {
        let value = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::flex());
        let last = Region::all().along(Axis::Pos, vec![-1, 0]).take(Site::ResidPre.at(0), value).unwrap();
        assert_eq!(last.into_data(), TensorData::from([[[5.0f32, 6.0], [1.0, 2.0]]]));
    }
}
