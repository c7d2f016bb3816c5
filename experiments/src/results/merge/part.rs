//! One part: its footer, and its rows when they are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Fields};
use pythia_core::suite::Step;

use super::{MergeError, in_column};
use crate::files::sink::{self, Batches};

/// Rows that are in memory at a time.
const ROWS_AT_A_TIME: usize = 1 << 15;

/// A results file whose footer was read.
#[derive(Debug)]
pub(super) struct Part {
    /// Its checkpoint.
    pub(crate) step: Option<Step>,
    pub(crate) path: PathBuf,
    pub(crate) columns: Fields,
    /// This program's metadata.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Its rows, as the footer says.
    pub(crate) n_rows: u64,
}

impl Part {
    pub(crate) fn open(step: Option<Step>, path: &Path) -> Result<Self, MergeError> {
        let reader = sink::reader(path)?;
        let file = reader.metadata().file_metadata();
        Ok(Self {
            step,
            path: path.into(),
            columns: reader.schema().fields().clone(),
            metadata: sink::metadata_of(file),
            n_rows: u64::try_from(file.num_rows()).unwrap_or(0),
        })
    }

    /// The columns, for messages.
    pub(crate) fn column_names(&self) -> String {
        let columns = self.columns.iter().map(|field| match field.is_nullable() {
            true => format!("{} {}", field.name(), field.data_type()),
            false => format!("{} {} not null", field.name(), field.data_type()),
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The rows, a few at a time.
    ///
    /// # Errors
    /// [`MergeError::Changed`] if it is not the file whose footer was read.
    pub(crate) fn rows(&self) -> Result<Batches, MergeError> {
        let builder = sink::reader(&self.path)?;
        let same = *builder.schema().fields() == self.columns
            && sink::metadata_of(builder.metadata().file_metadata()) == self.metadata;
        if !same {
            return Err(MergeError::Changed { path: self.path.clone() });
        }
        Ok(Batches::of(&self.path, builder.with_batch_size(ROWS_AT_A_TIME))?)
    }

    /// Refuses rows of another checkpoint than the one that the file is named after: the merged table would not be
    /// sorted.
    pub(crate) fn refuse_other_steps(&self, batch: &RecordBatch) -> Result<(), MergeError> {
        let expected = in_column(self.step);
        let found = match batch.column_by_name("step") {
            Some(column) if *column.data_type() == DataType::Int64 => {
                column.as_primitive::<Int64Type>().iter().find(|found| *found != expected)
            }
            _ => None,
        };
        match found {
            Some(found) => Err(MergeError::OtherStep { path: self.path.clone(), found, expected }),
            None => Ok(()),
        }
    }
}
