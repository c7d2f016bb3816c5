//! Helpers for the integration tests. In reading order:
//!
//! - [`place`]: where the repository, the fixtures and the optional goldens lie, and scratch folders;
//! - [`tensors`]: reference tensors from a `.safetensors` file, and comparisons that name the worst element;
//! - [`cases`]: a model with its reference values, from the committed fixtures or from the goldens;
//! - [`on`]: the device that they run on;
//! - [`random`]: random configurations and parameters for property tests;
//! - [`recorder`]: hooks that note what fired;
//! - [`command`]: the `pythia` binary, built once, and what it printed;
//! - [`hub`]: a hub on the loopback interface that misbehaves on demand;
//! - [`suite`]: a folder of tiny checkpoints, experiments over it, and their results;
//! - [`tables`]: those results as a reader of Parquet sees them;
//! - [`hub`]: a model hub on the loopback interface, with every fault a network has;
//! - [`sources`]: the source files of the workspace, for the tests that read them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cases;
pub mod command;
pub mod hub;
pub mod on;
pub mod place;
pub mod random;
#[cfg(doctest)]
mod readme;
pub mod recorder;
pub mod sources;
pub mod suite;
pub mod tables;
pub mod tensors;
