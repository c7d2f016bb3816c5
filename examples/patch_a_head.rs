//! Activation patching: runs a model on two prompts and puts one head's output of the first run into the second.
//!
//!     cargo run --release --example patch_a_head -- models/pythia-70m 3 0
//!
//! Arguments: a folder or the name of a model of the suite, a layer (−1 is the last), a head.

use std::error::Error;

use burn::tensor::{Int, Tensor};
use pythia_core::{device, model::GptNeoX};
use pythia_hooks::{Activation, ActivationCache, Axis, Edit, Intervention, Interventions, Region, select};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let model = args.next().ok_or("name a model, such as pythia-70m or ./folder")?;
    let layer: i64 = args.next().map_or(Ok(-1), |layer| layer.to_string_lossy().parse())?;
    let head: i64 = args.next().map_or(Ok(0), |head| head.to_string_lossy().parse())?;
    let model = GptNeoX::load(model, &device::cpu())?;
    let shape = model.model_shape();
    // The prompts differ in their third token.
    let (clean, corrupt) = (model.tokens(&[vec![5, 8, 13, 21]]), model.tokens(&[vec![5, 8, 14, 21]]));

    // z `[batch, pos, head, d_head]` of the clean run.
    let point = select(&format!("z.{layer}"), &shape)?[0];
    let mut cache = ActivationCache::of([point]);
    let of_clean = last_logits(&model, clean, &mut cache);
    let z = cache.get::<4>(point)?;

    // The corrupt run, with that head's z instead of its own at every position.
    let patch = Intervention {
        point,
        region: Region::all().along(Axis::Head, head),
        edit: Edit::Replace(Activation::from_tensor(z)),
    };
    let of_corrupt = last_logits(&model, corrupt.clone(), &mut ());
    let mut hooks = Interventions::new(vec![patch], &shape)?;
    let of_patched = last_logits(&model, corrupt, &mut hooks);
    hooks.finish()?;

    let distance = |logits: Tensor<1>| (logits - of_clean.clone()).powf_scalar(2.0).sum().sqrt().into_scalar::<f32>();
    println!("distance of the last logits from those of the clean run");
    println!("  corrupt run                {:.4}", distance(of_corrupt));
    println!("  with {point} head {head}  {:.4}", distance(of_patched));
    Ok(())
}

/// The logits at the last position, `[vocab]`.
fn last_logits(model: &GptNeoX, tokens: Tensor<2, Int>, hooks: &mut impl pythia_hooks::Hooks) -> Tensor<1> {
    let logits = model.forward(tokens, hooks);
    let [_, length, vocab] = logits.dims();
    logits.slice([0..1, length - 1..length, 0..vocab]).reshape([vocab])
}
