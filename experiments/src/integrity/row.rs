//! The table of checkpoints: a row for each one that a sweep met, `results/checkpoints/MODEL/step000512.parquet`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use pythia_core::suite::Step;
use pythia_core::weights::{Group, PartHashes};

use super::Verdict;
use crate::files::sink::{self, Stamp};
use crate::files::table::{TABLE_VERSION, file_of};

/// The folder of the table. No probe can have this name.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// What is known about the checkpoint.
    pub(crate) verdict: &'a Verdict,
    /// Its weights, as far as they were read.
    pub(crate) weights: Option<&'a PartHashes>,
}

impl Row<'_> {
    /// Where the row of a checkpoint goes.
    pub(crate) fn file(label: &str, step: Option<Step>) -> PathBuf {
        file_of(CHECKPOINTS, label, step)
    }

    /// The row as a file.
    ///
    /// # Panics
    /// Never: one row of plain columns always makes a table.
    pub(crate) fn parquet(&self, stamp: &Stamp) -> Vec<u8> {
        let text = |value: Option<String>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let embed = |hashes: &PartHashes| hashes.groups.get(&Group::Embed).map(ToString::to_string);
        let norm = Float64Array::from(vec![self.weights.and_then(|hashes| hashes.embed_norm)]);
        let columns = vec![
            ("reason", text(self.verdict.reason.clone())),
            ("weights_hash", text(self.weights.and_then(|hashes| Some(hashes.content?.to_string())))),
            ("embed_hash", text(self.weights.and_then(embed))),
            ("embed_norm", Arc::new(norm) as ArrayRef),
        ];
        let metadata =
            [("table_version", TABLE_VERSION.to_string()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
        let metadata: BTreeMap<String, String> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        sink::encode(stamp, 1, columns, &metadata).expect("one row of plain columns makes a table")
    }
}
