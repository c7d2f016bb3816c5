//! Checkpoints from the hub or a folder to models in memory, and the check of all checkpoints of a model.
//!
//! This module never runs a probe, and never knows what is done already.

pub(crate) mod fetch;
pub(crate) mod hub_access;
pub(crate) mod load;
pub(crate) mod residency;
pub(crate) mod single;
pub(crate) mod source_models;
pub(crate) mod verify;
