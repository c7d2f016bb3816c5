//! Reading, writing and refusing checkpoints.

mod foreign;
mod golden;
mod hashes;
mod hostile;
mod parts;
mod raw;
mod some;
mod torch_file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{DType, Device};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

use self::torch_file::TorchFile;
use super::*;
use crate::config::NeoxConfig;
use crate::model::GptNeoX;
use crate::params::{F32Buffer, HostParams, LayerParam, Layout, Param};
use crate::testing::{TempDir, exact_params, odd_config};

const EVERYTHING: Wanted = Wanted { unembed: true, profile: Profile::AsPublished };

/// A checkpoint in a form in which it may come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Safetensors,
    /// Two shards, cut in the middle of a block.
    Shards,
    Torch,
}

/// Writes a checkpoint in float16.
pub(crate) fn written(dir: &TempDir, config: &NeoxConfig, params: &HostParams, form: Form) -> WeightFiles {
    let tensors = stored_tensors(config, params, Dtype::F16);
    let file = |name: &str, tensors: &[Raw]| dir.write(name, safetensors_bytes(tensors));
    match form {
        Form::Safetensors => WeightFiles::Safetensors(vec![file("model.safetensors", &tensors)]),
        Form::Torch => WeightFiles::Pytorch(vec![dir.write("pytorch_model.bin", TorchFile::of(&tensors).bytes())]),
        Form::Shards => {
            let (front, back) = tensors.split_at(7);
            WeightFiles::Safetensors(vec![file("a.safetensors", front), file("b.safetensors", back)])
        }
    }
}

/// A stored tensor as tests make them.
#[derive(Clone)]
struct Raw {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn encode(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        Dtype::F64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// The stored tensors of a model, made one value at a time from the definition of the layout, independently of the
/// code under test.
fn stored_tensors(config: &NeoxConfig, params: &HostParams, dtype: Dtype) -> Vec<Raw> {
    let mut stored: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (param, tensor) in params {
        let Some(place) = param.stored(config) else { continue };
        let n = place.shape.iter().product();
        let (_, values) = stored.entry(place.name).or_insert_with(|| (place.shape, vec![0.0; n]));
        let matrix = tensor.shape.len() == 2;
        let columns = *tensor.shape.last().unwrap();
        for (at, &value) in tensor.values.iter().enumerate() {
            let (i, j) = (at / columns, at % columns);
            let to = match place.layout {
                Layout::AsIs => at,
                Layout::Transposed => j * tensor.shape[0] + i,
                Layout::FusedQkv(part) => {
                    let (e, n_in) = (config.d_head(), if matrix { tensor.shape[0] } else { 1 });
                    let (head, within) = (j / e, j % e);
                    (head * 3 * e + part as usize * e + within) * n_in + i
                }
            };
            values[to] = value;
        }
    }
    let raw = |(name, (shape, values)): (String, (Vec<usize>, Vec<f32>))| Raw {
        name,
        dtype,
        shape,
        bytes: encode(dtype, &values),
    };
    stored.into_iter().map(raw).collect()
}

fn safetensors_bytes(tensors: &[Raw]) -> Vec<u8> {
    let views = tensors.iter().map(|t| (&t.name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    serialize(views, None).unwrap()
}

/// Reads a checkpoint, decoded on the host and as it is stored: whatever a test has to say of the one holds for the
/// other, because both come to the same parameters, bit for bit, and the same fingerprints, or fail for the same
/// reason.
fn read(config: &NeoxConfig, files: &WeightFiles, wanted: &Wanted) -> Result<(HostParams, Hashes), WeightError> {
    let decoded = StoredCheckpoint::open(config, files).and_then(|checkpoint| checkpoint.params(wanted));
    match (&decoded, read_raw(config, files, wanted)) {
        (_, Err(WeightError::NotAsStored { profile })) => {
            assert_eq!((profile, wanted.profile), (Profile::Tl2, profile))
        }
        (Ok((params, hashes)), Ok((raw, same))) => {
            assert_eq!((hashes, hashes.embed_norm.to_bits()), (&same, same.embed_norm.to_bits()));
            let model = GptNeoX::from_raw(config.clone(), raw, &Device::flex(), DType::F32);
            assert!(bits(&model.to_params()) == bits(params), "the parameters differ");
        }
        (Err(one), Err(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
        (one, other) => panic!("decoded: {:?}, as stored: {:?}", one.as_ref().err(), other.err()),
    }
    decoded
}

fn read_raw(config: &NeoxConfig, files: &WeightFiles, wanted: &Wanted) -> Result<(RawParams, Hashes), WeightError> {
    StoredCheckpoint::open(config, files)?.raw(wanted)
}

fn hashes_of(config: &NeoxConfig, files: &WeightFiles) -> Result<Hashes, WeightError> {
    StoredCheckpoint::open(config, files)?.hashes()
}

/// Parameters to be compared by bits: zeros have a sign.
fn bits(params: &HostParams) -> BTreeMap<Param, (Vec<usize>, Vec<u32>)> {
    let of = |values: &F32Buffer| values.iter().map(|value| value.to_bits()).collect();
    params.iter().map(|(param, tensor)| (*param, (tensor.shape.clone(), of(&tensor.values)))).collect()
}

fn read_safetensors(config: &NeoxConfig, tensors: &[Raw]) -> Result<(HostParams, Hashes), WeightError> {
    let dir = TempDir::new();
    let file = dir.write("model.safetensors", safetensors_bytes(tensors));
    read(config, &WeightFiles::Safetensors(vec![file]), &EVERYTHING)
}

fn read_torch(config: &NeoxConfig, file: &TorchFile) -> Result<(HostParams, Hashes), WeightError> {
    let dir = TempDir::new();
    let file = dir.write("pytorch_model.bin", file.bytes());
    read(config, &WeightFiles::Pytorch(vec![file]), &EVERYTHING)
}

fn raw(name: &str, dtype: Dtype, shape: &[usize]) -> Raw {
    let n: usize = shape.iter().product();
    Raw { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: vec![0; n * dtype.bitsize() / 8] }
}

#[test]
fn both_containers_and_every_type_give_the_same_parameters() {
    let config = odd_config();
    let params = exact_params(&config);
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let tensors = stored_tensors(&config, &params, dtype);
        let (from_safetensors, hash) = read_safetensors(&config, &tensors).unwrap();
        let (from_torch, torch_hash) = read_torch(&config, &TorchFile::of(&tensors)).unwrap();
        assert!(from_safetensors == params, "{dtype}: safetensors differ");
        assert!(from_torch == params, "{dtype}: PyTorch differs");
        assert_eq!(hash, torch_hash);
    }
}

#[test]
fn large_matrices_are_cut_into_tasks_without_a_seam() {
    let mut config = odd_config();
    (config.n_layers, config.d_model, config.n_heads, config.d_mlp, config.vocab_size) = (1, 192, 3, 300, 1025);
    let params = exact_params(&config);
    let (found, _) = read_safetensors(&config, &stored_tensors(&config, &params, Dtype::F16)).unwrap();
    assert!(found == params);
}

#[test]
fn what_is_written_is_read_back() {
    for (tied, biased) in [(false, true), (true, true), (false, false)] {
        let mut config = odd_config();
        (config.variant.tied_embeddings, config.variant.attention_bias) = (tied, biased);
        let params = exact_params(&config);
        let bytes = to_safetensors(&config, &params);
        assert_eq!(bytes, to_safetensors(&config, &params));
        let dir = TempDir::new();
        let file = dir.write("model.safetensors", &bytes);
        let (found, hash) = read(&config, &WeightFiles::Safetensors(vec![file]), &EVERYTHING).unwrap();
        assert!(found == params);
        let (_, independent) = read_safetensors(&config, &stored_tensors(&config, &params, Dtype::F32)).unwrap();
        assert_eq!(hash, independent);
    }
}

#[test]
fn the_unembedding_is_left_out_when_not_wanted_and_still_checked() {
    let config = odd_config();
    let params = exact_params(&config);
    let tensors = stored_tensors(&config, &params, Dtype::F16);
    let dir = TempDir::new();
    let read_with = |tensors: &[Raw], unembed| {
        let file = dir.write("model.safetensors", safetensors_bytes(tensors));
        let wanted = Wanted { unembed, profile: Profile::AsPublished };
        read(&config, &WeightFiles::Safetensors(vec![file]), &wanted)
    };
    let (with, hash) = read_with(&tensors, true).unwrap();
    let (without, same) = read_with(&tensors, false).unwrap();
    assert_eq!((with.len(), hash), (without.len() + 1, same));
    assert!(!without.contains_key(&Param::Unembed));
    let lacking: Vec<Raw> = tensors.iter().filter(|t| t.name != "embed_out.weight").cloned().collect();
    assert!(matches!(read_with(&lacking, false), Err(WeightError::NoUnembedding { .. })));
}

#[test]
fn shards_in_any_order_are_one_checkpoint() {
    let config = odd_config();
    let tensors = stored_tensors(&config, &exact_params(&config), Dtype::F16);
    let (whole, hash) = read_safetensors(&config, &tensors).unwrap();
    let dir = TempDir::new();
    let (front, back) = tensors.split_at(7);
    let mut files: Vec<PathBuf> = [("a", back), ("b", front)]
        .map(|(name, tensors)| dir.write(&format!("{name}.safetensors"), safetensors_bytes(tensors)))
        .to_vec();
    let (sharded, same) = read(&config, &WeightFiles::Safetensors(files.clone()), &EVERYTHING).unwrap();
    assert!(sharded == whole);
    assert_eq!(hash, same);
    files.push(dir.write("c.safetensors", safetensors_bytes(&tensors[..1])));
    let error = read(&config, &WeightFiles::Safetensors(files), &EVERYTHING).unwrap_err();
    assert!(matches!(&error, WeightError::Duplicate { tensor, .. } if *tensor == tensors[0].name), "{error}");
}

#[test]
fn the_fingerprint_tells_weights_apart() {
    let config = odd_config();
    let params = exact_params(&config);
    let tensors = stored_tensors(&config, &params, Dtype::F16);
    let (_, hash) = read_safetensors(&config, &tensors).unwrap();
    let mut changed = tensors.clone();
    changed[3].bytes[0] ^= 1;
    assert_ne!(read_safetensors(&config, &changed).unwrap().1, hash);
    let wider = stored_tensors(&config, &params, Dtype::F32);
    assert_ne!(read_safetensors(&config, &wider).unwrap().1, hash);
    let mut legacy = tensors.clone();
    legacy.push(raw("gpt_neox.layers.0.attention.bias", Dtype::U8, &[1, 1, 64, 64]));
    legacy.push(raw("gpt_neox.layers.1.attention.masked_bias", Dtype::F16, &[]));
    legacy.push(raw("gpt_neox.layers.1.attention.rotary_emb.inv_freq", Dtype::F64, &[2]));
    let (found, same) = read_safetensors(&config, &legacy).unwrap();
    assert_eq!((found == params, &same), (true, &hash));
    let alias = tensors.iter().cloned().map(|mut t| {
        t.name = t.name.replace("embed_out", "lm_head");
        t
    });
    assert_eq!(read_safetensors(&config, &alias.collect::<Vec<_>>()).unwrap().1, hash);
}

#[test]
fn every_place_of_an_infinity_is_found() {
    let config = odd_config();
    let params = exact_params(&config);
    for (dtype, specials) in [
        (Dtype::F16, vec![0x7C00u32, 0xFC00, 0x7E01]),
        (Dtype::BF16, vec![0x7F80, 0xFF80, 0x7FC1]),
        (Dtype::F32, vec![0x7F80_0000, 0xFF80_0000, 0x7F80_0001]),
    ] {
        let tensors = stored_tensors(&config, &params, dtype);
        let size = dtype.bitsize() / 8;
        for (at, special) in specials.into_iter().enumerate() {
            for (which, tensor) in tensors.iter().enumerate() {
                let n = tensor.bytes.len() / size;
                for index in [0, n / 2 + at, n - 1] {
                    let mut bad = tensors.clone();
                    bad[which].bytes[index * size..][..size].copy_from_slice(&special.to_le_bytes()[..size]);
                    let error = read_safetensors(&config, &bad).unwrap_err();
                    let WeightError::NotFinite { tensor: name, index: found, value, .. } = &error else {
                        panic!("{error}")
                    };
                    assert_eq!((name, *found), (&tensor.name, index));
                    assert!(!value.is_finite());
                }
            }
        }
    }
}

#[test]
fn the_largest_finite_values_pass() {
    let config = odd_config();
    let mut params = exact_params(&config);
    params.get_mut(&Param::FinalNormBias).unwrap().values[0] = 65504.0;
    params.get_mut(&Param::FinalNormBias).unwrap().values[1] = -f16::MIN_POSITIVE_SUBNORMAL.to_f32();
    let (found, _) = read_safetensors(&config, &stored_tensors(&config, &params, Dtype::F16)).unwrap();
    assert!(found == params);
}

#[test]
fn a_tied_model_accepts_a_copy_and_nothing_else() {
    let mut config = odd_config();
    config.variant.tied_embeddings = true;
    let params = exact_params(&config);
    let mut tensors = stored_tensors(&config, &params, Dtype::F16);
    let (found, hash) = read_safetensors(&config, &tensors).unwrap();
    assert!(found == params);
    let embed = tensors.iter().find(|t| t.name == "gpt_neox.embed_in.weight").unwrap().clone();
    tensors.push(Raw { name: "embed_out.weight".to_owned(), ..embed });
    assert_eq!(read_safetensors(&config, &tensors).unwrap().1, hash);
    tensors.last_mut().unwrap().bytes[10] ^= 1;
    assert!(matches!(read_safetensors(&config, &tensors), Err(WeightError::TiedDiffers { .. })));
    *tensors.last_mut().unwrap() = raw("embed_out.weight", Dtype::F16, &[1, 1]);
    assert!(matches!(read_safetensors(&config, &tensors), Err(WeightError::TiedDiffers { .. })));
}

/// What a norm and the matrix behind it compute together must not change when the one is folded into the other.
#[test]
fn folding_keeps_what_a_block_computes() {
    let config = odd_config();
    let published = exact_params(&config);
    let mut folded = published.clone();
    fold::fold(&config, &mut folded);
    let normalised: Vec<f64> = {
        let wave: Vec<f64> = (0..config.d_model).map(|i| (i as f64 * 0.7).sin()).collect();
        let mean = wave.iter().sum::<f64>() / wave.len() as f64;
        wave.iter().map(|x| x - mean).collect()
    };
    // Each output in float64, with the sum of the sizes of its terms, to which its rounding is in proportion.
    let read_out = |params: &HostParams, norm: [LayerParam; 2], linear: [LayerParam; 2]| -> Vec<(f64, f64)> {
        let of = |part| &params[&Param::Layer(1, part)].values;
        let n = of(linear[1]).len();
        let input = normalised.iter().zip(of(norm[0])).zip(of(norm[1]));
        let input: Vec<f64> = input.map(|((x, &w), &b)| x * f64::from(w) + f64::from(b)).collect();
        let column = |j: usize| {
            let products = input.iter().enumerate().map(|(i, x)| x * f64::from(of(linear[0])[i * n + j]));
            let terms = products.chain([f64::from(of(linear[1])[j])]);
            terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
        };
        (0..n).map(column).collect()
    };
    // Folded weights are stored in float32; each takes part in a product, a mean and a difference, which are rounded
    // once each.
    let rounding = 2.0 * f64::from(f32::EPSILON);
    use LayerParam::*;
    for (norm, linear) in [
        ([Ln1Weight, Ln1Bias], [QueryWeight, QueryBias]),
        ([Ln1Weight, Ln1Bias], [KeyWeight, KeyBias]),
        ([Ln2Weight, Ln2Bias], [MlpInWeight, MlpInBias]),
    ] {
        let before = read_out(&published, norm, linear);
        let after = read_out(&folded, norm, linear);
        for ((a, scale), (b, _)) in before.iter().zip(&after) {
            assert!((a - b).abs() <= rounding * scale, "{linear:?}: {a} became {b}, terms of {scale} in all");
        }
    }
    let largest = |values: &[f32]| values.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    assert_eq!(largest(&folded[&Param::Layer(0, ValueBias)].values), 0.0);
    assert_eq!(folded[&Param::FinalNormWeight].values, vec![1.0; config.d_model]);
    assert_eq!(folded[&Param::UnembedBias].shape, [config.vocab_size]);
    for row in folded[&Param::Unembed].values.chunks_exact(config.vocab_size) {
        let sum = row.iter().map(|&w| f64::from(w)).sum::<f64>();
        let size = row.iter().map(|&w| f64::from(w.abs())).sum::<f64>();
        assert!(sum.abs() <= rounding * size, "a row of weights of {size} in all sums to {sum}");
    }
}
