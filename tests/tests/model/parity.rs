//! Every activation, logit, loss and score against TransformerLens 2.18: on the committed fixtures always, on the
//! folder of goldens when it is asked for. The bounds are fixed; a comparison over its bound is a bug to find.

use burn::tensor::DType;
use pythia_core::weights::Profile;
use pythia_hooks::{Axis, Edit, HookPoint, Intervention, Interventions, Region, points_of};
use pythia_tests::{
    backend,
    cases::{self, Case},
    paths,
    tensors::{Comparisons, Reference},
};

/// Allowed distance of logits, in units of their standard deviation, and of activations and losses.
struct Bounds {
    logits: f64,
    activations: f64,
    loss: f64,
}

const SINGLE: Bounds = Bounds { logits: 5e-5, activations: 1e-4, loss: 1e-5 };
/// In float64 both sides carry rounding errors only.
const DOUBLE: Bounds = Bounds { logits: 1e-9, activations: 1e-9, loss: 1e-9 };

#[test]
fn committed_models_match() {
    for case in cases::committed() {
        for key in ["plain.loss", "repeated.loss", "bos_repeated.loss"] {
            case.value(key);
        }
        assert!(case.under("edit.").count() >= 20, "{}: no edits to compare", case.name);
        check(&case);
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn golden_models_match() {
    for case in cases::goldens(&paths::shared()) {
        check(&case);
    }
}

fn check(case: &Case) {
    // Float64 first: where it fails, the formula is wrong, and float32 need not be looked at.
    if case.double && backend::compute().computes_in(DType::F64) {
        plain(case, DType::F64, &DOUBLE);
    }
    plain(case, DType::F32, &SINGLE);
    folded(case);
    edited(case);
}

/// Weights as published: logits, every activation, the loss of every token, and the losses on repeated tokens.
fn plain(case: &Case, dtype: DType, bounds: &Bounds) {
    let model = case.model(Profile::AsPublished, dtype);
    let points = points_of(&model.model_shape());
    let (logits, activations) = cases::run(&model, case.tokens("tokens.clean"), points);
    let mut comparisons = Comparisons::default();
    let expected = case.value("plain.logits");
    comparisons.compare("logits", "logits", &logits, expected, bounds.logits * expected.std());
    let mut compared = 0;
    for (name, expected) in case.under("plain.acts.") {
        let point: HookPoint = name.parse().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        comparisons.compare("activations", name, &activations[&point], expected, bounds.activations);
        compared += 1;
    }
    assert!(compared >= 20 * model.config().n_layers, "{}: only {compared} activations compared", case.name);
    let mut losses = |key: &str, logits: &Reference, tokens: &Reference| {
        let Some(expected) = case.values.get(key) else { return };
        comparisons.compare("loss per token", key, &loss(logits, tokens), expected, bounds.loss);
    };
    losses("plain.loss", &logits, case.value("tokens.clean"));
    for prompt in ["repeated", "bos_repeated"] {
        let tokens = format!("tokens.{prompt}");
        let logits = cases::host(model.forward(case.tokens(&tokens), &mut ()));
        losses(&format!("{prompt}.loss"), &logits, case.value(&tokens));
    }
    comparisons.assert_within_bounds(&format!("{} ({dtype:?})", case.name));
}

/// The four folds of TransformerLens' `from_pretrained`. Folding happens in float32, so there is one set of bounds.
fn folded(case: &Case) {
    let model = case.model(Profile::Tl2, DType::F32);
    let points = points_of(&model.model_shape());
    let (logits, activations) = cases::run(&model, case.tokens("tokens.clean"), points);
    let mut comparisons = Comparisons::default();
    let expected = case.value("folded.logits");
    comparisons.compare("logits", "logits", &logits, expected, SINGLE.logits * expected.std());
    for (name, expected) in case.under("folded.acts.") {
        let point: HookPoint = name.parse().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        comparisons.compare("activations", name, &activations[&point], expected, SINGLE.activations);
    }
    comparisons.assert_within_bounds(&format!("{} (folded)", case.name));
}

/// Halving position 3 (of head 1, where there are heads) at each point of one layer moves the logits as it does there.
fn edited(case: &Case) {
    let edits: Vec<_> = case.under("edit.").collect();
    if edits.is_empty() {
        return;
    }
    let model = case.model(Profile::AsPublished, DType::F32);
    let plain = case.value("plain.logits");
    let mut comparisons = Comparisons::default();
    for (name, expected) in edits {
        let point: HookPoint = name.parse().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let halved = Intervention { point, region: third_position(point), edit: Edit::Scale(0.5) };
        let mut hooks = Interventions::new(vec![halved], &model.model_shape()).expect("the point exists");
        let logits = cases::host(model.forward(case.tokens("tokens.clean"), &mut hooks));
        assert_eq!(hooks.fired(), [1], "{}: {name}", case.name);
        hooks.finish().expect("the edit fits");
        assert_ne!(&logits, plain, "{}: editing {name} changed nothing", case.name);
        comparisons.compare("logits after an edit", name, &logits, expected, SINGLE.logits * expected.std());
    }
    comparisons.assert_within_bounds(&format!("{} (edited)", case.name));
}

fn third_position(point: HookPoint) -> Region {
    let axes = point.site().axes();
    let position = if axes.contains(&Axis::Query) { Axis::Query } else { Axis::Pos };
    let region = Region::all().along(position, 3);
    if axes.contains(&Axis::Head) { region.along(Axis::Head, 1) } else { region }
}

/// The loss of each token but the first, [batch, pos − 1], from logits [batch, pos, vocabulary].
fn loss(logits: &Reference, tokens: &Reference) -> Reference {
    let [batch, length, vocabulary] = logits.shape[..] else { panic!("logits have three axes") };
    let mut values = Vec::new();
    for row in 0..batch {
        for position in 0..length - 1 {
            let at = (row * length + position) * vocabulary;
            let scores = &logits.values[at..at + vocabulary];
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
            let next = tokens.values[row * length + position + 1] as usize;
            values.push(top + total.ln() - scores[next]);
        }
    }
    Reference { shape: vec![batch, length - 1], values }
}
