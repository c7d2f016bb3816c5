//! A first afternoon with TransformerLens, here: the Rust code of `docs/from-transformerlens.md`, as one program.
//!
//!     cargo run --release --example first_afternoon -- data/nano 1940
//!
//! The arguments are a folder of steps or a model of the suite, and a step; without a step, a folder with one
//! checkpoint. A third argument is a text for the model's tokenizer; without it, token ids are used.

use std::error::Error;

use burn::tensor::{Int, Tensor};
use pythia_core::model::{GptNeoX, Residual};
use pythia_core::{device, tokenizer::Tokenizer};
use pythia_hooks::{Activation, Axis, Edit, Intervention, Interventions, Region, Site, points_of, select};
use pythia_probes::probes::head_scores::HeadScores;
use pythia_probes::prompts::PromptSource;
use pythia_probes::{Column, ProbeSpec, Subject, run};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let mut args = std::env::args_os().skip(1);
    let folder = args.next().ok_or("name a model, such as pythia-70m or ./folder")?;
    let folder = folder.to_str().ok_or("the model's name is not UTF-8")?;
    let [step, text] = [args.next(), args.next()].map(|arg| arg.map(|arg| arg.to_string_lossy().into_owned()));
    let model = load(folder, step.map(|step| step.parse()).transpose()?)?;
    let tokens = match text {
        Some(text) => tokens_of_text(&model, folder, &text)?,
        None => model.tokens(&[vec![0, 5, 8, 13, 21, 5, 8, 13]]),
    };
    activations(&model, tokens.clone())?;
    names(&model)?;
    ablation(&model, tokens.clone())?;
    patching(&model)?;
    induction(&model)?;
    logit_lens(&model, tokens)
}

fn load(folder: &str, step: Option<u32>) -> Result<GptNeoX, Box<dyn Error>> {
    let Some(step) = step else {
        return Ok(GptNeoX::load(folder, &device::cpu())?);
    };
    let model = GptNeoX::load_step(folder, step, &device::cpu())?;
    println!("{:?}", model.model_shape());
    Ok(model)
}

fn tokens_of_text(model: &GptNeoX, folder: &str, text: &str) -> Result<Tensor<2, Int>, Box<dyn Error>> {
    let tokenizer = Tokenizer::load(folder)?;
    let mut ids = vec![0]; // the BOS, which encode() does not add
    ids.extend(tokenizer.encode(text)?);
    let tokens = model.tokens(&[ids]);
    Ok(tokens)
}

fn activations(model: &GptNeoX, tokens: Tensor<2, Int>) -> Done {
    let shape = model.model_shape();
    let (logits, cache) = model.run_with_cache(&["pattern", "resid_post.-1"], tokens)?;
    let pattern = cache.get_named::<4>("pattern.0", &shape)?; // [batch, head, query, key]
    let stream = cache.get_named::<3>("resid_post.-1", &shape)?; // [batch, pos, d_model]
    println!("{:?} {:?} {:?}", logits.dims(), pattern.dims(), stream.dims());
    Ok(())
}

fn names(model: &GptNeoX) -> Done {
    let shape = model.model_shape();
    let all = points_of(&shape);
    let some = select("blocks.*.attn.hook_z", &shape)?;
    println!("{} points, among them {}", all.len(), some[0]);
    Ok(())
}

fn ablation(model: &GptNeoX, tokens: Tensor<2, Int>) -> Done {
    let head = Region::all().along(Axis::Head, 1);
    let zero = Intervention { point: Site::Z.at(1), region: head, edit: Edit::Zero };
    let mut hooks = Interventions::new(vec![zero], &model.model_shape())?;
    let ablated = model.forward(tokens.clone(), &mut hooks);
    hooks.finish()?; // an edit that never happened is an error
    let moved = (ablated - model.forward(tokens, &mut ())).abs().max();
    println!("without head 1 of layer 1 a logit moves by {:.4}", moved.into_scalar::<f32>());
    Ok(())
}

fn patching(model: &GptNeoX) -> Done {
    // The prompts differ in their third token. The metric is the difference of two logits at the end.
    let (clean, corrupt) = (model.tokens(&[vec![5, 8, 13, 21]]), model.tokens(&[vec![5, 8, 14, 21]]));
    let metric = |logits: Tensor<3>| {
        let last = |id: usize| logits.clone().slice([0..1, 3..4, id..id + 1]).into_scalar::<f32>();
        last(13) - last(14)
    };
    let shape = model.model_shape();
    let (logits, cache) = model.run_with_cache(&["resid_pre"], clean)?;
    let of_clean = metric(logits);
    let of_corrupt = metric(model.forward(corrupt.clone(), &mut ()));
    for layer in 0..shape.n_layers {
        for pos in 0..4 {
            let point = Site::ResidPre.at(layer);
            let region = Region::all().along(Axis::Pos, pos);
            let edit = Edit::Replace(Activation::from_tensor(cache.get::<3>(point)?));
            let patch = Intervention { point, region, edit };
            let mut hooks = Interventions::new(vec![patch], &shape)?;
            let patched = metric(model.forward(corrupt.clone(), &mut hooks));
            hooks.finish()?;
            println!("{layer} {pos} {:.3}", (patched - of_corrupt) / (of_clean - of_corrupt));
        }
    }
    Ok(())
}

fn induction(model: &GptNeoX) -> Done {
    // Eight prompts [BOS] R R with 20 random tokens in R, all ids being tokens.
    let subject = Subject::new(model, model.config().vocab_size, true, 0);
    let prompts = PromptSource::random(8, 20);
    let probe = ProbeSpec::HeadScores(HeadScores { prompts, ..Default::default() });
    let table = &run(&[probe], &subject, 0).remove(0)?[0];
    let definition = table.column("definition").and_then(Column::text).ok_or("no definitions")?;
    let value = table.column("value").and_then(Column::floats).ok_or("no values")?;
    let stripe = definition.iter().zip(value).filter(|(name, _)| *name == "arena_stripe");
    let scores: Vec<Option<f64>> = stripe.map(|(_, value)| *value).collect(); // layer by layer
    println!("{scores:.3?}");
    Ok(())
}

fn logit_lens(model: &GptNeoX, tokens: Tensor<2, Int>) -> Done {
    let shape = model.model_shape();
    let (_, cache) = model.run_with_cache(&["resid_post"], tokens)?;
    for layer in 0..shape.n_layers {
        let stream = cache.get::<3>(Site::ResidPost.at(layer))?;
        let logits = model.unembed(Residual { layer: layer + 1, stream }, &mut ());
        println!("after {} blocks: {:?}", layer + 1, logits.argmax(2).try_into_vec_as::<i64>()?);
    }
    Ok(())
}
