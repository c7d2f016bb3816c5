//! Gradients: a few updates of the small suite's training, against those of the CPU.

use experiments::nano::Recipe;
use experiments::nano::train::{Diverged, train};
use pythia_core::device::Compute;
use pythia_core::params::HostParams;
use pythia_tests::backend;

/// Losses of the first updates, the parameters before them, and the parameters after them.
fn updates(compute: &Compute, many: u32) -> (Vec<f32>, HostParams, HostParams) {
    let (mut losses, mut kept) = (Vec::new(), Vec::new());
    let mut keep = |step: u32, params: &HostParams| {
        kept.push(params.clone());
        // The callback has no error of its own with which to end the training early.
        if step >= many { Err(Diverged { step, loss: 0.0 }) } else { Ok(()) }
    };
    let end = train(&Recipe::default(), &compute.device, &mut keep, &mut |tick| losses.push(tick.loss));
    assert!(matches!(end, Err(Diverged { step, .. }) if step == many), "{end:?}");
    let after = kept.pop().expect("the last ones");
    (losses, kept.swap_remove(0), after)
}

/// The norm of the difference of two parameters.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn updates_are_those_of_the_cpu() {
    const MANY: u32 = 4;
    let ((ours, before, after), (expected, same, expected_after)) =
        (updates(backend::compute(), MANY), updates(&Compute::cpu(), MANY));
    assert_eq!((ours.len(), expected.len()), (MANY as usize, MANY as usize));
    assert_eq!(before, same);
    for (ours, expected) in ours.iter().zip(&expected) {
        assert!((ours - expected).abs() <= 1e-5 * expected, "{ours} {expected}");
    }
    // Adam divides a gradient by its own size. Entries whose gradient is nearly zero, such as the keys' biases, move
    // by rounding alone.
    for (param, tensor) in &expected_after {
        let moved = distance(&tensor.values, &before[param].values);
        let error = distance(&after[param].values, &tensor.values);
        println!("{param}: {error:.1e} of an update of {moved:.1e}");
        assert!(moved > 0.0, "{param} was not trained");
        let whole = distance(&tensor.values, &vec![0.0; tensor.values.len()]);
        assert!(error <= 1e-4 * whole.max(1e-3), "{param}: {error:e} of {whole:e}");
        assert!(error <= 1e-3 * moved, "{param}: {error:e} of {moved:e}");
    }
}
