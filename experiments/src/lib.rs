//! The `pythia` command: an experiment file → a plan → a sweep over checkpoints → Parquet.
//!
//! The crate is divided into wings. They are listed from top to bottom: no module knows one of a wing above its own.
//! `docs/architecture.md` follows a prompt through them.
#![forbid(unsafe_code)]

pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod files;
pub mod integrity;
pub mod nano;
pub mod plan;
pub mod resolved;
pub mod results;
pub mod sweep;
pub mod terminal;

#[cfg(test)]
mod testing;
