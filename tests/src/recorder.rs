//! Hooks that record what fired.

use burn::tensor::Tensor;
use pythia_hooks::{Activation, HookPoint, Hooks};

/// Records every firing of the wanted points in order, and returns the activation unchanged.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    wanted: Vec<HookPoint>,
    rewrites: bool,
    /// Each firing: the point and the activation.
    pub fired: Vec<(HookPoint, Activation)>,
}

impl Recorder {
    /// Records at these points.
    pub fn of(points: impl IntoIterator<Item = HookPoint>) -> Self {
        Recorder { wanted: points.into_iter().collect(), ..Default::default() }
    }

    /// As [`Recorder::of`], but declares that it edits, and returns a fresh copy of the activation.
    pub fn rewriting(points: impl IntoIterator<Item = HookPoint>) -> Self {
        Recorder { rewrites: true, ..Recorder::of(points) }
    }

    /// The points that fired, in order, repetitions included.
    pub fn points(&self) -> Vec<HookPoint> {
        self.fired.iter().map(|(point, _)| *point).collect()
    }
}

impl Hooks for Recorder {
    fn wants(&self, point: HookPoint) -> bool {
        self.wanted.contains(&point)
    }

    fn edits(&self, point: HookPoint) -> bool {
        self.rewrites && self.wants(point)
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        self.fired.push((point, Activation::from_tensor(value.clone())));
        if !self.rewrites {
            return value;
        }
        // Through the host, so that the copy shares neither memory nor strides with the activation.
        let device = value.device();
        let dtype = value.dtype();
        Tensor::from_data(value.into_data(), (&device, dtype))
    }
}
