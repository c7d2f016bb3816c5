//! A model from its parameters, and back.

use burn::tensor::{DType, Device, Tensor};

use super::{
    GptNeoX,
    attention::Attention,
    block::Block,
    linear::Linear,
    mlp::Mlp,
    norm::LayerNorm,
    rotary::RotaryTable,
    weights::{Resident, Unembed, Weights},
};
use crate::{
    config::NeoxConfig,
    device::{ReadError, host_f32},
    params::{HostParams, HostTensor, LayerParam, Param},
};

/// A mutable reference to a parameter, for an optimiser.
///
/// ```
/// use burn::tensor::Device;
/// use pythia_core::model::{GptNeoX, ParamMut};
/// use pythia_core::params::Param;
///
/// let mut model = GptNeoX::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel"), &Device::flex())?;
/// for (param, tensor) in model.params_mut() {
///     if let (Param::FinalNormBias, ParamMut::Vector(bias)) = (param, tensor) {
///         *bias = bias.zeros_like();
///     }
/// }
/// let params = model.to_params();
/// assert!(params[&Param::FinalNormBias].values.iter().all(|value| *value == 0.0));
/// # Ok::<(), pythia_core::load::LoadError>(())
/// ```
pub enum ParamMut<'a> {
    /// A bias, or a norm's weight.
    Vector(&'a mut Tensor<1>),
    /// A weight matrix or an embedding.
    Matrix(&'a mut Tensor<2>),
}

/// The number type of activations for weights of a type.
pub(super) fn activations_in(weights: DType) -> DType {
    if weights == DType::F64 { DType::F64 } else { DType::F32 }
}

/// A source of parameters for a device. Each parameter can be taken once.
pub(super) trait Parameters {
    /// A parameter on the device, in this number type; `None` if there is none.
    fn take<const D: usize>(&mut self, param: Param, device: &Device, dtype: DType) -> Option<Tensor<D>>;
}

impl Parameters for HostParams {
    fn take<const D: usize>(&mut self, param: Param, device: &Device, dtype: DType) -> Option<Tensor<D>> {
        let host = self.remove(&param)?;
        Some(Tensor::from_data(host.values.into_data(host.shape, dtype), (device, dtype)))
    }
}

/// Builds the parts of a model from a source of parameters.
pub(super) struct Source<'a, P = HostParams> {
    pub params: P,
    pub device: &'a Device,
    pub dtype: DType,
}

impl<P: Parameters> Source<'_, P> {
    pub(super) fn take<const D: usize>(&mut self, param: Param) -> Option<Tensor<D>> {
        let dtype = self.dtype_of(param, D);
        self.params.take(param, self.device, dtype)
    }

    /// Half types are for the large matrices. Vectors are added, not multiplied. Logits are float32, because a
    /// product in float16 has three digits.
    fn dtype_of(&self, param: Param, dims: usize) -> DType {
        let wide = dims == 1 || param == Param::Unembed;
        if wide { activations_in(self.dtype) } else { self.dtype }
    }

    pub(super) fn need<const D: usize>(&mut self, param: Param) -> Tensor<D> {
        self.take(param).unwrap_or_else(|| panic!("{param} is missing from a checked set of parameters"))
    }

    pub(super) fn norm(&mut self, weight: Param, bias: Param, eps: f64) -> LayerNorm {
        LayerNorm { weight: self.need(weight), bias: self.need(bias), eps }
    }

    fn linear(&mut self, layer: usize, weight: LayerParam, bias: LayerParam) -> Linear {
        Linear { weight: self.need(Param::Layer(layer, weight)), bias: self.take(Param::Layer(layer, bias)) }
    }

    pub(super) fn block(&mut self, layer: usize, config: &NeoxConfig) -> Block {
        use LayerParam::*;
        let eps = config.layer_norm_eps;
        Block {
            ln1: self.norm(Param::Layer(layer, Ln1Weight), Param::Layer(layer, Ln1Bias), eps),
            ln2: self.norm(Param::Layer(layer, Ln2Weight), Param::Layer(layer, Ln2Bias), eps),
            attention: Attention {
                query: self.linear(layer, QueryWeight, QueryBias),
                key: self.linear(layer, KeyWeight, KeyBias),
                value: self.linear(layer, ValueWeight, ValueBias),
                out: self.linear(layer, OutWeight, OutBias),
                n_heads: config.n_heads,
            },
            mlp: Mlp {
                up: self.linear(layer, MlpInWeight, MlpInBias),
                down: self.linear(layer, MlpOutWeight, MlpOutBias),
            },
            parallel: config.variant.parallel_residual,
        }
    }

    /// The model with all of its parameters.
    pub(super) fn model(mut self, config: NeoxConfig) -> GptNeoX {
        let unembed = self.take(Param::Unembed).map(|weight| Unembed { weight, bias: self.take(Param::UnembedBias) });
        let weights = Resident {
            embed: self.need(Param::Embed),
            blocks: (0..config.n_layers).map(|layer| self.block(layer, &config)).collect(),
            unembed,
        };
        GptNeoX {
            weights: Weights::Resident(Box::new(weights)),
            ln_final: self.norm(Param::FinalNormWeight, Param::FinalNormBias, config.layer_norm_eps),
            rotary: RotaryTable::new(&config, self.device, self.dtype),
            config,
        }
    }
}

impl GptNeoX {
    /// Builds the model. On the CPU the memory of each parameter is moved, not copied.
    ///
    /// # Panics
    /// If a parameter is missing: [`StoredCheckpoint::params`](crate::weights::StoredCheckpoint::params) returns
    /// complete sets only.
    pub fn from_params(config: NeoxConfig, params: HostParams, device: &Device, dtype: DType) -> Self {
        Source { params, device, dtype }.model(config)
    }

    /// Every parameter, by name, in the order of [`Param`].
    ///
    /// # Panics
    /// If the model is [streamed](Self::streamed): its parameters are decoded for each use and cannot be changed.
    pub fn params_mut(&mut self) -> Vec<(Param, ParamMut<'_>)> {
        use LayerParam::*;
        let Weights::Resident(weights) = &mut self.weights else {
            panic!("the parameters of a streamed model are in its files");
        };
        let mut list = vec![(Param::Embed, ParamMut::Matrix(&mut weights.embed))];
        for (layer, block) in weights.blocks.iter_mut().enumerate() {
            let named = |name| Param::Layer(layer, name);
            list.push((named(Ln1Weight), ParamMut::Vector(&mut block.ln1.weight)));
            list.push((named(Ln1Bias), ParamMut::Vector(&mut block.ln1.bias)));
            list.push((named(Ln2Weight), ParamMut::Vector(&mut block.ln2.weight)));
            list.push((named(Ln2Bias), ParamMut::Vector(&mut block.ln2.bias)));
            let attention = &mut block.attention;
            for (linear, weight, bias) in [
                (&mut attention.query, QueryWeight, QueryBias),
                (&mut attention.key, KeyWeight, KeyBias),
                (&mut attention.value, ValueWeight, ValueBias),
                (&mut attention.out, OutWeight, OutBias),
                (&mut block.mlp.up, MlpInWeight, MlpInBias),
                (&mut block.mlp.down, MlpOutWeight, MlpOutBias),
            ] {
                list.push((named(weight), ParamMut::Matrix(&mut linear.weight)));
                list.extend(linear.bias.as_mut().map(|tensor| (named(bias), ParamMut::Vector(tensor))));
            }
        }
        list.push((Param::FinalNormWeight, ParamMut::Vector(&mut self.ln_final.weight)));
        list.push((Param::FinalNormBias, ParamMut::Vector(&mut self.ln_final.bias)));
        if let Some(unembed) = &mut weights.unembed {
            list.push((Param::Unembed, ParamMut::Matrix(&mut unembed.weight)));
            list.extend(unembed.bias.as_mut().map(|bias| (Param::UnembedBias, ParamMut::Vector(bias))));
        }
        list
    }

    /// Waits until all parameters are on the device. The sum of one value of each is read back, because only a result
    /// computed from a tensor shows that the device had memory for it.
    ///
    /// # Errors
    /// The message of the device.
    ///
    /// # Panics
    /// If the model is [streamed](Self::streamed).
    pub fn arrived(&self) -> Result<(), ReadError> {
        let mut model = self.clone();
        let one = |(_, tensor): (Param, ParamMut<'_>)| match tensor {
            ParamMut::Vector(tensor) => tensor.clone().narrow(0, 0, 1).cast(DType::F32),
            ParamMut::Matrix(tensor) => tensor.clone().slice([0..1, 0..1]).reshape([1]).cast(DType::F32),
        };
        let sum = model.params_mut().into_iter().map(one).reduce(|sum, number| sum + number);
        sum.map_or(Ok(()), |sum| host_f32(sum).map(drop))
    }

    /// The parameters as host arrays in float32.
    ///
    /// # Panics
    /// If the model is [streamed](Self::streamed).
    pub fn to_params(&self) -> HostParams {
        // Tensors are handles: cloning the model copies no numbers.
        let mut model = self.clone();
        let host = |(param, tensor)| match tensor {
            ParamMut::Vector(tensor) => (param, host_tensor(tensor.clone())),
            ParamMut::Matrix(tensor) => (param, host_tensor(tensor.clone())),
        };
        model.params_mut().into_iter().map(host).collect()
    }
}

fn host_tensor<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    let shape = tensor.dims().to_vec();
    // Reading back fails only if the device is lost, and then the program cannot continue.
    let values = host_f32(tensor).expect("the device answers").into();
    HostTensor { shape, values }
}
