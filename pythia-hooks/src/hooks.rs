//! The trait that models call at each hook point.

use burn::tensor::Tensor;

use crate::HookPoint;

/// Hooks of a forward pass. The model passes every wanted activation to [`Hooks::at`] and goes on with the returned
/// tensor.
///
/// A hook of your own takes a few lines:
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
    /// Whether the model calls [`Hooks::at`] at `point`. Activations that no hook wants need not be computed.
    fn wants(&self, point: HookPoint) -> bool;

    /// Whether [`Hooks::at`] may return another value than it was given. Hooks that only read should return `false`,
    /// so that the model need not compute the split query, key and value inputs. By default every wanted point may
    /// change.
    fn edits(&self, point: HookPoint) -> bool {
        self.wants(point)
    }

    /// Reads and may replace the activation `value` (axes: `point.site().axes()`).
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

/// A hook that does not want the point is not called, even if another one wants it.
fn pass<const D: usize>(hooks: &mut impl Hooks, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
    if hooks.wants(point) { hooks.at(point, value) } else { value }
}
