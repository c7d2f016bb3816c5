//! Questions that a model can be asked: a probe takes a subject and a seed, and answers with tables.
//!
//! ```
//! use pythia_core::{device, model::GptNeoX};
//! use pythia_probes::probes::head_scores::HeadScores;
//! use pythia_probes::prompts::PromptSource;
//! use pythia_probes::{Column, ProbeSpec, Subject, run};
//!
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel");
//! let model = GptNeoX::load(folder, &device::cpu())?;
//! // All ids are tokens, a BOS with the id 0 stands before every prompt.
//! let subject = Subject::new(&model, model.config().vocab_size, true, 0);
//! // Two prompts [BOS] R R with 8 random tokens in R.
//! let probe = HeadScores { prompts: PromptSource::random(2, 8), ..HeadScores::default() };
//! let tables = run(&[ProbeSpec::HeadScores(probe)], &subject, 0).remove(0)?;
//! let scores = tables[0].column("value").and_then(Column::floats).expect("a column of numbers");
//! assert!(scores.iter().flatten().any(|score| *score > 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The parts, in reading order:
//!
//! 1. [`Table`], [`TableSpec`]: columns of equal length, in which "undefined" is a null with a status; tables as they
//!    are declared;
//! 2. `from_map`: structs that are read from maps alone; [`pairs`]: two prompts that differ in what matters, and the
//!    answers between which they decide;
//! 3. [`Subject`]: the model that probes run on; [`Context`]: what is known of it without its weights;
//! 4. [`prompts`]: the tokens that a probe runs on, random ones from a named generator (`random`);
//! 5. `probe`: what every probe says of itself before it runs; [`ProbeError`]: why it is refused or fails;
//! 6. `loss`, [`metric`]: logits reduced to losses of tokens, and to answers at the end of a prompt; `rows`: rows of
//!    matrices, and sums of long ones; `retry_on_oom`: runs in parts where a device cannot hold the whole;
//! 7. [`engine`]: many interventions on one batch, in full or only as far as they change anything;
//! 8. [`families`]: reading, causal and weight probes, each family run in its own way;
//! 9. [`probes`]: the probes, one file or folder each, and the closed table of them, [`ProbeSpec`];
//! 10. [`run()`], [`run_on_weights`]: run probes, those of a family together.
//!
//! This crate never opens a file, reads a clock, or learns a model's name or training step. A result depends on what
//! it is given alone: the weights, the tokenizer, the probe's configuration with the content of the files and the
//! source checkpoints that it names, and the seed.
#![forbid(unsafe_code)]

mod bytes;
mod counted;
pub mod engine;
mod error;
pub mod families;
mod from_map;
#[cfg(test)]
mod goldens;
mod lenient;
mod loss;
pub mod metric;
pub mod pairs;
mod probe;
pub mod probes;
pub mod prompts;
mod random;
mod retry_on_oom;
mod rows;
mod run;
mod subject;
mod table;
#[cfg(test)]
mod testing;

pub use bytes::{Bytes, BytesError};
pub use error::{ProbeError, PromptsError};
pub use families::weights::{ParamSource, WeightSubject};
pub use probe::{Answer, Estimate};
pub use probes::{ProbeKind, ProbeSpec};
pub use run::{run, run_on_weights};
pub use subject::{Context, Files, SourceCheckpoints, Subject};
pub use table::{Column, ColumnKind, ColumnSpec, Table, TableBuilder, TableSpec, TableValue};
