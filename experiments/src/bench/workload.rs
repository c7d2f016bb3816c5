//! The workloads. Everything a repetition computes is read by nobody, so every result goes through `black_box`.

use std::hint::black_box;
use std::thread;

use burn::tensor::{DType, Device};
use clap::ValueEnum;
use pythia_core::model::GptNeoX;
use pythia_core::store::Checkpoints;
use pythia_core::suite::Step;
use pythia_core::weights::{self, Profile, Wanted};
use pythia_hooks::{ActivationCache, Presence, points_of};
use pythia_probes::head_scores::{Family, HeadScores};
use pythia_probes::{ProbeSpec, Subject};

use crate::failure::Failure;
use crate::load::Loaded;
use crate::study::{BOS, read_config};

/// Tokens of the repeated half in the induction workloads.
const HALF_LEN: usize = 50;

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Load a model and run it on 8 tokens
    A,
    /// Run 8 × 128 tokens, all logits (or those of the last position)
    B,
    /// Run 8 × 128 tokens and keep the activation of every hook point
    C,
    /// Score every head for induction on 8 × 100 tokens, without logits
    G,
    /// The same over every checkpoint of a folder, loading included
    H,
}

impl Workload {
    /// The letter.
    pub fn letter(self) -> &'static str {
        match self {
            Workload::A => "a",
            Workload::B => "b",
            Workload::C => "c",
            Workload::G => "g",
            Workload::H => "h",
        }
    }
}

/// The sizes of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence, where the workload does not fix it.
    pub length: usize,
    /// Unembed the last position only.
    pub last_logits: bool,
}

/// What a repetition left in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// Bytes of all activations.
    pub bytes: usize,
    /// Number of activations.
    pub n: usize,
}

/// A workload ready to be repeated.
pub type Prepared<'a> = Box<dyn FnMut() -> Result<Option<Cached>, Failure> + 'a>;

/// Prepares a workload: what is loaded here is not timed.
///
/// # Errors
/// What loading says.
pub fn prepare<'a>(work: Workload, store: &'a dyn Store, sizes: Sizes) -> Result<Prepared<'a>, Failure> {
    Ok(match work {
        Workload::A => Box::new(move || {
            let model = model(load(store, None, true)?);
            black_box(model.forward(model.tokens(&rows(&model, 1, 8)), &mut ()));
            Ok(None)
        }),
        Workload::B => {
            let model = model(load(store, None, true)?);
            Box::new(move || {
                forward(&model, sizes);
                Ok(None)
            })
        }
        Workload::C => {
            let model = model(load(store, None, true)?);
            Box::new(move || cache_everything(&model, sizes).map(Some))
        }
        Workload::G => {
            let model = model(load(store, None, false)?);
            Box::new(move || {
                induction(&model, sizes);
                Ok(None)
            })
        }
        Workload::H => Box::new(move || sweep(store, sizes).map(|()| None)),
    })
}

/// The checkpoints a workload reads, possibly from another thread.
pub trait Store: Checkpoints + Send + Sync {}
impl<T: Checkpoints + Send + Sync + ?Sized> Store for T {}

fn load(store: &dyn Store, step: Option<Step>, unembed: bool) -> Result<Loaded, Failure> {
    let files = store.locate(step)?;
    let config = read_config(&files.config)?;
    let (params, hash) = weights::read(&config, &files.weights, &Wanted { unembed, profile: Profile::AsPublished })?;
    Ok(Loaded { config, params, hash })
}

fn model(loaded: Loaded) -> GptNeoX {
    GptNeoX::from_params(loaded.config, loaded.params, &Device::flex(), DType::F32)
}

/// Token ids that vary without a generator: which ones they are changes no time.
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
fn cache_everything(model: &GptNeoX, sizes: Sizes) -> Result<Cached, Failure> {
    let mut cache = ActivationCache::of(
        points_of(&model.anatomy()).into_iter().filter(|point| point.site().row().presence != Presence::WhenWanted),
    );
    let tokens = model.tokens(&rows(model, sizes.batch, sizes.length));
    black_box(model.forward(tokens, &mut cache));
    let kept = cache.finish().map_err(crate::capture::CaptureError::from)?;
    let bytes = kept.values().map(|activation| activation.dims().iter().product::<usize>() * size_of::<f32>()).sum();
    Ok(Cached { bytes, n: kept.len() })
}

fn induction(model: &GptNeoX, sizes: Sizes) {
    let probe = HeadScores {
        scores: vec![Family::Induction],
        batch: sizes.batch,
        half_len: HALF_LEN,
        prepend_bos: Some(false),
        ..HeadScores::default()
    };
    let subject = Subject::new(model, model.config().vocab_size, false, BOS);
    black_box(pythia_probes::run(&[ProbeSpec::HeadScores(probe)], &subject, 0));
}

/// Every checkpoint in turn, the next one read while this one computes, as a sweep does it.
fn sweep(store: &dyn Store, sizes: Sizes) -> Result<(), Failure> {
    let steps = store.steps()?;
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
            induction(&model(loaded?), sizes);
        }
        Ok(())
    })
}
