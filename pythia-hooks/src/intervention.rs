//! Interventions: edits of a run.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::resolve::resolve_at;
use crate::{Activation, HookError, HookPoint, Hooks, ModelShape, Region, Site};

/// An edit of an activation.
#[derive(Clone)]
pub enum Edit {
    /// Replace by zeros.
    Zero,
    /// Multiply by a number.
    Scale(f32),
    /// Add a value; its axes of size 1 are repeated, so a steering vector is `[1, 1, d_model]`.
    Add(Activation),
    /// Replace by a value, such as one of another run or a mean; axes of size 1 are repeated.
    Replace(Activation),
    /// Apply a function, which must keep the shape.
    Map(Arc<dyn Fn(Activation) -> Activation + Send + Sync>),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Zero => f.write_str("zero"),
            Edit::Scale(factor) => write!(f, "scale by {factor}"),
            Edit::Add(value) => write!(f, "add {:?}", value.dims()),
            Edit::Replace(value) => write!(f, "replace by {:?}", value.dims()),
            Edit::Map(_) => f.write_str("map"),
        }
    }
}

/// An edit of part of one activation.
#[derive(Clone)]
pub struct Intervention {
    /// The activation that is edited.
    pub point: HookPoint,
    /// The part of it that is edited. Outside of this part the activation stays as it is, bit for bit.
    pub region: Region,
    /// What is done to that part.
    pub edit: Edit,
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.edit, self.point, self.region)
    }
}

impl Intervention {
    /// The edited activation.
    fn apply<const D: usize>(&self, value: Tensor<D>) -> Result<Tensor<D>, HookError> {
        let mask = self.region.mask(self.point, value.dims(), &value.device())?;
        let Some(mask) = mask else {
            return self.edited(value);
        };
        let edited = self.edited(value.clone())?;
        Ok(value.mask_where(mask, edited))
    }

    fn edited<const D: usize>(&self, value: Tensor<D>) -> Result<Tensor<D>, HookError> {
        let dims = value.dims();
        match &self.edit {
            Edit::Zero => Ok(value.zeros_like()),
            Edit::Scale(factor) => Ok(value * *factor),
            Edit::Add(other) => Ok(value + self.fitted(other.clone(), dims)?),
            Edit::Replace(other) => self.fitted(other.clone(), dims),
            Edit::Map(function) => self.fitted(function(Activation::from_tensor(value)), dims),
        }
    }

    /// Repeats `other` along its axes of size 1 until it has the shape `dims`.
    fn fitted<const D: usize>(&self, other: Activation, dims: [usize; D]) -> Result<Tensor<D>, HookError> {
        let found = other.dims();
        let fits = found.len() == D && found.iter().zip(dims).all(|(&n, size)| n == size || n == 1);
        let mismatch = HookError::ShapeMismatch { point: self.point, expected: dims.to_vec(), found };
        match other.into_tensor::<D>() {
            Some(tensor) if fits => Ok(tensor.expand(dims)),
            _ => Err(mismatch),
        }
    }
}

/// Interventions on one run, applied in order, each with a count of its firings.
///
/// A forward pass cannot return errors. So an error during the run is stored, the activation stays unchanged, and
/// [`Interventions::finish`] returns the error. Call it after every run.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use pythia_hooks::{Axis, Edit, Hooks, Intervention, Interventions, ModelShape, Region, Site};
///
/// let model = ModelShape { n_layers: 2, n_heads: 2, d_model: 4, d_head: 2, d_mlp: 16, parallel: true };
/// let point = Site::ResidPre.at(1);
/// let region = Region::all().along(Axis::Pos, -1);
/// let mut edits = Interventions::new(vec![Intervention { point, region, edit: Edit::Scale(2.0) }], &model)?;
/// // A model calls this at every point of its run.
/// let edited = edits.at(point, Tensor::<3>::ones([1, 3, 4], &Device::flex()));
/// assert_eq!(edited.sum().into_scalar::<f32>(), 16.0);
/// assert_eq!(edits.fired(), [1]);
/// edits.finish()?;
/// # Ok::<(), pythia_hooks::HookError>(())
/// ```
#[derive(Default)]
pub struct Interventions {
    list: Vec<Intervention>,
    fired: Vec<usize>,
    error: Option<HookError>,
}

impl Interventions {
    /// Checks the list against a model.
    ///
    /// # Errors
    /// A layer the model lacks, `hook_resid_mid` of a parallel model, an axis the site lacks, a head out of
    /// range, or edits of a layer norm beside edits of the split inputs.
    pub fn new(list: Vec<Intervention>, model: &ModelShape) -> Result<Self, HookError> {
        for intervention in &list {
            let point = intervention.point;
            crate::select(&point.to_string(), model)?;
            intervention.region.check_axes(point)?;
            check_heads(intervention, model)?;
        }
        check_split_inputs(&list)?;
        let fired = vec![0; list.len()];
        Ok(Interventions { list, fired, error: None })
    }

    /// How often each intervention has fired, in the order given.
    pub fn fired(&self) -> &[usize] {
        &self.fired
    }

    /// Ends the run.
    ///
    /// # Errors
    /// The first error during the run, or [`HookError::NeverFired`].
    pub fn finish(self) -> Result<(), HookError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.list.into_iter().zip(self.fired).find(|(_, fired)| *fired == 0) {
            Some((idle, _)) => Err(HookError::NeverFired { point: idle.point, region: idle.region }),
            None => Ok(()),
        }
    }
}

impl Hooks for Interventions {
    fn wants(&self, point: HookPoint) -> bool {
        self.list.iter().any(|intervention| intervention.point == point)
    }

    fn at<const D: usize>(&mut self, point: HookPoint, mut value: Tensor<D>) -> Tensor<D> {
        for (intervention, fired) in self.list.iter().zip(&mut self.fired).filter(|(i, _)| i.point == point) {
            *fired += 1;
            match intervention.apply(value.clone()) {
                Ok(edited) => value = edited,
                Err(error) => {
                    self.error.get_or_insert(error);
                }
            }
        }
        value
    }
}

fn check_heads(intervention: &Intervention, model: &ModelShape) -> Result<(), HookError> {
    for (axis, span) in intervention.region.spans().filter(|(axis, _)| *axis == crate::Axis::Head) {
        let (point, size) = (intervention.point, model.n_heads);
        resolve_at(point, axis, span, size)?;
    }
    Ok(())
}

/// Each split input has its own layer norm, so an edit of the shared one would be lost.
fn check_split_inputs(list: &[Intervention]) -> Result<(), HookError> {
    let split = |point: HookPoint| matches!(point.site(), Site::AttnIn | Site::QInput | Site::KInput | Site::VInput);
    let norm = |point: HookPoint| matches!(point.site(), Site::Ln1Scale | Site::Ln1Normalized);
    for a in list.iter().map(|i| i.point).filter(|&p| split(p)) {
        if let Some(b) = list.iter().map(|i| i.point).find(|&p| norm(p) && p.layer() == a.layer()) {
            return Err(HookError::SplitInputConflict { layer: a.layer().unwrap_or(0), site: b.site().name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;
    use burn::tensor::{Device, TensorData};

    const MODEL: ModelShape = ModelShape { n_layers: 2, n_heads: 2, d_model: 2, d_head: 1, d_mlp: 8, parallel: true };

    fn stream() -> Tensor<3> {
        Tensor::from_data([[[1.0, 2.0], [3.0, 4.0]]], &Device::flex())
    }

    fn run(region: Region, edit: Edit) -> Result<TensorData, HookError> {
        let point = Site::ResidPre.at(1);
        let mut hooks = Interventions::new(vec![Intervention { point, region, edit }], &MODEL)?;
        let value = hooks.at(point, stream());
        hooks.finish()?;
        Ok(value.into_data())
    }

    #[test]
    fn each_edit_changes_its_region_only() {
        let last = || Region::all().along(Axis::Pos, -1);
        let ones = Activation::Three(Tensor::ones([1, 1, 2], &Device::flex()));
        for (edit, expected) in [
            (Edit::Zero, [[[1.0f32, 2.0], [0.0, 0.0]]]),
            (Edit::Scale(2.0), [[[1.0, 2.0], [6.0, 8.0]]]),
            (Edit::Add(ones.clone()), [[[1.0, 2.0], [4.0, 5.0]]]),
            (Edit::Replace(ones), [[[1.0, 2.0], [1.0, 1.0]]]),
            (Edit::Map(Arc::new(|a| a)), [[[1.0, 2.0], [3.0, 4.0]]]),
        ] {
            assert_eq!(run(last(), edit.clone()).unwrap(), TensorData::from(expected), "{edit}");
        }
        assert_eq!(run(Region::all(), Edit::Zero).unwrap(), TensorData::from([[[0.0f32; 2]; 2]]));
    }

    #[test]
    fn mistakes_met_on_the_way_surface_at_the_end() {
        let late = run(Region::all().along(Axis::Pos, 9), Edit::Zero).unwrap_err();
        assert!(matches!(late, HookError::OutOfRange { index: 9, size: 2, .. }));
        let wide = Activation::Three(Tensor::ones([1, 1, 3], &Device::flex()));
        assert!(matches!(run(Region::all(), Edit::Add(wide)), Err(HookError::ShapeMismatch { .. })));
    }

    #[test]
    fn an_intervention_that_never_fires_is_an_error() {
        let idle = Intervention { point: Site::Z.at(0), region: Region::all(), edit: Edit::Zero };
        let hooks = Interventions::new(vec![idle], &MODEL).unwrap();
        assert!(matches!(hooks.finish(), Err(HookError::NeverFired { .. })));
    }

    #[test]
    fn impossible_requests_are_refused_before_the_run() {
        let new = |site: Site, layer, region| {
            Interventions::new(vec![Intervention { point: site.at(layer), region, edit: Edit::Zero }], &MODEL).err()
        };
        assert!(matches!(new(Site::Z, 2, Region::all()), Some(HookError::LayerOutOfRange { .. })));
        assert!(matches!(new(Site::ResidMid, 0, Region::all()), Some(HookError::NoResidMid { .. })));
        assert!(matches!(new(Site::Z, 0, Region::all().along(Axis::Head, 2)), Some(HookError::OutOfRange { .. })));
        assert!(matches!(new(Site::Z, 0, Region::all().along(Axis::Key, 0)), Some(HookError::NoSuchAxis { .. })));
        let both = [Site::QInput, Site::Ln1Scale].map(|site| Intervention {
            point: site.at(1),
            region: Region::all(),
            edit: Edit::Zero,
        });
        assert!(matches!(
            Interventions::new(both.to_vec(), &MODEL),
            Err(HookError::SplitInputConflict { layer: 1, .. })
        ));
    }
}
