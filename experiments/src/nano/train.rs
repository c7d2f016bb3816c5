//! The training loop: a pure function of the recipe, which hands out parameters at the steps of its grid.

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use pythia_core::device::{host_f32, ints};
use pythia_core::model::GptNeoX;
use pythia_core::params::HostParams;
use thiserror::Error;

use super::adamw::AdamW;
use super::flat::Flat;
use super::init;
use super::recipe::Recipe;
use super::task::Bigrams;

/// One update was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Updates made so far.
    pub step: u32,
    /// Updates that will be made in all.
    pub last: u32,
    /// Mean loss of the batch, in nats per token, before the update.
    pub loss: f32,
}

/// The loss is not a number any more.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("training diverged: the loss at step {step} is {loss}")]
pub struct Diverged {
    /// The step whose batch gave that loss.
    pub step: u32,
    /// The loss, which is not finite.
    pub loss: f32,
}

/// A model in training.
struct Trainer<'a> {
    recipe: &'a Recipe,
    bigrams: Bigrams,
    flat: Flat,
    model: GptNeoX,
    parameters: Tensor<1>,
    optimiser: AdamW,
}

/// Trains from step 0 and calls `keep` with the parameters at each step of the recipe's grid, and `progress` after
/// each update. Two runs of one recipe on one machine hand out the same bits.
///
/// # Errors
/// What `keep` returns, or [`Diverged`].
pub fn train<E: From<Diverged>>(
    recipe: &Recipe,
    device: &Device,
    mut keep: impl FnMut(u32, &HostParams) -> Result<(), E>,
    progress: &mut dyn FnMut(Tick),
) -> Result<(), E> {
    let mut trainer = Trainer::new(recipe, device);
    let steps = recipe.steps();
    let last = steps.last().copied().unwrap_or(0);
    let mut made = 0;
    for step in steps {
        while made < step {
            let loss = trainer.update(made)?;
            made += 1;
            progress(Tick { step: made, last, loss });
        }
        keep(step, &trainer.params())?;
    }
    Ok(())
}

impl<'a> Trainer<'a> {
    fn new(recipe: &'a Recipe, device: &Device) -> Self {
        let config = recipe.config();
        let flat = Flat::new(&config);
        let params = init::initial(&config, recipe.seed);
        let on_device = |values: Vec<f32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), (device, DType::F32))
        };
        Self {
            recipe,
            bigrams: recipe.task.bigrams(recipe.seed),
            parameters: on_device(flat.pack(&params)),
            optimiser: AdamW::new(recipe.optimiser.clone(), on_device(flat.decays())),
            flat,
            model: GptNeoX::from_params(config, params, device, DType::F32),
        }
    }

    /// Makes the update of batch `step` and returns the loss before it.
    fn update(&mut self, step: u32) -> Result<f32, Diverged> {
        let batch = self.recipe.task.batch(&self.bigrams, self.recipe.seed, step, self.recipe.batch);
        self.flat.load_into(&self.parameters, &mut self.model);
        let loss = loss(&self.model, &batch);
        let mut gradients = loss.backward();
        let loss: f32 = loss.inner().into_scalar();
        if !loss.is_finite() {
            return Err(Diverged { step, loss });
        }
        let gradient = self.flat.gradient(&mut self.model, &mut gradients);
        self.parameters = self.optimiser.update(self.parameters.clone(), gradient);
        Ok(loss)
    }

    fn params(&self) -> HostParams {
        // Reading back fails only if the device is lost, and nothing sensible can go on then.
        let values = host_f32(self.parameters.clone()).expect("the device answers");
        self.flat.unpack(&values)
    }
}

/// Mean cross-entropy of every next token, in nats.
fn loss(model: &GptNeoX, batch: &[Vec<u32>]) -> Tensor<1> {
    let inputs: Vec<Vec<u32>> = batch.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
    let targets: Vec<usize> = batch.iter().flat_map(|row| &row[1..]).map(|&id| id as usize).collect();
    let n = targets.len();
    let tokens = model.tokens(&inputs);
    let targets = ints(targets, [n, 1], &tokens.device());
    let logits = model.forward(tokens, &mut ()).reshape([n, model.config().vocab_size]);
    activation::log_softmax(logits, 1).gather(1, targets).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::recipe::Shape;
    use crate::nano::task::Task;
    use pythia_core::params::{LayerParam, Param};

    /// A model small enough to differentiate by hand.
    fn tiny() -> Recipe {
        Recipe {
            seed: 3,
            shape: Shape { layers: 2, d_model: 8, heads: 2, d_mlp: 16, context: 16 },
            task: Task { vocab: 16, length: 12, periods: (2, 5), triggers: 2, ..Task::default() },
            batch: 4,
            every: 1000,
            ..Recipe::default()
        }
    }

    fn value(recipe: &Recipe, params: &HostParams, batch: &[Vec<u32>]) -> f64 {
        let model = GptNeoX::from_params(recipe.config(), params.clone(), &Device::flex(), DType::F64);
        loss(&model, batch).into_scalar::<f64>()
    }

    /// Every kind of parameter against central differences of the loss in f64.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let recipe = tiny();
        let mut trainer = Trainer::new(&recipe, &Device::flex());
        let batch = recipe.task.batch(&trainer.bigrams, recipe.seed, 0, recipe.batch);
        trainer.flat.load_into(&trainer.parameters, &mut trainer.model);
        let mut gradients = loss(&trainer.model, &batch).backward();
        let flat = trainer.flat.gradient(&mut trainer.model, &mut gradients);
        let gradient = trainer.flat.unpack(&host_f32(flat).expect("a host tensor"));
        let params = trainer.params();
        for (&param, tensor) in &gradient {
            let at = tensor.values.len() / 3;
            let moved = |by: f32| {
                let mut params = params.clone();
                let values = &mut params.get_mut(&param).expect("a parameter").values;
                values[at] += by;
                (f64::from(values[at]), value(&recipe, &params, &batch))
            };
            let ((right, above), (left, below)) = (moved(1e-3), moved(-1e-3));
            let expected = (above - below) / (right - left);
            let found = f64::from(tensor.values[at]);
            assert!((found - expected).abs() < 2e-5 + 1e-3 * expected.abs(), "{param}: {found}, expected {expected}");
        }
    }

    #[test]
    fn the_first_loss_is_that_of_a_uniform_guess_and_training_lowers_it() {
        let recipe = tiny();
        let mut trainer = Trainer::new(&recipe, &Device::flex());
        let losses: Vec<f32> = (0..120).map(|step| trainer.update(step).expect("finite")).collect();
        // The norm's result has variance 1, so with the unembedding's variance of 2/5d a logit has 0.4, and the
        // expected loss lies half of that above a uniform guess.
        assert!((losses[0] - 16f32.ln() - 0.2).abs() < 0.15, "{}", losses[0]);
        let late = losses[100..].iter().sum::<f32>() / 20.0;
        assert!(late < losses[0] - 0.2, "{late}");
    }

    #[test]
    fn the_same_recipe_gives_the_same_bits() {
        let recipe = tiny();
        let run = || {
            let mut trainer = Trainer::new(&recipe, &Device::flex());
            for step in 0..20 {
                trainer.update(step).expect("finite");
            }
            trainer.params()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn checkpoint_n_is_what_n_updates_made() {
        let recipe = Recipe { every: 600, ..tiny() };
        let mut kept = Vec::new();
        let stop = |step: u32, params: &HostParams| {
            kept.push((step, params[&Param::Layer(0, LayerParam::Ln1Weight)].values[0]));
            if step < 4 { Ok(()) } else { Err(Diverged { step, loss: 0.0 }) }
        };
        let mut ticks = Vec::new();
        let end = train(&recipe, &Device::flex(), stop, &mut |tick| ticks.push(tick.step));
        assert_eq!(end, Err(Diverged { step: 4, loss: 0.0 }));
        assert_eq!(ticks, [1, 2, 3, 4]);
        assert_eq!(kept.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert_eq!(kept[0].1, 1.0);
        assert_ne!(kept[1].1, 1.0);
    }
}
