//! The `pythia` command: an experiment file → a plan → a sweep over checkpoints → Parquet.
//!
//! The parts, in reading order:
//!
//! - [`commands`]: one file per command, all of the same shape; what `main` dispatches to;
//! - [`config`]: the experiment file, read with the place of every mistake;
//! - [`study`]: an experiment meets its models: which checkpoints, does every probe fit;
//! - [`plan`]: the ordered list of cells with what each costs; pure;
//! - [`cell`]: what determines the bytes of a results file, its key, and its metadata;
//! - [`sweep`]: a cell at a time, the next checkpoint read while this one computes;
//! - [`sink`]: tables → Parquet bytes; [`folder`]: bytes → files that appear whole;
//! - [`journal`], [`progress`], [`signals`], [`exit`], [`failure`]: what a run tells the world.
//!
//! Only the store, this crate's edge (`folder`, `journal`, `sink::metadata`, `study`, `place`, the commands) and nothing of
//! the computation reads or writes files, the environment or the clock.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod exit;
pub mod folder;
pub mod journal;
pub mod progress;
pub mod signals;
pub mod sink;
