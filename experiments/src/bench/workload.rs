//! The workloads. Results go through `black_box`, because nothing reads them.

use std::hint::black_box;
use std::thread;

use clap::ValueEnum;
use pythia_core::model::GptNeoX;
use pythia_core::store::Checkpoints;
use pythia_core::suite::Step;
use pythia_core::weights::{Profile, Wanted};
use pythia_hooks::{ActivationCache, Presence, points_of};
use pythia_probes::probes::head_scores::{HeadScores, ScoreFamily};
use pythia_probes::prompts::PromptSource;
use pythia_probes::{ProbeSpec, Subject};
use serde::Serialize;

use super::BenchError;
use super::patching::{self, PatchingWorkload};
use crate::checkpoint::fetch::Fetched;
use crate::checkpoint::load::{self, LoadError, Loaded, RunsOn};
use crate::resolved::BOS;

/// Tokens of the repeated half in the induction workloads.
const HALF_LEN: usize = 50;

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Load a model and run it on 8 tokens
    A,
    /// Run 8 × 128 tokens, all logits (or those of the last position)
    B,
    /// Run 8 × 128 tokens and keep the activation of every hook point
    C,
    /// Patch the residual stream of every layer and position (16 tokens)
    D,
    /// Patch the output of every head at all positions (16 tokens)
    E1,
    /// Patch the output of every head at every position (16 tokens)
    E2,
    /// Zero the output of every head (32 tokens)
    F,
    /// Score every head for induction on 8 × 100 tokens, without logits
    G,
    /// The same over every checkpoint of a folder, loading included
    H,
}

impl Workload {
    /// Lower-case letter that selects it on the command line.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Workload::A => "a",
            Workload::B => "b",
            Workload::C => "c",
            Workload::D => "d",
            Workload::E1 => "e1",
            Workload::E2 => "e2",
            Workload::F => "f",
            Workload::G => "g",
            Workload::H => "h",
        }
    }

    /// Tokens of a sequence: what the workload fixes, or `asked`.
    pub(crate) fn length(self, asked: usize) -> usize {
        match self {
            Workload::A => 8,
            Workload::B | Workload::C => asked,
            Workload::D | Workload::E1 | Workload::E2 => 16,
            Workload::F => 32,
            Workload::G | Workload::H => 2 * HALF_LEN,
        }
    }
}

/// The sizes of a workload.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Sizes {
    /// Sequences
    #[arg(long, default_value_t = 8)]
    pub(crate) batch: usize,
    /// Tokens of a sequence (workloads b and c)
    #[arg(long = "seq", value_name = "SEQ", default_value_t = 128)]
    pub(crate) length: usize,
    /// Compute the logits of the last position only (workload b)
    #[arg(long)]
    pub(crate) last_logits: bool,
}

/// What a repetition says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    /// Bytes of all activations that it kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_bytes: Option<usize>,
    /// Number of activations that it kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_n: Option<usize>,
    /// Floating-point operations of its interventions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flops: Option<u64>,
}

/// A workload ready to be repeated.
pub(crate) type Prepared<'a> = Box<dyn FnMut() -> Result<Measured, BenchError> + 'a>;

/// Prepares a workload: what is loaded here is not timed.
///
/// # Errors
/// What loading says.
pub(crate) fn prepare<'a>(
    work: Workload,
    store: &'a Store,
    sizes: Sizes,
    runs_on: &'a RunsOn,
) -> Result<Prepared<'a>, BenchError> {
    Ok(match work {
        Workload::A => Box::new(move || {
            let model = model(load(store, None, true)?, runs_on);
            black_box(model.forward(model.tokens(&rows(&model, 1, 8)), &mut ()));
            Ok(Measured::default())
        }),
        Workload::B => {
            let model = model(load(store, None, true)?, runs_on);
            Box::new(move || {
                forward(&model, sizes);
                Ok(Measured::default())
            })
        }
        Workload::C => {
            let model = model(load(store, None, true)?, runs_on);
            Box::new(move || cache_everything(&model, sizes))
        }
        Workload::D => patching(work, PatchingWorkload::Residual, store, sizes, runs_on)?,
        Workload::E1 => patching(work, PatchingWorkload::Heads, store, sizes, runs_on)?,
        Workload::E2 => patching(work, PatchingWorkload::HeadsByPosition, store, sizes, runs_on)?,
        Workload::F => patching(work, PatchingWorkload::Ablation, store, sizes, runs_on)?,
        Workload::G => {
            let model = model(load(store, None, false)?, runs_on);
            Box::new(move || {
                induction(&model, sizes);
                Ok(Measured::default())
            })
        }
        Workload::H => Box::new(move || sweep(store, sizes, runs_on).map(|()| Measured::default())),
    })
}

/// A sweep of interventions, on prompts of the length that the workload fixes.
fn patching<'a>(
    work: Workload,
    kind: PatchingWorkload,
    store: &Store,
    sizes: Sizes,
    runs_on: &RunsOn,
) -> Result<Prepared<'a>, BenchError> {
    let length = work.length(sizes.length);
    let model = model(load(store, None, true)?, runs_on);
    Ok(Box::new(move || {
        let flops = Some(patching::run(&model, kind, sizes.batch, length)?);
        Ok(Measured { flops, ..Measured::default() })
    }))
}

/// The checkpoints that a workload reads, possibly from another thread.
pub(crate) type Store = dyn Checkpoints + Send + Sync;

fn load(store: &Store, step: Option<Step>, unembed: bool) -> Result<Loaded, LoadError> {
    let (config, stored) = load::open(store, step)?;
    let (params, hashes) = stored.params(&Wanted { unembed, profile: Profile::AsPublished })?;
    let (weights, hashes) = (Some(load::LoadedWeights::Resident(params)), hashes.into());
    Ok(Loaded { config, weights, parts: None, hashes, fetched: Fetched::default() })
}

fn model(loaded: Loaded, runs_on: &RunsOn) -> GptNeoX {
    loaded.model(runs_on).unwrap_or_else(|_| unreachable!("its weights are decoded"))
}

/// Token ids that vary without a generator: their values do not change the time.
fn rows(model: &GptNeoX, batch: usize, length: usize) -> Vec<Vec<u32>> {
    let vocab = model.config().vocab_size as u32;
    (0..batch).map(|row| (0..length).map(|at| (row * length + at) as u32 * 7919 % vocab).collect()).collect()
}

fn forward(model: &GptNeoX, sizes: Sizes) {
    let tokens = model.tokens(&rows(model, sizes.batch, sizes.length));
    if !sizes.last_logits {
        black_box(model.forward(tokens, &mut ()));
        return;
    }
    let start = model.embed(tokens, &mut ());
    let mut end = model.advance(start, model.config().n_layers, &mut ());
    end.stream = end.stream.narrow(1, sizes.length - 1, 1);
    black_box(model.unembed(end, &mut ()));
}

/// Every hook point that a plain run passes; copies that are made only on request stay out, as they do elsewhere.
fn cache_everything(model: &GptNeoX, sizes: Sizes) -> Result<Measured, BenchError> {
    let mut cache = ActivationCache::of(
        points_of(&model.model_shape()).into_iter().filter(|point| point.site().row().presence != Presence::WhenWanted),
    );
    let tokens = model.tokens(&rows(model, sizes.batch, sizes.length));
    black_box(model.forward(tokens, &mut cache));
    let kept = cache.finish()?;
    let bytes = kept.values().map(|activation| activation.dims().iter().product::<usize>() * size_of::<f32>()).sum();
    Ok(Measured { cache_bytes: Some(bytes), cache_n: Some(kept.len()), flops: None })
}

fn induction(model: &GptNeoX, sizes: Sizes) {
    let probe = HeadScores {
        scores: vec![ScoreFamily::Induction],
        prompts: PromptSource::random(sizes.batch, HALF_LEN).with_bos(false),
        ..HeadScores::default()
    };
    let subject = Subject::new(model, model.config().vocab_size, false, BOS);
    black_box(pythia_probes::run(&[ProbeSpec::HeadScores(probe)], &subject, 0));
}

/// Every checkpoint in turn, the next one read while this one computes, as a sweep does it.
fn sweep(store: &Store, sizes: Sizes, runs_on: &RunsOn) -> Result<(), BenchError> {
    let steps = store.steps().map_err(LoadError::from)?;
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(0);
        scope.spawn(move || {
            for step in steps {
                if sender.send(load(store, Some(step), false)).is_err() {
                    return;
                }
            }
        });
        for loaded in receiver {
            induction(&model(loaded?, runs_on), sizes);
        }
        Ok(())
    })
}
