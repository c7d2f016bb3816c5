//! Checkpoints from the hub or a folder to models in memory.
//!
//! This module never knows which probes run, nor what is done already.

pub(crate) mod fetch;
pub(crate) mod hub_access;
pub(crate) mod load;
pub(crate) mod residency;
pub(crate) mod source_models;
