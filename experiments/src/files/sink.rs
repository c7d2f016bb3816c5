//! Tables → Parquet bytes, and the metadata of a Parquet file. Nothing is written here.
//!
//! The same table with the same metadata gives the same bytes, on every machine and at any time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, KeyValue};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;
use pythia_probes::{Column, ColumnSpec, Table};
use pythia_report::results::{DamagedPart, ResultsError, guarded, part};

use crate::terminal::{Exit, Explained};

/// Prefix of this program's keys in the metadata of a file.
pub(crate) const PREFIX: &str = "pythia.";

/// The cell that a table belongs to: the columns that the runner puts before the probe's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stamp {
    /// Value of the column `model`.
    pub(crate) model: String,
    /// Value of the column `step`; null for a single model.
    pub(crate) step: Option<i64>,
    /// Value of the column `tokens_seen`; null where it is not known.
    pub(crate) tokens_seen: Option<i64>,
    /// Value of the column `checkpoint_status`.
    pub(crate) checkpoint_status: String,
}

/// The columns of a [`Stamp`], in the order of its fields.
pub(crate) const STAMP: [ColumnSpec; 4] = [
    ColumnSpec::text("model", "Name of the model in the results"),
    ColumnSpec::int("step", "Training step of the checkpoint; null for a single model without steps"),
    ColumnSpec::int("tokens_seen", "Tokens that the model was trained on before it; null where that is not known"),
    ColumnSpec::text(
        "checkpoint_status",
        "What is known of the checkpoint: `ok`, `unverified`, `known_bad`, `duplicate_of:STEP`; in `checkpoints` also \
         `missing`",
    ),
];

/// A table that cannot be stored as a Parquet file, or a Parquet file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The columns do not make a table; a mistake of the probe.
    #[error("a table of {rows} rows and the columns {columns:?} cannot be stored: {source}")]
    Arrow {
        /// Rows of the table.
        rows: usize,
        /// Its columns.
        columns: Vec<&'static str>,
        /// What the library said.
        source: ArrowError,
    },
    /// The file cannot be encoded.
    #[error("encoding the table failed: {0}")]
    Encode(#[from] ParquetError),
    /// An existing file is not a results file.
    #[error(transparent)]
    Damaged(#[from] DamagedPart),
    /// An existing file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Parquet file of the results.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Explained for SinkError {
    fn exit(&self) -> Exit {
        match self {
            // Mistakes of the program: no input is bad. A cell whose table cannot be stored has the same code.
            Self::Arrow { .. } | Self::Encode(_) => Exit::CellsFailed,
            Self::Damaged(_) | Self::Open { .. } => Exit::BadInput,
        }
    }
}

/// The bytes of a Parquet file: the stamp's columns, the table's columns, and `metadata` with its keys prefixed.
pub(crate) fn parquet(stamp: &Stamp, table: &Table, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, SinkError> {
    let columns = table.columns().iter().map(|(name, column)| (*name, array(column))).collect();
    encode(stamp, table.n_rows(), columns, metadata)
}

/// As [`parquet`], with the columns as arrays of `rows` values.
pub(crate) fn encode(
    stamp: &Stamp,
    rows: usize,
    columns: Vec<(&'static str, ArrayRef)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SinkError> {
    let batch = batch(stamp, rows, columns)?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties(&batch.schema(), metadata).build()))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

fn batch(stamp: &Stamp, rows: usize, own: Vec<(&'static str, ArrayRef)>) -> Result<RecordBatch, SinkError> {
    let text = |value: &str| Arc::new(StringArray::from_iter_values(vec![value; rows])) as ArrayRef;
    let number = |value: Option<i64>| Arc::new(Int64Array::from(vec![value; rows])) as ArrayRef;
    let stamped = [text(&stamp.model), number(stamp.step), number(stamp.tokens_seen), text(&stamp.checkpoint_status)];
    let mut columns: Vec<(&'static str, ArrayRef)> = STAMP.iter().map(|column| column.name).zip(stamped).collect();
    columns.extend(own);
    // Every column is nullable, so that all parts of all versions of a table have one schema.
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let names = columns.iter().map(|(name, _)| *name).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|source| SinkError::Arrow {
        rows,
        columns: names,
        source,
    })
}

fn array(column: &Column) -> ArrayRef {
    match column {
        Column::Text(values) => Arc::new(StringArray::from_iter_values(values)),
        Column::Int(values) => Arc::new(Int64Array::from(values.clone())),
        // Some readers order NaN above all numbers, so a table has nulls instead.
        Column::Float(values) => {
            Arc::new(values.iter().map(|value| value.filter(|number| !number.is_nan())).collect::<Float64Array>())
        }
    }
}

/// How every table is written: compressed, text by dictionary, and with `metadata` under prefixed keys.
pub(crate) fn properties(schema: &Schema, metadata: &BTreeMap<String, String>) -> WriterPropertiesBuilder {
    let metadata = metadata.iter().map(|(key, value)| KeyValue::new(format!("{PREFIX}{key}"), value.clone()));
    let mut properties = WriterProperties::builder()
        .set_created_by("pythia".into())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata.collect()));
    for field in schema.fields() {
        if field.data_type() == &DataType::Utf8 {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), true);
        }
    }
    properties
}

/// This program's metadata of a results file, prefix removed; `None` where there is no such file.
pub fn metadata(path: &Path) -> Result<Option<BTreeMap<String, String>>, SinkError> {
    let opened = part::read(path, SerializedFileReader::new).map_err(|error| failed(path, error));
    match opened {
        Err(SinkError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => Ok(Some(metadata_of(opened?.metadata().file_metadata()))),
    }
}

/// A reader of the rows of a results file, whose layout has been checked.
pub(crate) fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, SinkError> {
    part::read(path, ParquetRecordBatchReaderBuilder::try_new).map_err(|error| failed(path, error))
}

/// Rows of a results file, batch by batch.
pub(crate) struct Batches {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
}

impl Batches {
    /// The rows that a reader is set to.
    pub(crate) fn of(path: &Path, reader: ParquetRecordBatchReaderBuilder<File>) -> Result<Self, SinkError> {
        let batches = guarded(|| reader.build().map_err(|error| error.to_string())).and_then(|batches| batches);
        let batches = batches.map_err(|problem| DamagedPart::new(path, problem))?;
        Ok(Self { path: path.into(), batches })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match guarded(|| self.batches.next()) {
            Ok(None) => return None,
            Ok(Some(batch)) => batch.map_err(|error| error.to_string()),
            Err(panic) => Err(panic),
        };
        Some(batch.map_err(|problem| DamagedPart::new(&self.path, problem).into()))
    }
}

/// Why a file cannot be opened or decoded.
fn failed(path: &Path, error: ResultsError) -> SinkError {
    match error {
        ResultsError::Io { path, source } => SinkError::Open { path, source },
        ResultsError::Damaged { mut parts } if parts.len() == 1 => parts.remove(0).into(),
        other => DamagedPart::new(path, other).into(),
    }
}

/// The first value of a column of text; `None` where there is no such file, column or value.
pub(crate) fn first_text(path: &Path, column: &str) -> Option<String> {
    let rows = Batches::of(path, reader(path).ok()?.with_limit(1)).ok()?.next()?.ok()?;
    let column = rows.column_by_name(column)?.as_string_opt::<i32>()?;
    (!column.is_empty() && column.is_valid(0)).then(|| column.value(0).to_owned())
}

/// This program's metadata among that of an open file, prefix removed.
pub(crate) fn metadata_of(file: &FileMetaData) -> BTreeMap<String, String> {
    let pairs = file.key_value_metadata().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.strip_prefix(PREFIX)?.to_owned(), pair.value.clone()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use arrow_array::types::{Float64Type, Int64Type};
    use pythia_probes::ColumnKind as Kind;

    fn table() -> Table {
        let mut table = Table::builder([("layer", Kind::Int), ("definition", Kind::Text), ("value", Kind::Float)]);
        table.row([0_usize.into(), "strict".into(), 0.25.into()]);
        table.row([1_usize.into(), "strict".into(), None::<f64>.into()]);
        table.build()
    }

    fn stamp() -> Stamp {
        Stamp { model: "nano".into(), step: Some(512), tokens_seen: None, checkpoint_status: "ok".into() }
    }

    fn bytes() -> Vec<u8> {
        let metadata = BTreeMap::from([("key".to_owned(), "abc".to_owned())]);
        parquet(&stamp(), &table(), &metadata).expect("encode")
    }

    #[test]
    fn the_table_reads_back_with_its_stamp() {
        let scratch = Scratch::new("sink");
        let path = scratch.0.join("t.parquet");
        std::fs::write(&path, bytes()).expect("write");
        let mut reader = reader(&path).expect("reader").build().expect("build");
        let batch = reader.next().expect("one batch").expect("batch");
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["model", "step", "tokens_seen", "checkpoint_status", "layer", "definition", "value"]);
        assert_eq!(batch.column(0).as_string::<i32>().value(1), "nano");
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 512);
        assert_eq!(batch.column(2).null_count(), 2);
        assert_eq!(batch.column(4).as_primitive::<Int64Type>().values(), &[0, 1]);
        let values = batch.column(6).as_primitive::<Float64Type>();
        assert_eq!((values.value(0), values.is_null(1)), (0.25, true));
        assert_eq!(metadata(&path).expect("read"), Some(BTreeMap::from([("key".into(), "abc".into())])));
    }

    #[test]
    fn equal_tables_are_equal_bytes() {
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn absent_files_are_none_and_broken_ones_an_error() {
        let scratch = Scratch::new("sink-broken");
        assert_eq!(metadata(&scratch.0.join("none.parquet")).expect("absent"), None);
        let path = scratch.0.join("cut.parquet");
        std::fs::write(&path, &bytes()[..40]).expect("write");
        let unreadable = metadata(&path).expect_err("no Parquet");
        assert!(matches!(&unreadable, SinkError::Damaged(part) if part.path == path), "{unreadable}");
        assert_eq!(unreadable.exit(), Exit::BadInput);
        assert_eq!(SinkError::Encode(ParquetError::EOF("a mistake of ours".into())).exit(), Exit::CellsFailed);
    }
}
