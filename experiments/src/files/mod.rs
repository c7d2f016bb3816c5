//! Files of an output folder and their bytes: whole or absent, and the same bytes for the same table.
//!
//! This module never opens a checkpoint or an experiment.

pub(crate) mod folder;
pub(crate) mod journal;
pub(crate) mod json;
pub mod sink;
pub(crate) mod table;
pub(crate) mod version;
