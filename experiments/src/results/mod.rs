//! The contents of an output folder: the manifest of its experiments, the index of its files, their merge, the progress
//! of runs.
//!
//! This wing never loads a checkpoint and never reads an experiment file.

pub(crate) mod index;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod status;
