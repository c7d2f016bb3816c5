//! Loads every step of a folder of checkpoints and follows one number through training: how sure each model is of a
//! token that it has seen before.
//!
//!     cargo run --release --example sweep_steps -- data/nano
//!
//! The argument is a folder with `step0/{config.json, model.safetensors}`, `step512/…`, or the name of a model of the
//! suite in the hub's cache.

use std::error::Error;

use burn::tensor::activation::log_softmax;
use pythia_core::{device, model::GptNeoX, store};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder of steps")?;
    let steps = store::find(&folder)?.steps()?;
    println!("step\tlog-probability of the repeated token");
    for step in steps {
        let model = GptNeoX::load_step(&folder, step, &device::cpu())?;
        // After 5 8 13 21 5 8 13 a model with induction heads expects 21.
        let logits = model.forward(model.tokens(&[vec![5, 8, 13, 21, 5, 8, 13]]), &mut ());
        let [_, length, _] = logits.dims();
        let expected = log_softmax(logits, 2).slice([0..1, length - 1..length, 21..22]);
        println!("{}\t{:.4}", step.label(), expected.into_scalar::<f32>());
    }
    Ok(())
}
