//! AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization"), with clipping and a linear warm-up.
//!
//! With gradient g at update t = 1, 2, …, rate η and decay λ:
//! m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − ηλθ − η · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε),
//! the decay on weight matrices alone.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdamWConfig {
    /// Learning rate after the warm-up, η.
    pub(crate) rate: f64,
    /// Updates over which the rate grows linearly to its full value.
    pub(crate) warm_up: u32,
    /// Decay of the two moments, (β₁, β₂).
    pub(crate) betas: (f64, f64),
    /// Added to the denominator, ε.
    pub(crate) epsilon: f64,
    /// Weight decay, λ.
    pub(crate) weight_decay: f64,
    /// Largest norm of a gradient; a longer one is scaled down to it.
    pub(crate) clip: f64,
}

impl Default for AdamWConfig {
    /// Pythia's moments, decay and clipping, with a rate that suits a model this small.
    fn default() -> Self {
        Self { rate: 2e-3, warm_up: 100, betas: (0.9, 0.95), epsilon: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

impl AdamWConfig {
    /// The learning rate of update `t`, counted from 1.
    pub(crate) fn rate_at(&self, t: u32) -> f64 {
        self.rate * (f64::from(t) / f64::from(self.warm_up.max(1))).min(1.0)
    }
}

/// The optimiser and its two moments.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    updates: u32,
    /// 1 where decay applies, else 0; as long as the vector of parameters.
    decays: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
}

impl AdamW {
    /// An optimiser that has made no update yet. `decays` is 1 where weight decay applies and 0 elsewhere.
    pub(crate) fn new(config: AdamWConfig, decays: Tensor<1>) -> Self {
        let zero = decays.zeros_like();
        Self { config, updates: 0, decays, first: zero.clone(), second: zero }
    }

    /// One update of the parameters.
    pub(crate) fn update(&mut self, parameters: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        self.updates += 1;
        let (beta1, beta2) = self.config.betas;
        let gradient = clipped(gradient, self.config.clip);
        self.first = self.first.clone() * beta1 + gradient.clone() * (1.0 - beta1);
        self.second = self.second.clone() * beta2 + gradient.clone() * gradient * (1.0 - beta2);
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(self.updates));
        let denominator = (self.second.clone() / correction(beta2)).sqrt() + self.config.epsilon;
        let rate = self.config.rate_at(self.updates);
        let kept = self.decays.clone() * (-rate * self.config.weight_decay) + 1.0;
        parameters * kept - self.first.clone() / denominator * (rate / correction(beta1))
    }
}

/// The gradient, scaled down where its norm exceeds `limit`.
fn clipped(gradient: Tensor<1>, limit: f64) -> Tensor<1> {
    let squares: f32 = (gradient.clone() * gradient.clone()).sum().into_scalar();
    let norm = f64::from(squares).sqrt();
    if norm > limit { gradient * (limit / norm) } else { gradient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn vector<const N: usize>(values: [f32; N]) -> Tensor<1> {
        Tensor::from_data(values, &Device::flex())
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        pythia_core::device::host_f32(tensor).expect("a host tensor")
    }

    /// The same two updates by hand, in f64.
    #[test]
    fn two_updates_agree_with_the_formula() {
        let config = AdamWConfig { warm_up: 2, clip: 10.0, ..AdamWConfig::default() };
        let mut adamw = AdamW::new(config.clone(), vector([1.0, 0.0]));
        let gradients = [[0.5, -0.25], [0.1, 0.4]];
        let mut theta = vector([1.0, -2.0]);
        let (mut expected, mut m, mut v) = ([1.0f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
        for (t, gradient) in (1..).zip(gradients) {
            theta = adamw.update(theta, vector(gradient));
            let rate = config.rate * f64::from(t) / 2.0;
            for i in 0..2 {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let decay = if i == 0 { rate * 0.1 * expected[i] } else { 0.0 };
                let step = (m[i] / (1.0 - 0.9f64.powi(t))) / ((v[i] / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8);
                expected[i] -= decay + rate * step;
            }
        }
        for (found, expected) in values(theta).into_iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn long_gradients_are_scaled_and_short_ones_left_alone() {
        assert_eq!(values(clipped(vector([3.0, 4.0]), 1.0)), [0.6, 0.8]);
        assert_eq!(values(clipped(vector([0.3, 0.4]), 1.0)), [0.3, 0.4]);
    }

    #[test]
    fn the_rate_warms_up() {
        let config = AdamWConfig { rate: 1.0, warm_up: 4, ..AdamWConfig::default() };
        assert_eq!([1, 2, 4, 400].map(|t| config.rate_at(t)), [0.25, 0.5, 1.0, 1.0]);
    }
}
