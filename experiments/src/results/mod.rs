//! The contents of an output folder: the manifest of its experiments, the index of its files, their merge, the progress
//! of runs.
//!
//! This module never loads a checkpoint and never parses an experiment file.

pub(crate) mod at_work;
pub(crate) mod index;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod status;
