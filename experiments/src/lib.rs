//! The `pythia` command: an experiment file → a plan → a sweep over checkpoints → Parquet.
//!
//! The crate is divided into wings. They are listed from top to bottom: no module knows one of a wing above its own.
//! `docs/architecture.md` follows a prompt through them.
#![forbid(unsafe_code)]

// Whole workloads, timed.
pub mod bench;
// Checkpoints from the hub or a folder to models in memory.
pub mod checkpoint;
// Commands, one file each; what they share; the message of a failure.
pub mod cli;
// The experiment file, read with the place of every mistake.
pub mod config;
// Files of an output folder and their bytes.
pub mod files;
// Whether a checkpoint is what its name says.
pub mod integrity;
// A small suite of checkpoints, trained on this machine.
pub mod nano;
// Which results are missing, what each needs, and whether what is there belongs to the experiment.
pub mod plan;
// The experiment resolved against its models and files.
pub mod resolved;
// What lies in an output folder: its manifest, the index of its files, their merge, the progress of its runs.
pub mod results;
// Four stages side by side: fetch, load, compute, write.
pub mod sweep;
// Exit codes, messages, progress, human numbers, environment variables.
pub mod terminal;

#[cfg(test)]
mod testing;
