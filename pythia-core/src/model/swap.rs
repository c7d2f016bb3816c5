//! Models in which some weights are those of another checkpoint.

use super::GptNeoX;

/// Tensors are handles, so each method copies only the weights that it exchanges.
impl GptNeoX {
    /// This model with one head of `other`: its columns of `W_Q`, `W_K`, `W_V`, their biases, and its rows of `W_O`.
    /// `b_O` and the norm before the heads, which all heads share, stay.
    ///
    /// # Panics
    /// If the models differ in shape, or have no such layer or head.
    pub fn with_head_of(&self, other: &GptNeoX, layer: usize, head: usize) -> GptNeoX {
        let mut block = self.block(layer).clone();
        let theirs = other.block(layer);
        let (ours, theirs) = (&mut block.attention, &theirs.attention);
        let d_head = self.config.d_model / self.config.n_heads;
        let part = head * d_head..(head + 1) * d_head;
        ours.query.take_outputs(&theirs.query, part.clone());
        ours.key.take_outputs(&theirs.key, part.clone());
        ours.value.take_outputs(&theirs.value, part.clone());
        ours.out.take_inputs(&theirs.out, part);
        self.with_block(layer, block)
    }

    /// This model with the MLP of one block of `other`: both matrices and both biases. The norm before it stays.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn with_mlp_of(&self, other: &GptNeoX, layer: usize) -> GptNeoX {
        let mut block = self.block(layer).clone();
        block.mlp = other.block(layer).mlp.clone();
        self.with_block(layer, block)
    }

    /// This model with one whole block of `other`, norms included.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn with_block_of(&self, other: &GptNeoX, layer: usize) -> GptNeoX {
        self.with_block(layer, other.block(layer).clone())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::params::{HostParams, LayerParam, Param};
    use crate::testing::{exact_params, odd_config};

    const LAYER: usize = 1;
    const HEAD: usize = 3;
    const D_HEAD: usize = 14;

    /// Two models of one shape that share no number.
    fn models() -> [(GptNeoX, HostParams); 2] {
        let config = odd_config();
        let ours = exact_params(&config);
        let mut theirs = ours.clone();
        for tensor in theirs.values_mut() {
            tensor.values.iter_mut().for_each(|value| *value += 100.0);
        }
        [ours, theirs]
            .map(|params| (GptNeoX::from_params(odd_config(), params.clone(), &Device::flex(), DType::F32), params))
    }

    /// The numbers of `ours`, but those of `theirs` where `theirs_at(param, row, column)` says so; a vector has one
    /// row.
    fn mixed(ours: &HostParams, theirs: &HostParams, theirs_at: impl Fn(Param, usize, usize) -> bool) -> HostParams {
        let mut mixed = ours.clone();
        for (param, tensor) in &mut mixed {
            let width = tensor.shape[tensor.shape.len() - 1];
            for (at, value) in tensor.values.iter_mut().enumerate() {
                if theirs_at(*param, at / width, at % width) {
                    *value = theirs[param].values[at];
                }
            }
        }
        mixed
    }

    #[test]
    fn a_head_takes_its_own_weights_along_and_nothing_else() {
        use LayerParam::*;
        let [(ours, host), (theirs, other)] = models();
        let inside = |at: usize| (HEAD * D_HEAD..(HEAD + 1) * D_HEAD).contains(&at);
        let expected = mixed(&host, &other, |param, row, column| match param {
            Param::Layer(LAYER, QueryWeight | KeyWeight | ValueWeight | QueryBias | KeyBias | ValueBias) => {
                inside(column)
            }
            Param::Layer(LAYER, OutWeight) => inside(row),
            _ => false,
        });
        assert_eq!(ours.with_head_of(&theirs, LAYER, HEAD).to_params(), expected);
        assert_eq!(ours.to_params(), host, "the model itself stays as it was");
    }

    #[test]
    fn an_mlp_and_a_block_are_exchanged_whole() {
        use LayerParam::*;
        let [(ours, host), (theirs, other)] = models();
        let mlp = mixed(&host, &other, |param, _, _| {
            matches!(param, Param::Layer(LAYER, MlpInWeight | MlpInBias | MlpOutWeight | MlpOutBias))
        });
        assert_eq!(ours.with_mlp_of(&theirs, LAYER).to_params(), mlp);
        let block = mixed(&host, &other, |param, _, _| matches!(param, Param::Layer(LAYER, _)));
        assert_eq!(ours.with_block_of(&theirs, LAYER).to_params(), block);
    }
}
