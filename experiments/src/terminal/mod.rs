//! Exit codes and remedies, also of the errors of other crates; messages, progress, human numbers, and the environment.
//!
//! This module never knows what is computed.

pub(crate) mod env;
pub mod exit;
mod explained;
mod foreign;
pub(crate) mod human;
pub(crate) mod limits;
mod messages;
pub(crate) mod progress;
pub(crate) mod quote;

pub(crate) use exit::Exit;
pub(crate) use explained::{Explained, exits_with};
pub(crate) use messages::say;
