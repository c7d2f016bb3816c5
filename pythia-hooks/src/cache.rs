//! What a run saw.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;

use crate::{Activation, HookError, HookPoint, Hooks, Region, Site};

/// Captures activations at chosen points, each narrowed to a region if one is given.
///
/// ```
/// use pythia_hooks::{ActivationCache, Axis, Region, Site};
///
/// // The pattern of layer 2, and the last two positions of every stream that leaves a block.
/// let cache = ActivationCache::of([Site::Pattern.at(2)]);
/// let last = ActivationCache::of((0..6).map(|l| Site::ResidPost.at(l))).keeping(Region::all().along(Axis::Pos, -2..0));
/// # let _ = (cache, last);
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

    /// The activation of `site` at a layer, counted from the end of the layers seen if negative.
    ///
    /// # Errors
    /// As [`ActivationCache::get`], and [`HookError::LayerOutOfRange`].
    pub fn at_layer<const D: usize>(&self, site: Site, layer: i64) -> Result<Tensor<D>, HookError> {
        let layers: Vec<usize> = self.wanted.iter().filter(|p| p.site() == site).filter_map(|p| p.layer()).collect();
        let n_layers = layers.last().map_or(1, |last| last + 1);
        let from_start = if layer < 0 { layer + n_layers as i64 } else { layer };
        let out_of_range = HookError::LayerOutOfRange { name: site.name().to_owned(), layer, n_layers };
        self.get(site.at(usize::try_from(from_start).map_err(|_| out_of_range)?))
    }

    /// What was captured, in firing order.
    pub fn iter(&self) -> impl Iterator<Item = (HookPoint, &Activation)> {
        self.seen.iter().map(|(point, activation)| (*point, activation))
    }

    /// Ends the run.
    ///
    /// # Errors
    /// The first mistake met on the way, or [`HookError::NotCaptured`] for a wanted point that never came.
    pub fn finish(self) -> Result<BTreeMap<HookPoint, Activation>, HookError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.wanted.iter().find(|point| !self.seen.contains_key(point)) {
            Some(&point) => Err(HookError::NotCaptured { point }),
            None => Ok(self.seen),
        }
    }

    /// The part of the region that `point`'s axes know.
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
    use crate::Axis;
    use burn::tensor::{Device, TensorData};

    fn stream() -> Tensor<3> {
        Tensor::from_data([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::flex())
    }

    #[test]
    fn a_region_is_kept_where_the_site_knows_its_axes() {
        let region = Region::all().along(Axis::Pos, -1).along(Axis::Head, 0);
        let mut cache = ActivationCache::of([Site::ResidPost.at(3)]).keeping(region);
        let passed = cache.at(Site::ResidPost.at(3), stream());
        assert_eq!(passed.into_data(), stream().into_data());
        let kept: Tensor<3> = cache.at_layer(Site::ResidPost, -1).unwrap();
        assert_eq!(kept.into_data(), TensorData::from([[[5.0f32, 6.0]]]));
    }

    #[test]
    fn what_was_not_seen_is_an_error() {
        let cache = ActivationCache::of([Site::ResidPost.at(0)]);
        assert!(matches!(cache.get::<3>(Site::ResidPost.at(0)), Err(HookError::NotCaptured { .. })));
        assert!(matches!(cache.at_layer::<3>(Site::ResidPost, -2), Err(HookError::LayerOutOfRange { .. })));
        assert!(matches!(cache.finish(), Err(HookError::NotCaptured { .. })));
    }

    #[test]
    fn ranks_are_checked() {
        let mut cache = ActivationCache::of([Site::ResidPost.at(0)]);
        cache.at(Site::ResidPost.at(0), stream());
        assert!(matches!(cache.get::<4>(Site::ResidPost.at(0)), Err(HookError::WrongRank { asked: 4, found: 3, .. })));
    }
}
