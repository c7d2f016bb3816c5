//! The activations of a run.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;

use crate::{Activation, HookError, HookPoint, Hooks, ModelShape, Region, select};

/// Hooks that capture activations at some points, each narrowed to a region if one is given. Pass it to a forward
/// pass, then read it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use pythia_hooks::{ActivationCache, Axis, Hooks, ModelShape, Region, Site};
///
/// let model = ModelShape { n_layers: 6, n_heads: 8, d_model: 4, d_head: 2, d_mlp: 16, parallel: true };
/// // The last two positions of every stream that leaves a block.
/// let mut cache = ActivationCache::named("resid_post", &model)?.keeping(Region::all().along(Axis::Pos, -2..));
/// // A model calls this at every point of its run.
/// for layer in 0..6 {
///     cache.at(Site::ResidPost.at(layer), Tensor::<3>::zeros([1, 10, 4], &Device::flex()));
/// }
/// // `[batch, pos, d_model]` of the last layer.
/// let stream = cache.get_named::<3>("resid_post.-1", &model)?;
/// assert_eq!(stream.dims(), [1, 2, 4]);
/// # Ok::<(), pythia_hooks::HookError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ActivationCache {
    wanted: BTreeSet<HookPoint>,
    region: Region,
    seen: BTreeMap<HookPoint, Activation>,
    error: Option<HookError>,
}

impl ActivationCache {
    /// A cache that will hold these points.
    pub fn of(points: impl IntoIterator<Item = HookPoint>) -> Self {
        ActivationCache { wanted: points.into_iter().collect(), ..Default::default() }
    }

    /// A cache that will hold the points that a pattern names, as [`select`](crate::select) reads it.
    ///
    /// # Errors
    /// Those of [`select`](crate::select).
    pub fn named(pattern: &str, model: &ModelShape) -> Result<Self, HookError> {
        Ok(Self::of(select(pattern, model)?))
    }

    /// Keeps only `region` of each activation. Axes that a site lacks are left alone there, so that one region
    /// (the last position, say) serves streams and heads alike.
    pub fn keeping(mut self, region: Region) -> Self {
        self.region = region;
        self
    }

    /// The activation at `point`, with `D` axes.
    ///
    /// # Errors
    /// [`HookError::NotCaptured`], [`HookError::WrongRank`], or the mistake met while capturing.
    pub fn get<const D: usize>(&self, point: HookPoint) -> Result<Tensor<D>, HookError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let activation = self.seen.get(&point).ok_or(HookError::NotCaptured { point })?;
        let found = activation.rank();
        activation.clone().into_tensor().ok_or(HookError::WrongRank { point, asked: D, found })
    }

    /// The activation at the point with this name, with `D` axes: `blocks.3.attn.hook_z`, `z3`, `resid_post.-1`. Layer
    /// −1 is the model's last, whatever was captured.
    ///
    /// # Errors
    /// As [`ActivationCache::get`] and [`select`](crate::select), and [`HookError::SeveralPoints`].
    pub fn get_named<const D: usize>(&self, name: &str, model: &ModelShape) -> Result<Tensor<D>, HookError> {
        match select(name, model)?[..] {
            [point] => self.get(point),
            ref points => Err(HookError::SeveralPoints { name: name.to_owned(), found: points.len() }),
        }
    }

    /// What was captured, in firing order.
    pub fn iter(&self) -> impl Iterator<Item = (HookPoint, &Activation)> {
        self.seen.iter().map(|(point, activation)| (*point, activation))
    }

    /// Ends the run.
    ///
    /// # Errors
    /// The first error during the run, or [`HookError::NotCaptured`] for a wanted point that the run did not reach.
    pub fn finish(self) -> Result<BTreeMap<HookPoint, Activation>, HookError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.wanted.iter().find(|point| !self.seen.contains_key(point)) {
            Some(&point) => Err(HookError::NotCaptured { point }),
            None => Ok(self.seen),
        }
    }

    /// The region along the axes that `point` has.
    fn region_at(&self, point: HookPoint) -> Region {
        let known = self.region.spans().filter(|(axis, _)| point.site().dim_of(*axis).is_some());
        known.fold(Region::all(), |region, (axis, span)| region.along(axis, span.clone()))
    }
}

impl Hooks for ActivationCache {
    fn wants(&self, point: HookPoint) -> bool {
        self.wanted.contains(&point)
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        match self.region_at(point).take(point, value.clone()) {
            Ok(part) => {
                self.seen.insert(point, Activation::from_tensor(part));
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Site};
    use burn::tensor::{Device, TensorData};

    const MODEL: ModelShape = ModelShape { n_layers: 5, n_heads: 2, d_model: 2, d_head: 1, d_mlp: 8, parallel: true };

    fn stream() -> Tensor<3> {
        Tensor::from_data([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::flex())
    }

    #[test]
    fn a_region_is_kept_where_the_site_knows_its_axes() {
        let region = Region::all().along(Axis::Pos, -1).along(Axis::Head, 0);
        let mut cache = ActivationCache::of([Site::ResidPost.at(3)]).keeping(region);
        let passed = cache.at(Site::ResidPost.at(3), stream());
        assert_eq!(passed.into_data(), stream().into_data());
        let kept: Tensor<3> = cache.get(Site::ResidPost.at(3)).unwrap();
        assert_eq!(kept.into_data(), TensorData::from([[[5.0f32, 6.0]]]));
    }

    #[test]
    fn what_was_not_seen_is_an_error() {
        let cache = ActivationCache::of([Site::ResidPost.at(0)]);
        assert!(matches!(cache.get::<3>(Site::ResidPost.at(0)), Err(HookError::NotCaptured { .. })));
        assert!(matches!(cache.get_named::<3>("resid_post.-6", &MODEL), Err(HookError::LayerOutOfRange { .. })));
        assert!(matches!(cache.finish(), Err(HookError::NotCaptured { .. })));
    }

    #[test]
    fn the_last_layer_is_the_models_and_not_the_last_that_was_captured() {
        let mut cache = ActivationCache::of([Site::ResidPost.at(2), Site::ResidPost.at(3)]);
        cache.at(Site::ResidPost.at(2), stream());
        cache.at(Site::ResidPost.at(3), stream() * 2.0);
        let last = Site::ResidPost.at(4);
        assert_eq!(cache.get_named::<3>("resid_post.-1", &MODEL).unwrap_err(), HookError::NotCaptured { point: last });
        let before = cache.get_named::<3>("resid_post.-2", &MODEL).unwrap();
        assert_eq!(before.into_data(), (stream() * 2.0).into_data());
        let several = cache.get_named::<3>("resid_post", &MODEL).unwrap_err();
        assert!(matches!(several, HookError::SeveralPoints { found: 5, .. }));
    }

    #[test]
    fn ranks_are_checked() {
        let mut cache = ActivationCache::of([Site::ResidPost.at(0)]);
        cache.at(Site::ResidPost.at(0), stream());
        assert!(matches!(cache.get::<4>(Site::ResidPost.at(0)), Err(HookError::WrongRank { asked: 4, found: 3, .. })));
    }
}
