//! What the model calls at each point.

use burn::tensor::Tensor;

use crate::HookPoint;

/// Instruments of a forward pass. The model hands every activation that is wanted to [`Hooks::at`] and goes
/// on with what it gets back.
///
/// A one-off needs a few lines:
///
/// ```
/// use burn::tensor::Tensor;
/// use pythia_hooks::{HookPoint, Hooks, Site};
///
/// /// Doubles what every MLP writes.
/// struct LouderMlps;
///
/// impl Hooks for LouderMlps {
///     fn wants(&self, point: HookPoint) -> bool {
///         point.site() == Site::MlpOut
///     }
///     fn at<const D: usize>(&mut self, _: HookPoint, value: Tensor<D>) -> Tensor<D> {
///         value * 2.0
///     }
/// }
/// ```
pub trait Hooks {
    /// Whether [`Hooks::at`] is to be called at `point`. What nobody wants need not be computed.
    fn wants(&self, point: HookPoint) -> bool;

    /// Whether [`Hooks::at`] may return something else than it got there. Hooks that only look say no, which
    /// spares the model the split query, key and value inputs. By default every wanted point may change.
    fn edits(&self, point: HookPoint) -> bool {
        self.wants(point)
    }

    /// Looks at, and may replace, the activation `value` (axes: `point.site().axes()`).
    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D>;
}

/// The plain forward pass.
impl Hooks for () {
    fn wants(&self, _: HookPoint) -> bool {
        false
    }
    fn at<const D: usize>(&mut self, _: HookPoint, value: Tensor<D>) -> Tensor<D> {
        value
    }
}

impl<H: Hooks> Hooks for &mut H {
    fn wants(&self, point: HookPoint) -> bool {
        (**self).wants(point)
    }
    fn edits(&self, point: HookPoint) -> bool {
        (**self).edits(point)
    }
    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        (**self).at(point, value)
    }
}

/// Left first: `(&mut interventions, &mut cache)` records the run as changed.
impl<A: Hooks, B: Hooks> Hooks for (A, B) {
    fn wants(&self, point: HookPoint) -> bool {
        self.0.wants(point) || self.1.wants(point)
    }
    fn edits(&self, point: HookPoint) -> bool {
        self.0.edits(point) || self.1.edits(point)
    }
    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        let value = pass(&mut self.0, point, value);
        pass(&mut self.1, point, value)
    }
}

/// First to last.
impl<H: Hooks> Hooks for Vec<H> {
    fn wants(&self, point: HookPoint) -> bool {
        self.iter().any(|hooks| hooks.wants(point))
    }
    fn edits(&self, point: HookPoint) -> bool {
        self.iter().any(|hooks| hooks.edits(point))
    }
    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        self.iter_mut().fold(value, |value, hooks| pass(hooks, point, value))
    }
}

/// A part that does not want the point must not see it, even when another part does.
fn pass<const D: usize>(hooks: &mut impl Hooks, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
    if hooks.wants(point) { hooks.at(point, value) } else { value }
}
