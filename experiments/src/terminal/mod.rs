//! What the program tells people and shells: exit codes, messages, progress, human numbers; and what the environment tells it.
//!
//! This wing never knows what is computed.

pub(crate) mod env;
pub mod exit;
mod explained;
pub(crate) mod human;
mod messages;
pub(crate) mod progress;

pub(crate) use exit::Exit;
pub(crate) use explained::Explained;
pub(crate) use messages::say;
