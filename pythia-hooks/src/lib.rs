//! Hook points: named activations of a GPT-NeoX model, which can be cached and edited.
//!
//! Models call hooks. Caches, interventions and probes are hooks. This crate is the common vocabulary of both. It
//! depends on tensors, and not on models or files. In reading order:
//!
//! - [`Site`] and [`SITES`]: the table of sites, with their TransformerLens names and named [`Axis`]es;
//! - [`ModelShape`]: the sizes of a model, and so of its activations;
//! - [`HookPoint`]: a site at a layer, and its text form; [`select`] turns patterns into points;
//! - [`Hooks`]: what the model calls at each point. `()` is the plain pass, tuples compose left to right;
//! - [`Region`]: part of an activation, by named axis; a [`Span`] reads like a Python slice;
//! - [`Intervention`]: an [`Edit`] of a region at a point; [`Interventions`] counts that each one fired;
//! - [`ActivationCache`]: the activations of a run, an [`Activation`] for each point.
//!
//! ```
//! use pythia_hooks::{Axis, Edit, Intervention, Region, Site, select, ModelShape};
//!
//! // Select hook points by their TransformerLens names …
//! let model = ModelShape { n_layers: 6, n_heads: 8, d_model: 512, d_head: 64, d_mlp: 2048, parallel: true };
//! let points = select("blocks.*.attn.hook_pattern", &model)?;
//! assert_eq!(points.len(), 6);
//! assert_eq!(points[4], Site::Pattern.at(4));
//!
//! // … and edit one: zero the output of head 3 of layer 4 at position 7.
//! let knock_out = Intervention {
//!     point: Site::Z.at(4),
//!     region: Region::all().along(Axis::Head, 3).along(Axis::Pos, 7),
//!     edit: Edit::Zero,
//! };
//! assert_eq!(knock_out.to_string(), "zero blocks.4.attn.hook_z[pos 7, head 3]");
//! # Ok::<(), pythia_hooks::HookError>(())
//! ```

#![forbid(unsafe_code)]

mod activation;
mod cache;
mod error;
mod foreign;
mod hooks;
mod intervention;
mod nearest;
mod point;
mod region;
mod resolve;
mod select;
mod shape;
mod site;

pub use activation::Activation;
pub use cache::ActivationCache;
pub use error::{HookError, Suggestions};
pub use hooks::Hooks;
pub use intervention::{Edit, Intervention, Interventions};
pub use nearest::nearest;
pub use point::HookPoint;
pub use region::{Region, Span, SpanError};
pub use select::{glob_matches, is_known, points_of, select};
pub use shape::ModelShape;
pub use site::{Axis, Presence, SITES, Site, SiteRow};
