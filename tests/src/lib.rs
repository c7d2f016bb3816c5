//! Helpers for the integration tests. In reading order:
//!
//! - [`paths`]: paths of the repository, the fixtures and the optional goldens; scratch folders;
//! - [`tensors`]: reference tensors from a `.safetensors` file, and comparisons that name the worst element;
//! - [`cases`]: a model with its reference values, from the committed fixtures or from the goldens;
//! - [`backend`]: the device that models are tested on;
//! - [`random`]: random configurations and parameters for property tests;
//! - [`recorder`]: hooks that record what fired;
//! - [`command`]: the `pythia` binary, built once, with its exit code and output;
//! - [`suite`]: a folder of tiny checkpoints, experiments over it, and their results;
//! - [`tables`]: those results as a reader of Parquet sees them;
//! - [`hub`]: a model hub on the loopback interface, with every fault a network has;
//! - [`sources`]: the source files of the workspace, for the tests that read them;
//! - [`rooms`]: the modules of a crate and which of them import which;
//! - [`type_names`]: where types are defined, by name.
#![forbid(unsafe_code)]

pub mod backend;
pub mod cases;
pub mod command;
pub mod hub;
pub mod paths;
pub mod random;
#[cfg(doctest)]
mod readme;
pub mod recorder;
pub mod rooms;
pub mod sources;
pub mod suite;
pub mod tables;
pub mod tensors;
pub mod type_names;
