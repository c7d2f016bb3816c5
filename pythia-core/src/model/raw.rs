//! A model from weights as stored: they are copied to the device as they are, and are widened, transposed and split
//! there.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Shape, Tensor};

use super::{
    GptNeoX,
    parameters::{Parameters, Source},
};
use crate::{
    config::NeoxConfig,
    params::{Layout, Param},
    weights::{RawParams, RawTensor},
};

impl GptNeoX {
    /// Builds the model. Its parameters are those that [`from_params`](Self::from_params) makes of the same
    /// checkpoint, bit for bit, unless `dtype` is narrower than what is stored: then the device rounds them. Types
    /// that the device does not support are copied as float32.
    ///
    /// # Panics
    /// If the weights are those of another configuration.
    pub fn from_raw(config: NeoxConfig, raw: RawParams, device: &Device, dtype: DType) -> Self {
        let params = Uploads { waiting: raw.tensors, ready: BTreeMap::new(), config: config.clone() };
        Source { params, device, dtype }.model(config)
    }
}

/// Stored tensors that are copied to the device. Each is copied when the first of its parameters is taken, so that
/// the device has only a few stored tensors beside the finished parameters.
struct Uploads {
    waiting: Vec<RawTensor>,
    /// Parameters that were copied with others and not taken yet, in their stored type, `[n]`.
    ready: BTreeMap<Param, Tensor<1>>,
    config: NeoxConfig,
}

impl Parameters for Uploads {
    fn take<const D: usize>(&mut self, param: Param, device: &Device, dtype: DType) -> Option<Tensor<D>> {
        if !self.ready.contains_key(&param) {
            self.upload(param, device);
        }
        let values = self.ready.remove(&param)?;
        // Reshaped from a contiguous row, so that the matrix is contiguous. A transposed matrix would keep the order
        // of the file.
        Some(values.cast(dtype).reshape(Shape::from(param.shape(&self.config))))
    }
}

impl Uploads {
    /// Copies the tensor that contains a parameter to the device, if there is one.
    fn upload(&mut self, param: Param, device: &Device) {
        let holds = |raw: &RawTensor| raw.targets.iter().any(|(target, _)| *target == param);
        let Some(at) = self.waiting.iter().position(holds) else { return };
        let mut raw = self.waiting.swap_remove(at);
        let targets = std::mem::take(&mut raw.targets);
        let data = if device.supports_dtype(raw.dtype()) { raw.stored() } else { raw.widened() };
        let dtype = data.dtype();
        let stored = Tensor::from_data(data, (device, dtype));
        for (param, layout) in targets {
            self.ready.insert(param, laid_out(stored.clone(), layout, &param.shape(&self.config), &self.config));
        }
    }
}

/// The parameter of this shape from the stored values that contain it, both `[n]`.
fn laid_out(stored: Tensor<1>, layout: Layout, shape: &[usize], config: &NeoxConfig) -> Tensor<1> {
    // A vector is a matrix with one input.
    let (inputs, outputs) = if let [inputs, outputs] = *shape { (inputs, outputs) } else { (1, shape[0]) };
    match layout {
        Layout::AsIs => stored,
        Layout::Transposed => stored.reshape([outputs, inputs]).transpose().reshape([inputs * outputs]),
        Layout::FusedQkv(part) => {
            let fused = stored.reshape([config.n_heads, 3, config.d_head(), inputs]);
            fused.narrow(1, part as usize, 1).permute([3, 0, 1, 2]).reshape([inputs * outputs])
        }
    }
}
