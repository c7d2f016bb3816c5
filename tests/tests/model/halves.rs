//! Half types: weights and the products with them. How far every activation is from that of float32.

use std::collections::HashMap;

use burn::tensor::DType;
use pythia_core::{device::Backend, weights::Profile};
use pythia_hooks::{HookPoint, Site, points_of};
use pythia_tests::{
    backend,
    cases::{self, Case},
    tensors::{Reference, distance},
};

/// The unit of rounding: half of the distance from 1 to the next number.
const ROUNDING: [(DType, f64); 2] = [(DType::F16, 4.9e-4), (DType::BF16, 3.9e-3)];

/// Allowed root mean square error, relative to the root mean square of the activation, in units of rounding. A
/// product adds independent errors of its operands and its result, and a block adds those of its products to the
/// residual stream.
const BAR: f64 = 8.0;

#[test]
fn errors_of_half_types_stay_within_their_rounding() {
    for (dtype, rounding) in ROUNDING {
        if let Err(error) = backend::compute().check(dtype) {
            assert_ne!(backend::compute().backend, Backend::Cpu, "the CPU has every type: {error}");
            println!("{dtype:?} is left out: {error}");
            continue;
        }
        let mut worst: HashMap<Site, f64> = HashMap::new();
        for case in cases::committed().iter().filter(|case| !case.name.contains("bin")) {
            errors(case, dtype, &mut worst);
        }
        for (site, error) in &worst {
            println!("{dtype:?} {site:?}: {error:.1e}, {:.1} units of rounding", error / rounding);
        }
        for (site, error) in worst {
            assert!(error <= BAR * rounding, "{dtype:?} {site:?}: {error:e}");
        }
    }
}

/// The largest relative error of every site in one model, the logits as the last site.
fn errors(case: &Case, dtype: DType, worst: &mut HashMap<Site, f64>) {
    let run = |dtype| {
        let model = case.model(Profile::AsPublished, dtype);
        cases::run(&model, case.tokens("tokens.clean"), points_of(&model.model_shape()))
    };
    let ((logits, wide), (half_logits, half)) = (run(DType::F32), run(dtype));
    let mut note = |site: Site, error: f64| {
        let known = worst.entry(site).or_default();
        *known = known.max(error);
    };
    let of = |point: &HookPoint| relative(&half[point], &wide[point]);
    wide.keys().for_each(|point| note(point.site(), of(point)));
    let error = relative(&half_logits, &logits);
    assert!(error <= BAR * ROUNDING.iter().find(|(known, _)| *known == dtype).map_or(0.0, |(_, unit)| *unit));
    assert!(distance(&half_logits, &logits) > 0.0, "{}: {dtype:?} is no half type there", case.name);
}

/// The norm of the difference over that of the expected values, over finite elements. Masked scores are −∞ in both.
fn relative(found: &Reference, expected: &Reference) -> f64 {
    let (mut error, mut whole) = (0.0, 0.0);
    for (found, expected) in found.values.iter().zip(&expected.values) {
        if expected.is_finite() {
            error += (found - expected).powi(2);
            whole += expected.powi(2);
        } else {
            assert_eq!(found, expected);
        }
    }
    (error / whole).sqrt()
}
