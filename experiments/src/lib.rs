//! The `pythia` command: an experiment file → a plan → a sweep over checkpoints → Parquet.
//!
//! Its modules, from top to bottom: `cli`, `nano`, `bench`, `results`, `sweep`, `plan`, `checkpoint`, `resolved`,
//! `config`, `integrity`, `files`, `terminal`. None imports one above it. `DESIGN.md` follows a prompt through them.
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
