//! Whole workloads, timed the way a peer's script times them, so that two lines of JSON can be compared.
//!
//! - [`workload`]: what is timed;
//! - [`patching`]: the ones that intervene;
//! - [`meter`]: how it is timed, and what else the line says.
//!
//! The names and sizes of the workloads are those of common comparisons of interpretability libraries: load a model; run
//! it; cache everything; patch every layer and position, every head, every head and position; ablate every head; score every
//! head for induction; the same over a series of checkpoints, loading included.

mod error;
pub(crate) mod meter;
pub(crate) mod patching;
pub(crate) mod workload;

pub(crate) use error::BenchError;
