//! The parts of every table as one file per model: `merged/TABLE/MODEL.parquet`, sorted by step.
//!
//! Parts are read one after another. Before the first file is written it is checked that no part of a manifest is
//! missing, and that the parts of a table were made alike. Equal parts give equal bytes.

mod error;
mod metadata;
mod part;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use pythia_core::suite::Step;

use crate::files::folder::{Folder, PendingFile};
use crate::files::sink;
use crate::files::table::cell_name;
use crate::files::version::OtherVersion;
use crate::plan::difference::Difference;
use crate::results::index::{IndexedTable, ResultsIndex};
use crate::results::manifest::Manifest;

pub(crate) use error::MergeError;
use metadata::{combined, settings};
use part::Part;

/// Rows of a group: enough for a fast scan, few enough for a quick read of one step.
const ROWS_PER_GROUP: usize = 1 << 18;

/// The merge of an output folder, as its results were when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    /// The output folder of the runs.
    pub(crate) from: PathBuf,
    /// The folder of merged tables.
    pub(crate) to: PathBuf,
    pub(crate) allow_missing: bool,
    pub(crate) missing_parts: MissingParts,
    index: ResultsIndex,
}

/// One merged table of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) table: String,
    pub(crate) model: String,
    /// Parts that are in it.
    pub(crate) parts: usize,
    pub(crate) rows: u64,
    pub(crate) path: PathBuf,
}

/// Parts that the manifests name and that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MissingParts {
    /// Table and checkpoint of each, in words.
    pub(crate) missing: Vec<String>,
    /// Parts that there should be.
    pub(crate) expected: usize,
    /// Checkpoints that a run has left out as bad; they have no parts.
    pub(crate) left_out: usize,
    /// Whether there is a manifest at all.
    pub(crate) has_manifest: bool,
}

impl MissingParts {
    fn of(manifests: &[Manifest], index: &ResultsIndex) -> Self {
        // Two experiments may share a table; then it is one.
        let (mut expected, mut left_out) = (BTreeSet::new(), BTreeSet::new());
        for manifest in manifests {
            for (model, step) in manifest.cells() {
                if manifest.left_out(index, model, step) {
                    left_out.insert((model, step));
                } else {
                    expected.extend(manifest.tables.iter().map(|table| (table.as_str(), model, step)));
                }
            }
        }
        let missing = expected.iter().filter(|(table, model, step)| !index.has(table, model, *step));
        let missing = missing.map(|(table, model, step)| format!("{table}: {}", cell_name(model, *step))).collect();
        Self { missing, expected: expected.len(), left_out: left_out.len(), has_manifest: !manifests.is_empty() }
    }
}

impl Merge {
    /// Lists the results of an output folder, and what is missing of them.
    ///
    /// # Errors
    /// [`MergeError`]: manifests or results that cannot be read.
    pub(crate) fn open(from: PathBuf, to: PathBuf, allow_missing: bool) -> Result<Self, MergeError> {
        let (manifests, index) = (Manifest::all(&from)?, ResultsIndex::of(&from)?);
        let missing_parts = MissingParts::of(&manifests, &index);
        Ok(Self { from, to, allow_missing, missing_parts, index })
    }

    /// Merges every table, and says of each when it is in its place.
    ///
    /// # Errors
    /// [`MergeError`]. Where it is about parts, no file has been written.
    pub(crate) fn run(&self, mut done: impl FnMut(&Merged)) -> Result<Vec<Merged>, MergeError> {
        self.check_versions()?;
        if !self.allow_missing && !self.missing_parts.missing.is_empty() {
            return Err(MergeError::MissingParts(self.missing_parts.clone()));
        }
        if let Some(path) = self.index.strays.first() {
            return Err(MergeError::Stray { path: path.clone() });
        }
        self.index.all.iter().try_for_each(|entry| checked(entry).map(drop))?;
        let folder = Folder::of_files(&self.to)?;
        let mut merged = Vec::new();
        for entry in &self.index.all {
            let one = write(&folder, entry)?;
            done(&one);
            merged.push(one);
        }
        folder.tidy();
        Ok(merged)
    }

    /// Refuses parts of another version by one of every table, and merged tables of another version that would stay.
    /// The other parts are checked when they are opened.
    fn check_versions(&self) -> Result<(), MergeError> {
        if let Some(other) = OtherVersion::all_in(&self.from.join("results"))?.into_iter().next() {
            return Err(MergeError::Version(other));
        }
        let merged = &self.index.all;
        let is_replaced =
            |old: &OtherVersion| merged.iter().any(|new| (&new.table, &new.model) == (&old.table, &old.model));
        let stays = OtherVersion::all_in(&self.to)?.into_iter().find(|old| !is_replaced(old));
        stays.map_or(Ok(()), |old| Err(MergeError::OldMerged(old)))
    }
}

/// The parts of a table, checked to be made alike. Their rows are not read.
fn checked(entry: &IndexedTable) -> Result<Vec<Part>, MergeError> {
    let parts: Vec<Part> = entry.parts.iter().map(|(step, path)| Part::open(*step, path)).collect::<Result<_, _>>()?;
    for part in &parts {
        OtherVersion::check((&entry.table, &entry.model), &part.path, &part.metadata)?;
    }
    let Some((first, others)) = parts.split_first() else { return Ok(parts) };
    for other in others {
        if first.step.is_none() {
            return Err(MergeError::Mixed { first: first.path.clone(), second: other.path.clone() });
        }
        if first.columns != other.columns {
            let (there, here) = (first.column_names(), other.column_names());
            return Err(MergeError::Columns { first: first.path.clone(), second: other.path.clone(), there, here });
        }
        let (there, here) = (settings(&first.metadata), settings(&other.metadata));
        if there != here {
            let difference = Difference::between(&there, &here);
            return Err(MergeError::Settings { first: first.path.clone(), second: other.path.clone(), difference });
        }
    }
    Ok(parts)
}

/// Writes one table of one model.
fn write(folder: &Folder, entry: &IndexedTable) -> Result<Merged, MergeError> {
    let relative = Path::new(&entry.table).join(format!("{}.parquet", entry.model));
    let path = folder.root().join(&relative);
    let parts = checked(entry)?;
    let fields = parts.first().map(|part| part.columns.clone()).unwrap_or_default();
    let schema = Arc::new(Schema::new(fields));
    let metadata = combined(parts.iter().map(|part| (part.step, &part.metadata)));
    let properties = sink::properties(&schema, &metadata).set_max_row_group_row_count(Some(ROWS_PER_GROUP));
    let failed = |source| MergeError::Write { path: path.clone(), source };
    let file = folder.begin(&relative)?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties.build())).map_err(failed)?;
    let mut rows = 0;
    for part in &parts {
        rows += copy(part, &schema, &mut writer, &path)?;
    }
    writer.into_inner().map_err(failed)?.finish()?;
    Ok(Merged { table: entry.table.clone(), model: entry.model.clone(), parts: parts.len(), rows, path })
}

/// Copies the rows of a part.
fn copy(
    part: &Part,
    schema: &Arc<Schema>,
    writer: &mut ArrowWriter<PendingFile>,
    path: &Path,
) -> Result<u64, MergeError> {
    let unreadable = |source| MergeError::Rows { path: part.path.clone(), source };
    let mut rows = 0;
    for batch in part.rows()? {
        let batch = batch?;
        part.refuse_other_steps(&batch)?;
        let batch = RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map_err(unreadable)?;
        writer.write(&batch).map_err(|source| MergeError::Write { path: path.into(), source })?;
        rows += batch.num_rows() as u64;
    }
    if rows == part.n_rows { Ok(rows) } else { Err(MergeError::Changed { path: part.path.clone() }) }
}

/// The step as the value of the column `step`.
fn in_column(step: Option<Step>) -> Option<i64> {
    step.map(|step| i64::from(step.label()))
}

#[cfg(test)]
mod tests;
