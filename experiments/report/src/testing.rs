//! Results made by hand, with known answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::results::{ColumnType, TABLE_VERSION, declared};
use polars::prelude::{Column, DataFrame, KeyValueMetadata, NamedFrom, ParquetWriter, Series};

/// A folder that goes away with its value.
pub(crate) struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh folder; `name` must be the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pythia-report-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("results")).expect("a folder for the test");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tokens in one step of these results.
pub(crate) const TOKENS: i64 = 2048;

/// The head that learns, and the step at which it does.
pub(crate) const PLANTED: (i64, i64, i64) = (2, 3, 64);

/// A column of text.
pub(crate) fn texts(name: &str, values: Vec<String>) -> Column {
    Series::new(name.into(), values).into()
}

/// A column of whole numbers.
pub(crate) fn ints(name: &str, values: Vec<Option<i64>>) -> Column {
    Series::new(name.into(), values).into()
}

/// A column of numbers.
pub(crate) fn floats(name: &str, values: Vec<Option<f64>>) -> Column {
    Series::new(name.into(), values).into()
}

/// Writes a part: the columns that every table has, then `own`, then those that a probe of that kind declares besides,
/// without values.
pub(crate) fn part(root: &Path, table: &str, kind: &str, model: &str, step: Option<i64>, mut own: Vec<Column>) {
    let rows = own.first().map_or(0, Column::len);
    let given: Vec<String> = own.iter().map(|column| column.name().to_string()).collect();
    own.extend(declared(kind, "").iter().filter(|column| !given.contains(&column.name)).map(
        |column| match column.values {
            ColumnType::Int => ints(&column.name, vec![None; rows]),
            ColumnType::Float => floats(&column.name, vec![None; rows]),
            ColumnType::Text => texts(&column.name, vec![String::new(); rows]),
        },
    ));
    part_of_version(root, TABLE_VERSION, (table, kind), (model, step), own);
}

/// Writes a part with exactly these columns behind those that every table has.
pub(crate) fn part_of_version(
    root: &Path,
    version: u32,
    (table, kind): (&str, &str),
    (model, step): (&str, Option<i64>),
    own: Vec<Column>,
) {
    let rows = own.first().map_or(0, Column::len);
    let mut columns = vec![
        texts("model", vec![model.to_owned(); rows]),
        ints("step", vec![step; rows]),
        ints("tokens_seen", vec![step.map(|step| step * TOKENS); rows]),
        texts("checkpoint_status", vec!["ok".to_owned(); rows]),
    ];
    columns.extend(own);
    let mut frame = DataFrame::new(rows, columns).expect("columns of one length");
    let folder = root.join("results").join(table).join(model);
    fs::create_dir_all(&folder).expect("a folder");
    let name = step.map_or("model.parquet".to_owned(), |step| format!("step{step:06}.parquet"));
    let metadata =
        [("kind", kind), ("config", "{\"probe\":{}}"), ("version", "0.0.0"), ("table_version", &version.to_string())];
    let metadata = metadata.map(|(key, value)| (format!("pythia.{key}"), value.to_owned())).to_vec();
    ParquetWriter::new(File::create(folder.join(name)).expect("a file"))
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
        .finish(&mut frame)
        .expect("a table of plain columns");
}

/// Scores of `layers × heads` heads at these steps: all at 0.05, but the planted head is at 0.9 from its step on, and
/// one head is undefined.
pub(crate) fn head_scores(root: &Path, model: &str, (layers, heads): (i64, i64), steps: &[i64]) {
    for step in steps {
        let places = || (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head)));
        let value = |(layer, head): (i64, i64)| match (layer, head) {
            (0, 0) => None,
            head if head == (PLANTED.0, PLANTED.1) && *step >= PLANTED.2 => Some(0.9),
            _ => Some(0.05),
        };
        let rows = (layers * heads) as usize;
        let own = vec![
            ints("layer", places().map(|(layer, _)| Some(layer)).collect()),
            ints("head", places().map(|(_, head)| Some(head)).collect()),
            texts("score", vec!["induction".into(); rows]),
            texts("definition", vec!["strict".into(); rows]),
            floats("value", places().map(value).collect()),
            floats("uniform", vec![Some(0.02); rows]),
            texts(
                "status",
                places().map(|place| if value(place).is_some() { "ok" } else { "undefined" }.to_owned()).collect(),
            ),
        ];
        part(root, "head_scores", "head_scores", model, Some(*step), own);
    }
}

/// The steps of the suite: 0, powers of two, then every thousandth.
pub(crate) fn suite_steps() -> Vec<i64> {
    [0].into_iter().chain((0..10).map(|k| 1 << k)).chain((1..=143).map(|k| k * 1000)).collect()
}

/// Gives every row of a part another status.
pub(crate) fn set_status(path: &Path, status: &str) {
    use polars::prelude::{ParquetReader, SerReader};
    let mut frame = ParquetReader::new(File::open(path).expect("a part")).finish().expect("a table");
    let rows = frame.height();
    frame.with_column(texts("checkpoint_status", vec![status.to_owned(); rows])).expect("a column");
    ParquetWriter::new(File::create(path).expect("a file")).finish(&mut frame).expect("a table");
}

/// Scores of two kinds that no map compresses well: noise around a rise that comes earlier for later heads.
pub(crate) fn noisy_scores(root: &Path, model: &str, (layers, heads): (i64, i64), steps: &[i64]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        // Xorshift: any noise does, the same on every machine.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for step in steps {
        let rows = (2 * layers * heads) as usize;
        let place = |row: usize| (row as i64 % (layers * heads) / heads, row as i64 % heads);
        let rise = |row: usize| if *step > 1000 * (row as i64 % 40) { 0.5 } else { 0.1 };
        let scores = ["induction", "previous_token"];
        let own = vec![
            ints("layer", (0..rows).map(|row| Some(place(row).0)).collect()),
            ints("head", (0..rows).map(|row| Some(place(row).1)).collect()),
            texts("score", (0..rows).map(|row| scores[row / (rows / 2)].to_owned()).collect()),
            texts("definition", vec!["strict".into(); rows]),
            floats("value", (0..rows).map(|row| Some(rise(row) + 0.4 * noise())).collect()),
            floats("uniform", vec![Some(0.02); rows]),
            texts("status", vec!["ok".into(); rows]),
        ];
        part(root, "head_scores", "head_scores", model, Some(*step), own);
    }
}
