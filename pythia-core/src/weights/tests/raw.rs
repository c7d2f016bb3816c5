//! Weights that are brought into shape on the device, against those that are decoded on the host.

use std::fs;
use std::path::Path;

use super::*;
use crate::model::ParamMut;
use crate::store::{Checkpoints, FolderStore};

const KINDS: [Dtype; 3] = [Dtype::F16, Dtype::BF16, Dtype::F32];

/// A model's parameters by their bits, each with the type that it has on the device.
type Contents = Vec<(Param, DType, Vec<u32>)>;

fn contents(mut model: GptNeoX) -> Contents {
    let host = model.to_params();
    let dtype = |tensor| match tensor {
        ParamMut::Vector(tensor) => tensor.dtype(),
        ParamMut::Matrix(tensor) => tensor.dtype(),
    };
    let of = |param: &Param| host[param].values.iter().map(|value| value.to_bits()).collect();
    model.params_mut().into_iter().map(|(param, tensor)| (param, dtype(tensor), of(&param))).collect()
}

/// Loads a checkpoint by both ways, as `dtype`: decoded on the host, for the CPU, and as it is stored, for some device.
fn both(config: &NeoxConfig, files: &WeightFiles, unembed: bool, device: &Device, dtype: DType) -> [Contents; 2] {
    let wanted = Wanted { unembed, profile: Profile::AsPublished };
    let (params, hashes) = read(config, files, &wanted).unwrap();
    let (raw, same) = read_raw(config, files, &wanted).unwrap();
    assert_eq!(hashes, same);
    let decoded = GptNeoX::from_params(config.clone(), params, &Device::flex(), dtype);
    [contents(decoded), contents(GptNeoX::from_raw(config.clone(), raw, device, dtype))]
}

/// A checkpoint whose tensors run through all finite values of their type: subnormals, negative zeros, the largest.
fn every_finite_value(dir: &TempDir, config: &NeoxConfig, kind: Dtype) -> WeightFiles {
    let mut tensors = stored_tensors(config, &exact_params(config), kind);
    let mut at = 0u32;
    for value in tensors.iter_mut().flat_map(|raw| raw.bytes.chunks_exact_mut(kind.bitsize() / 8)) {
        // Odd steps come to every pattern before they come to one again.
        at = at.wrapping_add(if kind == Dtype::F32 { 0x9E37_79B1 } else { 0x9E37_0000 });
        let special = match kind {
            Dtype::F16 => (at >> 16) & 0x7C00 == 0x7C00,
            Dtype::BF16 => (at >> 16) & 0x7F80 == 0x7F80,
            _ => at & 0x7F80_0000 == 0x7F80_0000,
        };
        let bits = if special { 0x8000_0000 } else { at }.to_le_bytes();
        value.copy_from_slice(&bits[4 - value.len()..]);
    }
    WeightFiles::Safetensors(vec![dir.write(&format!("{kind}.safetensors"), safetensors_bytes(&tensors))])
}

fn variants() -> Vec<NeoxConfig> {
    let of = |(tied, biased)| {
        let mut config = odd_config();
        (config.variant.tied_embeddings, config.variant.attention_bias) = (tied, biased);
        config
    };
    [(false, true), (true, true), (false, false)].map(of).to_vec()
}

#[test]
fn every_finite_value_of_every_stored_type_arrives_in_every_type() {
    let dir = TempDir::new();
    for (config, kind) in variants().iter().flat_map(|config| KINDS.map(|kind| (config, kind))) {
        let files = every_finite_value(&dir, config, kind);
        for (dtype, unembed) in
            [DType::F32, DType::F64, DType::F16, DType::BF16].map(|dtype| (dtype, dtype != DType::F64))
        {
            let [decoded, raw] = both(config, &files, unembed, &Device::flex(), dtype);
            assert!(decoded == raw, "{kind} as {dtype:?}: {config:?}");
        }
    }
}

#[test]
fn the_values_of_that_test_are_all_there_are() {
    let (dir, config) = (TempDir::new(), odd_config());
    let WeightFiles::Safetensors(paths) = every_finite_value(&dir, &config, Dtype::F16) else { unreachable!() };
    let bytes = fs::read(&paths[0]).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = file.tensors().into_iter().flat_map(|(_, tensor)| tensor.data().as_chunks().0.to_vec());
    let found: std::collections::BTreeSet<u16> = values.map(u16::from_le_bytes).collect();
    assert_eq!(found.len(), 2 * 0x7C00);
}

/// The folders of models that come with the tests of the workspace: both containers, in one file and in shards, tied
/// and not.
#[test]
fn published_forms_arrive_alike() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    for name in ["parallel", "parallel-bin", "sequential", "sequential-bin", "tied"] {
        let files = FolderStore::open(&fixtures.join(name)).unwrap().locate(None).unwrap();
        let config = NeoxConfig::from_json(&fs::read_to_string(&files.config).unwrap()).unwrap();
        for unembed in [true, false] {
            let [decoded, raw] = both(&config, &files.weights, unembed, &Device::flex(), DType::F32);
            assert!(decoded == raw, "{name}");
            assert_eq!(decoded.iter().any(|(param, ..)| *param == Param::Unembed), unembed);
        }
    }
}

#[test]
fn what_is_not_wanted_is_not_kept_and_its_values_do_not_matter() {
    let (dir, config) = (TempDir::new(), odd_config());
    let mut params = exact_params(&config);
    params.get_mut(&Param::Unembed).unwrap().values[3] = f32::NAN;
    let files = written(&dir, &config, &params, Form::Torch);
    let wanted = Wanted { unembed: false, profile: Profile::AsPublished };
    let (raw, _) = read_raw(&config, &files, &wanted).unwrap();
    let kept: Vec<Param> = raw.tensors.iter().flat_map(|raw| &raw.targets).map(|(param, _)| *param).collect();
    assert!(kept.contains(&Param::Embed) && !kept.contains(&Param::Unembed));
    let refused = read(&config, &files, &EVERYTHING);
    assert!(matches!(&refused, Err(WeightError::NotFinite { tensor, .. }) if tensor == "embed_out.weight"));
}

#[test]
fn prepared_weights_are_not_those_of_the_files() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &exact_params(&config), Form::Safetensors);
    let error = read_raw(&config, &files, &Wanted { unembed: true, profile: Profile::Tl2 }).unwrap_err();
    assert_eq!(error.to_string(), "weights prepared as tl2 are not those of the files: they have to be decoded");
}

#[test]
fn what_a_device_does_not_know_is_widened_exactly() {
    let (dir, config) = (TempDir::new(), odd_config());
    for kind in KINDS {
        let files = every_finite_value(&dir, &config, kind);
        let (raw, _) = read_raw(&config, &files, &EVERYTHING).unwrap();
        let (again, _) = read_raw(&config, &files, &EVERYTHING).unwrap();
        for (stored, widened) in raw.tensors.into_iter().zip(again.tensors) {
            let stored = stored.stored().convert_dtype(DType::F32).try_into_vec::<f32>().unwrap();
            let widened = widened.widened().try_into_vec::<f32>().unwrap();
            assert!(stored.iter().map(|value| value.to_bits()).eq(widened.iter().map(|value| value.to_bits())));
        }
    }
}

/// Widening and layout are exact on a GPU too; types that its shaders lack go up widened.
#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or a software Vulkan driver"]
fn every_finite_value_arrives_on_a_gpu() {
    let gpu = crate::device::DeviceName::Wgpu(0).open().unwrap();
    let dir = TempDir::new();
    for (config, kind) in variants().iter().flat_map(|config| KINDS.map(|kind| (config, kind))) {
        let files = every_finite_value(&dir, config, kind);
        let [decoded, raw] = both(config, &files, true, &gpu.device, DType::F32);
        for (one, other) in decoded.iter().zip(&raw) {
            assert!(one == other, "{kind}: {}", one.0);
        }
        if kind == Dtype::F16 && gpu.computes_in(DType::F16) {
            let [decoded, raw] = both(config, &files, true, &gpu.device, DType::F16);
            assert!(decoded == raw, "{kind} as it is");
        }
    }
}
