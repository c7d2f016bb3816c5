//! The elementwise kernels of a forward pass at the shapes of pythia-70m on 8 × 128 tokens, beside what the backend
//! offers where it has the operation, and the decoding of half-precision weights.
//!
//! `cargo bench --workspace --bench kernels`

use std::hint::black_box;

use burn::tensor::{Device, Tensor, TensorData, activation, module};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pythia_core::config::NeoxConfig;
use pythia_core::model::{RotaryTable, kernels};
use pythia_core::params::{HostTensor, Param};
use pythia_core::weights::{self, Profile, StoredCheckpoint, Wanted, WeightFiles};
use pythia_tests::paths;

const BATCH: usize = 8;
const POS: usize = 128;
const HEADS: usize = 8;
const D_HEAD: usize = 64;
const D_MODEL: usize = HEADS * D_HEAD;
const D_MLP: usize = 4 * D_MODEL;

/// Pseudo-random numbers between −3 and 3, which a branch predictor cannot learn.
fn numbers<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let n = shape.iter().product::<usize>();
    let values: Vec<f32> =
        (0..n).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 2f32.powi(24) * 6.0 - 3.0).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Times `f` on an input of its own: kernels work in place where a tensor is not shared.
fn bench<const D: usize, T>(c: &mut Criterion, group: &str, name: &str, shape: [usize; D], f: impl Fn(Tensor<D>) -> T) {
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(shape.iter().product::<usize>() as u64));
    group.bench_function(name, |b| {
        b.iter_batched(|| numbers(shape), |x| black_box(f(x)), BatchSize::LargeInput);
    });
    group.finish();
}

fn gelu(c: &mut Criterion) {
    let shape = [BATCH, POS, D_MLP];
    bench(c, "gelu", "ours", shape, kernels::gelu);
    bench(c, "gelu", "backend", shape, activation::gelu);
}

fn norm(c: &mut Criterion) {
    let shape = [BATCH, POS, D_MODEL];
    let (weight, bias) = (numbers([D_MODEL]), numbers([D_MODEL]));
    bench(c, "norm", "ours", shape, |x| kernels::affine(kernels::normalize(x, 1e-5).0, &weight, &bias));
    bench(c, "norm", "backend", shape, |x| module::layer_norm(x, weight.clone(), Some(bias.clone()), 1e-5));
}

fn rotary(c: &mut Criterion) {
    let table = RotaryTable::new(&config(), &Device::flex(), burn::tensor::DType::F32);
    bench(c, "rotary", "ours", [BATCH, POS, HEADS, D_HEAD], |x| table.apply(x));
}

fn pattern(c: &mut Criterion) {
    let shape = [BATCH, HEADS, POS, POS];
    bench(c, "pattern", "ours", shape, |x| kernels::softmax(kernels::mask_scores(x, 0.125)));
    bench(c, "pattern", "backend softmax alone", shape, |x| activation::softmax(x, 3));
}

/// pythia-70m's block shapes with a small vocabulary.
fn config() -> NeoxConfig {
    let text = r#"{"model_type": "gpt_neox", "hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 6,
        "intermediate_size": 2048, "vocab_size": 1024, "max_position_embeddings": 2048, "rotary_pct": 0.25,
        "rotary_emb_base": 10000, "layer_norm_eps": 1e-5, "use_parallel_residual": true, "hidden_act": "gelu"}"#;
    NeoxConfig::from_json(text).expect("a config.json")
}

/// A checkpoint in f16, as published, decoded to f32 in the layout the model computes with.
fn decode(c: &mut Criterion) {
    let config = config();
    let folder = paths::scratch("bench-decode");
    let path = folder.join("model.safetensors");
    std::fs::write(&path, half_checkpoint(&config)).expect("a file");
    let files = WeightFiles::Safetensors(vec![path]);
    let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(config.n_params()));
    group.bench_function("f16 safetensors", |b| {
        b.iter(|| {
            black_box(
                StoredCheckpoint::open(&config, &files)
                    .and_then(|stored| stored.params(&wanted))
                    .expect("a checkpoint"),
            )
        });
    });
    group.finish();
}

fn half_checkpoint(config: &NeoxConfig) -> Vec<u8> {
    let host = |param: Param| {
        let shape = param.shape(config);
        let values = vec![0.0123; shape.iter().product()];
        (param, HostTensor { shape, values: values.into() })
    };
    let full = weights::to_safetensors(config, &Param::all(config).into_iter().map(host).collect());
    let full = safetensors::SafeTensors::deserialize(&full).expect("our own file");
    let halves: Vec<(String, Vec<usize>, Vec<u8>)> = full
        .tensors()
        .into_iter()
        // 0x2249 is 0.0123 in IEEE half precision.
        .map(|(name, view)| (name, view.shape().to_vec(), [0x49, 0x22].repeat(view.data().len() / 4)))
        .collect();
    let views = halves.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F16, shape.clone(), bytes).expect("a view"))
    });
    safetensors::serialize(views, None).expect("a file")
}

criterion_group!(benches, gelu, norm, rotary, pattern, decode);
criterion_main!(benches);
