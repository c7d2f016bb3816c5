//! An activation whose number of axes is known at run time.

use std::any::Any;

use burn::tensor::Tensor;

/// An activation of three axes (streams, neurons) or four (heads, patterns).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use pythia_hooks::Activation;
///
/// let pattern = Activation::from_tensor(Tensor::<4>::zeros([1, 2, 3, 3], &Device::flex()));
/// assert_eq!((pattern.rank(), pattern.dims()), (4, vec![1, 2, 3, 3]));
/// assert!(pattern.into_tensor::<3>().is_none());
/// ```
#[derive(Clone, Debug)]
pub enum Activation {
    /// Three axes.
    Three(Tensor<3>),
    /// Four axes.
    Four(Tensor<4>),
}

impl Activation {
    /// An activation from a tensor of three or four axes.
    ///
    /// # Panics
    /// If `D` is neither 3 nor 4; no site has such an activation.
    pub fn from_tensor<const D: usize>(tensor: Tensor<D>) -> Self {
        let any: Box<dyn Any> = Box::new(tensor);
        match any.downcast::<Tensor<3>>() {
            Ok(three) => Activation::Three(*three),
            Err(any) => match any.downcast::<Tensor<4>>() {
                Ok(four) => Activation::Four(*four),
                Err(_) => panic!("an activation has three or four axes, not {D}"),
            },
        }
    }

    /// The tensor, if it has `D` axes.
    pub fn into_tensor<const D: usize>(self) -> Option<Tensor<D>> {
        let any: Box<dyn Any> = match self {
            Activation::Three(tensor) => Box::new(tensor),
            Activation::Four(tensor) => Box::new(tensor),
        };
        any.downcast::<Tensor<D>>().ok().map(|tensor| *tensor)
    }

    /// Size of each axis.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Activation::Three(tensor) => tensor.dims().to_vec(),
            Activation::Four(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        match self {
            Activation::Three(_) => 3,
            Activation::Four(_) => 4,
        }
    }
}
