//! Parameters → the bytes of a `model.safetensors` under the published names and in the published layout.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

use crate::config::NeoxConfig;
use crate::params::{HostParams, HostTensor, Layout, Param};

/// The bytes of a `model.safetensors` with these parameters, in f32. The same parameters give the same bytes.
///
/// # Panics
/// If a parameter of the configuration is absent or has another shape, or if the parameters have an unembedding bias,
/// because folded weights have no published form.
pub fn to_safetensors(config: &NeoxConfig, params: &HostParams) -> Vec<u8> {
    assert!(!params.contains_key(&Param::UnembedBias), "folded weights cannot be saved as published ones");
    let mut stored: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for param in Param::all(config) {
        let Some(place) = param.stored(config) else { continue };
        let tensor = params.get(&param).unwrap_or_else(|| panic!("parameter {param} is absent"));
        assert_eq!(tensor.shape, param.shape(config), "parameter {param} is misshapen");
        let n_bytes = 4 * place.shape.iter().product::<usize>();
        let (_, bytes) = stored.entry(place.name).or_insert_with(|| (place.shape, vec![0; n_bytes]));
        put(tensor, place.layout, config, bytes);
    }
    let views = stored.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many bytes as the shape says");
        (name.as_str(), view)
    });
    // Python readers of this format require the name of a framework.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).expect("names and shapes of a model make a small header")
}

/// Writes one parameter to its place in the bytes of its stored tensor.
fn put(tensor: &HostTensor, layout: Layout, config: &NeoxConfig, bytes: &mut [u8]) {
    let e = config.d_head();
    let (n_in, n_out) = match (layout, &tensor.shape[..]) {
        (Layout::Transposed | Layout::FusedQkv(_), &[n_in, n_out]) => (n_in, n_out),
        _ => (1, tensor.values.len()),
    };
    let row = |out: usize| match layout {
        Layout::FusedQkv(part) => out / e * 3 * e + part as usize * e + out % e,
        _ => out,
    };
    let (places, _) = bytes.as_chunks_mut::<4>();
    for (at, value) in tensor.values.iter().enumerate() {
        let (into, out) = (at / n_out, at % n_out);
        places[row(out) * n_in + into] = value.to_le_bytes();
    }
}
