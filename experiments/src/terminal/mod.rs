//! Exit codes, messages, progress, human numbers, and the environment.
//!
//! This module never knows what is computed.

pub(crate) mod env;
pub mod exit;
mod explained;
pub(crate) mod human;
mod messages;
pub(crate) mod progress;

pub(crate) use exit::Exit;
pub(crate) use explained::{Explained, exits_with};
pub(crate) use messages::say;
