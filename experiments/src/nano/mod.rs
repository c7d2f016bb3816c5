//! A suite of our own: a two-layer GPT-NeoX and its 154 checkpoints, trained here in about two minutes.
//!
//! The published suite needs a network and hundreds of gigabytes; this one needs neither. In the course of its training
//! a previous-token head and an induction head form, and the loss on the second half of a repeated sequence falls to a
//! small part of the loss on the first. In reading order:
//!
//! - [`recipe`]: everything that decides what comes out, and the grid of steps at which checkpoints are kept;
//! - [`random`]: generators with their sampling written out, so that no version of a library changes what a seed gives;
//! - [`task`]: the generated sequences, in which induction is worth learning;
//! - [`init`]: the parameters at step 0;
//! - [`flat`]: all parameters as one vector, which is what an optimiser wants to see;
//! - [`adamw`]: the optimiser;
//! - [`train`]: the loop, a pure function of the recipe;
//! - [`folder`]: the files; the one part that touches the disk.

pub(crate) mod adamw;
pub(crate) mod flat;
pub(crate) mod folder;
pub(crate) mod init;
pub(crate) mod random;
pub(crate) mod recipe;
pub(crate) mod task;
pub mod train;

pub(crate) use folder::{Outcome, ensure};
pub use recipe::Recipe;
