//! The table of checkpoints: a row for each one that a sweep looked at, `results/checkpoints/MODEL/step000512.parquet`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use pythia_core::suite::Step;
use pythia_core::weights::{Group, PartHashes};
use pythia_probes::{ColumnSpec, TableSpec};

use super::Verdict;
use crate::files::sink::{self, Stamp};
use crate::files::table::{TABLE_VERSION, file_of};

/// The folder of the table. No probe can have this name.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Its columns, after those of every table.
pub(crate) const TABLE: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per checkpoint that the sweep looked at",
    columns: &[&[
        ColumnSpec::text("reason", "Why the checkpoint is not `ok`; null where there is nothing to say"),
        ColumnSpec::text("weights_hash", "BLAKE3 of all weights; null where not all of them were read"),
        ColumnSpec::text("embed_hash", "BLAKE3 of the embedding; null where it was not read"),
        ColumnSpec::float("embed_norm", "", "Frobenius norm of the embedding; null where it was not read"),
    ]],
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
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
        let own = [
            text(self.verdict.reason.clone()),
            text(self.weights.and_then(|hashes| Some(hashes.content?.to_string()))),
            text(self.weights.and_then(embed)),
            Arc::new(norm) as ArrayRef,
        ];
        let columns = TABLE.columns().map(|column| column.name).zip(own).collect();
        let metadata =
            [("table_version", TABLE_VERSION.to_string()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
        let metadata: BTreeMap<String, String> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        sink::encode(stamp, 1, columns, &metadata).expect("one row of plain columns makes a table")
    }
}
