//! What hook points promise: their names, order and shapes, and that observing changes nothing.

use std::collections::BTreeMap;

use burn::tensor::{DType, Int, Tensor};
use proptest::prelude::*;
use pythia_core::{model::GptNeoX, weights::Profile};
use pythia_hooks::{ActivationCache, HookPoint, SITES, Site, points_of, select};
use pythia_tests::{
    backend,
    cases::{self, token_tensor},
    paths, random,
    recorder::Recorder,
    tensors::{Reference, distance},
};

/// Points whose edit makes the model take its inputs apart by head.
const SPLIT: [Site; 4] = [Site::AttnIn, Site::QInput, Site::KInput, Site::VInput];

/// Sites that TransformerLens does not have, with the reason for each. Their names and order are not compared.
const NOT_IN_TRANSFORMER_LENS: &[Site] = &[];

#[test]
fn names_and_order_are_those_of_transformer_lens() {
    let text = std::fs::read_to_string(paths::fixtures().join("hook_names.json")).expect("the list is committed");
    let lists: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("the list is JSON");
    assert_eq!(lists.len(), 3);
    for (name, expected) in lists {
        let model = cases::load(&paths::fixtures().join(&name), Profile::AsPublished, DType::F32);
        let mut points = points_of(&model.model_shape());
        points.retain(|point| !NOT_IN_TRANSFORMER_LENS.contains(&point.site()));
        let ours: Vec<String> = points.iter().map(ToString::to_string).collect();
        assert_eq!(ours, expected, "{name}");
        let parsed: Vec<HookPoint> = expected.iter().map(|name| name.parse().expect("a known name")).collect();
        assert_eq!(parsed, points, "{name}");
        for (point, name) in points.iter().zip(&expected) {
            assert_eq!(select(name, &model.model_shape()).expect("a known name"), [*point]);
        }
    }
}

#[test]
fn every_alias_names_its_site() {
    let model = pythia_hooks::ModelShape { n_layers: 3, n_heads: 2, d_model: 8, d_head: 4, d_mlp: 32, parallel: false };
    for row in SITES {
        let all = select(row.aliases[0], &model).expect("the first alias is a short form");
        assert_eq!(all.len(), if row.site.is_global() { 1 } else { 3 }, "{}", row.name);
        for alias in row.aliases.iter().filter(|_| !row.site.is_global()) {
            assert_eq!(select(&format!("blocks.1.{alias}"), &model).expect("an alias"), [row.site.at(1)], "{alias}");
        }
    }
}

#[test]
fn a_parallel_block_has_no_resid_mid_and_says_why() {
    let model = cases::load(&paths::fixtures().join("parallel"), Profile::AsPublished, DType::F32);
    let error = select("blocks.0.hook_resid_mid", &model.model_shape()).expect_err("there is none");
    assert!(error.to_string().contains("parallel"), "{error}");
    assert!(points_of(&model.model_shape()).iter().all(|point| point.site() != Site::ResidMid));
}

#[test]
fn nothing_past_the_last_wanted_point_runs() {
    let (model, tokens) = fixture("sequential");
    let mut hooks = (Recorder::of([Site::Pattern.at(0)]), Recorder::default());
    model.observe(tokens, &mut hooks);
    assert_eq!(hooks.0.points(), [Site::Pattern.at(0)]);
}

#[test]
fn fixtures_keep_the_contract() {
    for name in ["parallel", "sequential", "tied"] {
        let (model, tokens) = fixture(name);
        contract(&model, tokens);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: backend::cases(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_models_keep_the_contract(
        config in random::configs(), batch in 1usize..4, length in 1usize..9, seed in any::<u64>()
    ) {
        let tokens = token_tensor(&random::tokens(&config, batch, length, seed));
        contract(&random::model(&config, seed), tokens);
    }
}

fn fixture(name: &str) -> (GptNeoX, Tensor<2, Int>) {
    let model = cases::load(&paths::fixtures().join(name), Profile::AsPublished, DType::F32);
    let tokens = token_tensor(&random::tokens(model.config(), 2, 7, 5));
    (model, tokens)
}

fn contract(model: &GptNeoX, tokens: Tensor<2, Int>) {
    let plain = cases::host(model.forward(tokens.clone(), &mut ()));
    assert!(plain.values.iter().all(|logit| logit.is_finite()));
    fires_once_in_order(model, tokens.clone(), &plain);
    writing_back_changes_nothing(model, tokens.clone(), &plain);
    identities(model, tokens.clone());
    resumes_anywhere(model, tokens, &plain);
}

/// Each point fires once, in order, with the shape its row claims, and watching all of them leaves the logits as they
/// are.
fn fires_once_in_order(model: &GptNeoX, tokens: Tensor<2, Int>, plain: &Reference) {
    let points = points_of(&model.model_shape());
    let [batch, length] = tokens.dims();
    let mut recorder = Recorder::of(points.clone());
    let logits = cases::host(model.forward(tokens.clone(), &mut recorder));
    assert_eq!(&logits, plain, "observing changed the logits");
    assert_eq!(recorder.points(), points);
    for (point, activation) in &recorder.fired {
        assert_eq!(activation.dims(), model.model_shape().dims(point.site(), batch, length), "{point}");
    }
    // What is made only on request must not fire unasked, nor be missed when asked for alone.
    for point in points {
        let mut one = Recorder::of([point]);
        model.observe(tokens.clone(), &mut one);
        assert_eq!(one.points(), [point]);
    }
}

/// Handing back an equal copy gives the same logits, bit for bit: at each point alone, and at all of them together.
fn writing_back_changes_nothing(model: &GptNeoX, tokens: Tensor<2, Int>, plain: &Reference) {
    let points = points_of(&model.model_shape());
    let together = |split: bool| points.iter().copied().filter(move |point| !split ^ SPLIT.contains(&point.site()));
    let alone = points.iter().map(|point| vec![*point]);
    let norms = |point: &HookPoint| matches!(point.site(), Site::Ln1Scale | Site::Ln1Normalized);
    let split = together(true).chain(together(false).filter(|point| !norms(point))).collect();
    for wanted in alone.chain([together(false).collect(), split]) {
        let mut recorder = Recorder::rewriting(wanted.clone());
        let logits = cases::host(model.forward(tokens.clone(), &mut recorder));
        let mut fired = recorder.points();
        fired.sort();
        let mut expected = wanted.clone();
        expected.sort();
        assert_eq!(fired, expected);
        assert_eq!(&logits, plain, "writing back {wanted:?} changed the logits by {:e}", distance(&logits, plain));
    }
}

/// Sums that hold in every run, up to the rounding of float32.
fn identities(model: &GptNeoX, tokens: Tensor<2, Int>) {
    let config = model.config();
    let mut cache = ActivationCache::of(points_of(&config.model_shape()));
    model.observe(tokens, &mut cache);
    let stream = |site: Site, layer: usize| cache.get::<3>(site.at(layer)).expect("everything was kept");
    let heads = |site: Site, layer: usize| cache.get::<4>(site.at(layer)).expect("everything was kept");
    for layer in 0..config.n_layers {
        let (pre, attn, mlp) =
            (stream(Site::ResidPre, layer), stream(Site::AttnOut, layer), stream(Site::MlpOut, layer));
        close("resid_post", pre.clone() + attn.clone() + mlp, stream(Site::ResidPost, layer));
        let read = if config.variant.parallel_residual { pre.clone() } else { stream(Site::ResidMid, layer) };
        same("mlp_in", stream(Site::MlpIn, layer), read);
        if !config.variant.parallel_residual {
            same("resid_mid", stream(Site::ResidMid, layer), pre.clone() + attn.clone());
        }
        let next = if layer == 0 { stream(Site::Embed, 0) } else { stream(Site::ResidPost, layer - 1) };
        same("resid_pre", pre.clone(), next);
        let sum = heads(Site::Result, layer).sum_dim(2).squeeze_dim::<3>(2);
        close("attn_out", sum + output_bias(model, layer), attn);
        let mass = heads(Site::Pattern, layer).sum_dim(3);
        close("pattern", mass.clone(), mass.ones_like());
        causal(heads(Site::AttnScores, layer), heads(Site::Pattern, layer));
        let copies = pre.unsqueeze_dim::<4>(2).repeat_dim(2, config.n_heads);
        for site in SPLIT {
            same("split inputs", heads(site, layer), copies.clone());
        }
    }
}

/// b_O, as [1, 1, d_model]; zeros where the model has no attention biases.
fn output_bias(model: &GptNeoX, layer: usize) -> Tensor<3> {
    use pythia_core::params::{LayerParam, Param};
    let width = model.config().d_model;
    let params = model.to_params();
    let bias = params.get(&Param::Layer(layer, LayerParam::OutBias)).map(|tensor| tensor.values.to_vec());
    let device = backend::device();
    Tensor::<1>::from_floats(bias.unwrap_or(vec![0.0; width]).as_slice(), &device).reshape([1, 1, width])
}

/// Minus infinity and an exact zero above the diagonal, finite scores below.
fn causal(scores: Tensor<4>, pattern: Tensor<4>) {
    let (scores, pattern) = (cases::host(scores), cases::host(pattern));
    let length = scores.shape[3];
    for (index, (score, share)) in scores.values.iter().zip(&pattern.values).enumerate() {
        let (query, key) = (index / length % length, index % length);
        if key > query {
            assert_eq!((*score, *share), (f64::NEG_INFINITY, 0.0));
        } else {
            assert!(score.is_finite() && (0.0..=1.0).contains(share), "{score} {share}");
        }
    }
}

/// Stopping before any layer and going on gives the full run, bit for bit.
fn resumes_anywhere(model: &GptNeoX, tokens: Tensor<2, Int>, plain: &Reference) {
    for layer in 0..=model.config().n_layers {
        let start = model.embed(tokens.clone(), &mut ());
        let middle = model.advance(start, layer, &mut ());
        assert_eq!(middle.layer, layer);
        assert_eq!(&cases::host(model.resume(middle, &mut ())), plain, "resumed at layer {layer}");
    }
}

fn same<const D: usize>(what: &str, ours: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(cases::host(ours), cases::host(expected), "{what}");
}

/// Within a few units of rounding of the larger side.
fn close<const D: usize>(what: &str, ours: Tensor<D>, expected: Tensor<D>) {
    let (ours, expected) = (cases::host(ours), cases::host(expected));
    let largest = expected.values.iter().fold(1.0, |top: f64, value| top.max(value.abs()));
    let found = distance(&ours, &expected);
    assert!(found <= 4e-6 * largest, "{what}: {found:e}");
}
