//! Gradients: a few updates of the small suite's training, against those of the CPU.

use experiments::nano::Recipe;
use experiments::nano::train::{Diverged, train};
use pythia_core::device::Compute;
use pythia_core::params::HostParams;
use pythia_tests::on;

/// Losses of the first updates, and the parameters after them.
fn updates(compute: &Compute, many: u32) -> (Vec<f32>, HostParams) {
    let mut losses = Vec::new();
    let mut last = HostParams::new();
    let mut keep = |step: u32, params: &HostParams| {
        last = params.clone();
        // What ends the training early is no divergence; there is no other error to give.
        if step >= many { Err(Diverged { step, loss: 0.0 }) } else { Ok(()) }
    };
    let end = train(&Recipe::default(), &compute.device, &mut keep, &mut |tick| losses.push(tick.loss));
    assert!(matches!(end, Err(Diverged { step, .. }) if step == many), "{end:?}");
    (losses, last)
}

#[test]
fn updates_are_those_of_the_cpu() {
    const MANY: u32 = 4;
    let ((ours, after), (expected, expected_after)) = (updates(on::compute(), MANY), updates(&Compute::cpu(), MANY));
    assert_eq!((ours.len(), expected.len()), (MANY as usize, MANY as usize));
    for (ours, expected) in ours.iter().zip(&expected) {
        assert!((ours - expected).abs() <= 1e-5 * expected, "{ours} {expected}");
    }
    // An update of Adam is the gradient over its own size, so an entry whose gradient is nearly zero moves by rounding alone.
    for (param, tensor) in &expected_after {
        let found = &after[param].values;
        let [error, whole] = [0.0, 1.0].map(|own: f64| {
            let difference = |(a, b): (&f32, &f32)| (f64::from(*b) - (1.0 - own) * f64::from(*a)).powi(2);
            found.iter().zip(&tensor.values).map(difference).sum::<f64>().sqrt()
        });
        assert!(error <= 1e-4 * whole.max(1e-3), "{param}: {error:e} of {whole:e}");
    }
}
