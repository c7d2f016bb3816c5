//! Runs a model on a prompt, keeps attention patterns, and prints to which position each head of every layer attends
//! most from the last position:
//!
//!     cargo run --release --example run_with_cache -- models/pythia-70m
//!
//! The argument is a folder with `config.json` and weights, or the name of a model of the suite in the hub's cache.

use std::error::Error;

use pythia_core::{device, model::GptNeoX};
use pythia_hooks::{ActivationCache, Axis, Region};

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::args_os().nth(1).ok_or("name a model, such as pythia-70m or ./folder")?;
    let model = GptNeoX::load(model, &device::cpu())?;
    let shape = model.model_shape();

    // The same six tokens twice, a pattern that induction heads continue. Any ids below the vocabulary's size will do.
    let half = [7, 23, 11, 42, 5, 30];
    let tokens = model.tokens(&[[half, half].concat()]);

    // Of every pattern `[batch, head, query, key]` the last query's row alone.
    let mut cache = ActivationCache::named("pattern", &shape)?.keeping(Region::all().along(Axis::Query, -1));
    let logits = model.forward(tokens, &mut cache);
    println!("logits {:?}", logits.dims());

    for layer in 0..shape.n_layers {
        let pattern = cache.get_named::<4>(&format!("pattern.{layer}"), &shape)?;
        let top = pattern.argmax(3).try_into_vec_as::<i64>()?;
        println!("layer {layer}: the heads' last queries attend most to positions {top:?}");
    }
    Ok(())
}
