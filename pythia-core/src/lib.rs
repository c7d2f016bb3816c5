//! GPT-NeoX as the Pythia suite publishes it: checkpoints on disk, and the model that runs them with hooks.
//!
//! In reading order:
//!
//! 1. [`suite`]: the published models and steps, and known faults of some of them;
//! 2. [`store`]: the files of a checkpoint, in a folder or in the public hub's cache; nothing is downloaded here;
//! 3. [`config`]: `config.json`, checked; [`tokenizer`]: `tokenizer.json`;
//! 4. [`weights`]: the content of the files, as [`params`] in the layout that the model computes with, with
//!    fingerprints;
//! 5. [`device`]: the cores of this machine, or a GPU;
//! 6. [`model`]: the transformer, which calls [`Hooks`](pythia_hooks::Hooks) at every hook point;
//! 7. [`load`]: all of it in one call.
//!
//! ```
//! use pythia_core::{device, model::GptNeoX};
//! use pythia_hooks::{Axis, Edit, Intervention, Interventions, Region, Site};
//!
//! // A folder with config.json and weights, or a name such as "pythia-70m".
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
//! let model = GptNeoX::load(folder, &device::cpu())?;
//! let tokens = model.tokens(&[vec![5, 8, 13, 21]]);
//!
//! // Zero the output of head 1 in layer 0, and look how far the logits `[batch, pos, vocab]` move.
//! let zero = Intervention { point: Site::Z.at(0), region: Region::all().along(Axis::Head, 1), edit: Edit::Zero };
//! let mut hooks = Interventions::new(vec![zero], &model.model_shape())?;
//! let changed = model.forward(tokens.clone(), &mut hooks);
//! hooks.finish()?;
//! let moved = (changed - model.forward(tokens, &mut ())).abs().max().into_scalar::<f32>();
//! assert!(moved > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod content;
pub mod device;
mod f32_buffer;
mod json;
pub mod load;
pub mod model;
pub mod params;
pub mod store;
pub mod suite;
pub mod tokenizer;
mod vectors;
pub mod weights;

#[cfg(test)]
mod testing;
