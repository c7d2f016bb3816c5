//! The `pythia` command: an experiment file → a plan → a sweep over checkpoints → Parquet.
//!
//! The parts, in reading order:
//!
//! - [`commands`]: one file per command, all of the same shape; what `main` dispatches to;
//! - [`config`]: the experiment file, read with the place of every mistake;
//! - [`study`]: an experiment meets its models and files: which checkpoints, does every probe fit; [`shape`]: what a model is; [`inputs`]: those files;
//! - [`tally`]: which pairs of prompts its probes use, and why others are left out;
//! - [`plan`]: the ordered list of cells with what each costs; pure;
//! - [`disk`]: what of a plan is there already, and in what it differs ([`difference`]); [`cost`]: what a cell takes;
//! - [`cell`]: what determines the bytes of a results file, its key, and its metadata;
//! - [`library`]: the hub's client, the cache with its budget, and the lock file of an experiment; [`pins`]: what that says of a model;
//! - [`integrity`]: whether a checkpoint is what its name says; [`verify`](mod@verify): that of a whole model;
//! - [`sweep`]: four stages side by side: files are fetched ([`supply`]), read ([`load`]), computed with, and results written; [`donors`]:
//!   the other checkpoints that a cell reads; [`memory`]: where weights are kept, given a bound;
//! - [`sink`]: tables → Parquet bytes; [`folder`]: bytes → files that appear whole;
//! - [`recorded`], [`shelves`]: what should be in an output folder, and what is; [`merge`](mod@merge): its parts as one file per table and model;
//!   [`status`]: how far its runs are;
//! - [`outcome`], [`journal`], [`record`], [`progress`], [`signals`], [`exit`], [`failure`]: what a run tells the world;
//! - [`capture`]: one forward pass → a file of activations; [`curve`]: the demo's table;
//! - [`nano`]: a small suite of checkpoints, trained here;
//! - [`mod@bench`]: whole workloads, timed.
//!
//! The world is touched in few places: files in [`folder`], [`journal`], [`disk`], [`shelves`], [`recorded`], `merge::part`, `status`, [`study`], [`inputs`], [`sink::metadata`], [`curve`],
//! `nano::folder` and the commands, the environment in [`place`], the clock in [`journal`], [`progress`] and [`sweep`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bench;
pub mod canonical;
pub mod capture;
pub mod cell;
pub mod commands;
pub mod config;
pub mod cost;
pub mod curve;
pub mod difference;
pub mod disk;
pub mod donors;
pub mod exit;
pub mod failure;
pub mod folder;
pub mod inputs;
pub mod integrity;
pub mod journal;
pub mod library;
pub mod load;
mod memory;
pub mod merge;
pub mod nano;
pub mod outcome;
pub mod pins;
pub mod place;
pub mod plan;
pub mod positions;
pub mod progress;
pub mod reads;
pub mod record;
pub mod recorded;
mod say;
pub mod scaled;
pub mod shape;
pub mod shelves;
pub mod signals;
pub mod sink;
pub mod status;
pub mod study;
pub mod supply;
pub mod sweep;
pub mod tally;
pub mod verify;

#[cfg(test)]
mod testing;
