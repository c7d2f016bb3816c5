//! A streamed model is the resident one, bit for bit.

use std::fs;

use pythia_hooks::{Activation, ActivationCache, points_of};

use super::*;
use crate::config::NeoxConfig;
use crate::testing::{TempDir, exact_params, odd_config};
use crate::weights::tests::{Form, written};
use crate::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};

/// Small weights, so that activations stay in the range in which rounding shows.
fn small_params(config: &NeoxConfig) -> HostParams {
    let mut params = exact_params(config);
    params.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value /= 32.0);
    params
}

fn resident(config: &NeoxConfig, files: &WeightFiles, profile: Profile, dtype: DType) -> GptNeoX {
    let (params, _) = StoredCheckpoint::open(config, files)
        .and_then(|stored| stored.params(&Wanted { unembed: true, profile }))
        .unwrap();
    GptNeoX::from_params(config.clone(), params, &Device::flex(), dtype)
}

fn streamed(config: &NeoxConfig, files: &WeightFiles, profile: Profile, dtype: DType, ahead: ReadAhead) -> GptNeoX {
    let (stored, _) = StoredCheckpoint::open(config, files)
        .and_then(|stored| stored.streamed(&Wanted { unembed: true, profile }, None))
        .unwrap();
    GptNeoX::streamed(stored, &Device::flex(), dtype, ahead).unwrap()
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u64> {
    tensor.into_data().iter::<f64>().map(f64::to_bits).collect()
}

fn activation_bits(activation: &Activation) -> Vec<u64> {
    match activation {
        Activation::Three(tensor) => bits(tensor.clone()),
        Activation::Four(tensor) => bits(tensor.clone()),
    }
}

/// Everything that a model can be asked for: every hook point, logits, a stop half-way, a block on rows, and a few
/// columns of logits.
fn everything(model: &GptNeoX) -> Vec<(String, Vec<u64>)> {
    let tokens = model.tokens(&[vec![3, 96, 0, 7, 7], vec![41, 5, 6, 2, 90]]);
    let mut cache = ActivationCache::of(points_of(&model.model_shape()));
    let logits = model.forward(tokens.clone(), &mut cache);
    let kept = cache.finish().unwrap();
    let mut found: Vec<(String, Vec<u64>)> =
        kept.iter().map(|(point, activation)| (point.to_string(), activation_bits(activation))).collect();
    found.push(("logits".into(), bits(logits)));
    let mut half =
        ActivationCache::of(points_of(&model.model_shape()).into_iter().filter(|point| point.layer() == Some(0)));
    model.observe(tokens.clone(), &mut half);
    found
        .extend(half.finish().unwrap().iter().map(|(point, value)| (format!("{point} alone"), activation_bits(value))));
    let end = model.advance(model.embed(tokens, &mut ()), model.config().n_layers, &mut ());
    let [batch, length, width] = end.stream.dims();
    let rows: Tensor<2> = end.stream.reshape([batch * length, width]);
    // Also from the last layer to the first, an order that a forward pass never has.
    for layer in (0..model.config().n_layers).rev() {
        let block = model.rows(layer);
        let normalized = block.normalize(rows.clone());
        found.push((
            format!("queries {layer}"),
            bits(block.queries(normalized.clone(), &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4])),
        ));
        found.push((format!("mlp {layer}"), bits(block.mlp_out(block.neurons(normalized)))));
    }
    found.push(("few logits".into(), bits(model.logits_of(rows.clone(), &[9, 3, 96, 9]))));
    let scale = model.final_scale(rows.clone());
    found.push(("logits at scale".into(), bits(model.logits_at_scale(rows, scale, &[0]))));
    found
}

#[track_caller]
fn same(expected: &GptNeoX, found: &GptNeoX, what: &str) {
    let (expected, found) = (everything(expected), everything(found));
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        assert!(expected == found, "{what}: {name} differs");
    }
}

#[test]
fn every_value_is_the_same_bit_for_bit() {
    let dir = TempDir::new();
    for (parallel, tied, biased) in
        [(true, false, true), (false, false, true), (true, true, true), (true, false, false)]
    {
        let mut config = odd_config();
        config.n_layers = 3;
        let variant = &mut config.variant;
        (variant.parallel_residual, variant.tied_embeddings, variant.attention_bias) = (parallel, tied, biased);
        let params = small_params(&config);
        for form in [Form::Safetensors, Form::Shards, Form::Torch] {
            let files = written(&dir, &config, &params, form);
            for profile in [Profile::AsPublished, Profile::Tl2] {
                let whole = resident(&config, &files, profile, DType::F32);
                for ahead in [ReadAhead::Off, ReadAhead::OneBlock] {
                    let lazy = streamed(&config, &files, profile, DType::F32, ahead);
                    same(&whole, &lazy, &format!("{parallel} {tied} {biased} {form:?} {profile} {ahead:?}"));
                    assert!(lazy.fault().is_none());
                }
            }
        }
    }
}

#[test]
fn float64_is_the_same_too() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &small_params(&config), Form::Safetensors);
    let whole = resident(&config, &files, Profile::Tl2, DType::F64);
    same(&whole, &streamed(&config, &files, Profile::Tl2, DType::F64, ReadAhead::OneBlock), "float64");
}

#[test]
fn exchanged_parts_are_the_same_too() {
    let config = odd_config();
    let (here, there) = (TempDir::new(), TempDir::new());
    let ours = written(&here, &config, &small_params(&config), Form::Safetensors);
    let mut other = small_params(&config);
    other.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value *= -0.5);
    let theirs = written(&there, &config, &other, Form::Torch);
    let models = |files| {
        let whole = resident(&config, files, Profile::AsPublished, DType::F32);
        (whole, streamed(&config, files, Profile::AsPublished, DType::F32, ReadAhead::OneBlock))
    };
    let ((ours, our_stream), (theirs, their_stream)) = (models(&ours), models(&theirs));
    same(&ours.with_head_of(&theirs, 1, 3), &our_stream.with_head_of(&their_stream, 1, 3), "a head");
    same(&ours.with_mlp_of(&theirs, 0), &our_stream.with_mlp_of(&their_stream, 0), "an MLP");
    same(&ours.with_block_of(&theirs, 1), &our_stream.with_block_of(&their_stream, 1), "a block");
    same(&ours, &our_stream, "the model itself stays as it was");
}

#[test]
fn files_may_be_removed_while_a_model_runs() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &small_params(&config), Form::Shards);
    let whole = resident(&config, &files, Profile::AsPublished, DType::F32);
    let lazy = streamed(&config, &files, Profile::AsPublished, DType::F32, ReadAhead::OneBlock);
    files.paths().iter().for_each(|path| fs::remove_file(path).unwrap());
    same(&whole, &lazy, "after its files were removed");
}

#[test]
fn a_file_that_is_cut_short_is_a_fault_and_no_panic() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &small_params(&config), Form::Safetensors);
    for ahead in [ReadAhead::Off, ReadAhead::OneBlock] {
        let bytes = fs::read(&files.paths()[0]).unwrap();
        let lazy = streamed(&config, &files, Profile::AsPublished, DType::F32, ahead);
        fs::write(&files.paths()[0], &bytes[..9000]).unwrap();
        let logits = lazy.forward(lazy.tokens(&[vec![1, 2, 3]]), &mut ());
        assert!(bits(logits).iter().all(|&bits| f64::from_bits(bits).is_finite()));
        assert!(matches!(lazy.fault(), Some(WeightError::Io { .. })));
        assert!(lazy.fault().is_none(), "it is told once");
        fs::write(&files.paths()[0], &bytes).unwrap();
    }
}

#[test]
fn a_block_is_decoded_once_for_uses_in_a_row() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &small_params(&config), Form::Safetensors);
    let model = streamed(&config, &files, Profile::AsPublished, DType::F32, ReadAhead::Off);
    let Weights::Streamed(weights) = &model.weights else { panic!("it is streamed") };
    let first = weights.stream.block(0);
    assert!(Arc::ptr_eq(&first, &weights.stream.block(0)));
    weights.stream.block(1);
    assert_eq!(Arc::strong_count(&first), 1, "the model keeps the latest block alone");
    assert!(!Arc::ptr_eq(&first, &weights.stream.block(0)));
}

#[test]
fn a_model_without_its_unembedding_runs_to_the_last_stream() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &small_params(&config), Form::Torch);
    let (stored, _) = StoredCheckpoint::open(&config, &files)
        .and_then(|stored| stored.streamed(&Wanted { unembed: false, profile: Profile::AsPublished }, None))
        .unwrap();
    let model = GptNeoX::streamed(stored, &Device::flex(), DType::F32, ReadAhead::OneBlock).unwrap();
    assert!(!model.can_unembed());
    let end = model.advance(model.embed(model.tokens(&[vec![1, 2]]), &mut ()), 2, &mut ());
    let whole = resident(&config, &files, Profile::AsPublished, DType::F32);
    let expected = whole.advance(whole.embed(whole.tokens(&[vec![1, 2]]), &mut ()), 2, &mut ());
    assert_eq!(bits(end.stream), bits(expected.stream));
}
