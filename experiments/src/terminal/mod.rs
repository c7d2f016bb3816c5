//! What the program tells people and shells: exit codes, messages, progress, human numbers; and what the environment tells it.
//!
//! This wing never knows what is computed.

pub(crate) mod env;
pub(crate) mod exit;
pub(crate) mod human;
mod messages;
pub(crate) mod progress;

pub(crate) use messages::say;
