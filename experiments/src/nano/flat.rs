//! All parameters as one vector, so that an optimiser makes a dozen tensor operations instead of a dozen per parameter.

use std::ops::Range;

use burn::tensor::{Gradients, Tensor};
use pythia_core::config::NeoxConfig;
use pythia_core::model::{GptNeoX, ParamMut};
use pythia_core::params::{HostParams, HostTensor, Param};

/// Where each parameter lies in the vector: in the order of [`Param`], without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Flat(Vec<Piece>);

#[derive(Clone, Debug)]
struct Piece {
    param: Param,
    range: Range<usize>,
    shape: Vec<usize>,
}

impl Flat {
    /// The layout for a model.
    pub(crate) fn new(config: &NeoxConfig) -> Self {
        let mut start = 0;
        let place = |param: Param| {
            let shape = param.shape(config);
            let range = start..start + shape.iter().product::<usize>();
            start = range.end;
            Piece { param, range, shape }
        };
        Self(Param::all(config).into_iter().map(place).collect())
    }

    /// The parameters one after another.
    ///
    /// # Panics
    /// If `params` is not a complete set for the model of this layout.
    pub(crate) fn pack(&self, params: &HostParams) -> Vec<f32> {
        self.0.iter().flat_map(|piece| params[&piece.param].values.iter().copied()).collect()
    }

    /// The inverse of [`Flat::pack`].
    pub(crate) fn unpack(&self, values: &[f32]) -> HostParams {
        let tensor = |piece: &Piece| HostTensor {
            shape: piece.shape.clone(),
            values: values[piece.range.clone()].to_vec().into(),
        };
        self.0.iter().map(|piece| (piece.param, tensor(piece))).collect()
    }

    /// Which entries weight decay applies to: 1 in matrices, 0 in biases and norms.
    pub(crate) fn decays(&self) -> Vec<f32> {
        let mark = |piece: &Piece| if piece.shape.len() > 1 { 1.0 } else { 0.0 };
        self.0.iter().flat_map(|piece| std::iter::repeat_n(mark(piece), piece.range.len())).collect()
    }

    /// Gives the model the vector's values, as leaves of a fresh gradient graph.
    pub(crate) fn load_into(&self, vector: &Tensor<1>, model: &mut GptNeoX) {
        for (piece, slot) in self.paired(model) {
            let values = vector.clone().slice(piece.range.clone());
            match slot {
                ParamMut::Vector(leaf) => *leaf = values.autodiff().require_grad(),
                ParamMut::Matrix(leaf) => *leaf = values.reshape(matrix_shape(piece)).autodiff().require_grad(),
            }
        }
    }

    /// Collects the gradients of the leaves that [`Flat::load_into`] made. A parameter that the loss does not depend on
    /// has none and counts as zero.
    pub(crate) fn gradient(&self, model: &mut GptNeoX, gradients: &mut Gradients) -> Tensor<1> {
        let flat = |(piece, slot): (&Piece, ParamMut<'_>)| match slot {
            ParamMut::Vector(leaf) => leaf.grad_remove(gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like()),
            ParamMut::Matrix(leaf) => {
                let gradient = leaf.grad_remove(gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like());
                gradient.reshape([piece.range.len()])
            }
        };
        Tensor::cat(self.paired(model).map(flat).collect(), 0)
    }

    /// Each parameter with its place in the vector.
    ///
    /// # Panics
    /// If the model is not that of this layout.
    fn paired<'a>(&'a self, model: &'a mut GptNeoX) -> impl Iterator<Item = (&'a Piece, ParamMut<'a>)> {
        let slots = model.params_mut();
        let same = slots.iter().map(|(param, _)| *param).eq(self.0.iter().map(|piece| piece.param));
        assert!(same, "the model lists its parameters in the order of the layout");
        self.0.iter().zip(slots.into_iter().map(|(_, slot)| slot))
    }
}

fn matrix_shape(piece: &Piece) -> [usize; 2] {
    [piece.shape[0], piece.shape[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::{Recipe, init};

    #[test]
    fn packing_and_unpacking_are_inverse() {
        let config = Recipe::default().config();
        let flat = Flat::new(&config);
        let params = init::initial(&config, 2);
        let packed = flat.pack(&params);
        assert_eq!(packed.len() as u64, config.n_params());
        assert_eq!(flat.unpack(&packed), params);
    }

    #[test]
    fn decay_spares_biases_and_norms() {
        let config = Recipe::default().config();
        let flat = Flat::new(&config);
        let marked = flat.unpack(&flat.decays());
        for (param, tensor) in marked {
            let expected = if tensor.shape.len() == 2 { 1.0 } else { 0.0 };
            assert!(tensor.values.iter().all(|&mark| mark == expected), "{param}");
        }
    }
}
