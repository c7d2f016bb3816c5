//! How a table was made: the metadata of its first file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use super::{ResultsError, columns};

/// Prefix of the program's keys in a file's metadata.
const PREFIX: &str = "pythia.";

/// The version of the tables that this crate reads. It rises when the name or the meaning of a column changes.
pub const TABLE_VERSION: u32 = 4;

/// What the metadata of a part says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The kind of its probe; empty for the table of checkpoints and for files of other programs.
    pub kind: String,
    /// Which of the probe's tables it is; empty for the main one.
    pub table: String,
    /// All of it, prefix removed.
    pub metadata: BTreeMap<String, String>,
}

impl Origin {
    /// Reads a file's metadata.
    pub(super) fn of(path: &Path) -> Result<Self, ResultsError> {
        Ok(Self::from_reader(&reader(path)?))
    }

    /// Reads the metadata of a file of the table, and checks that this version knows the file's columns.
    pub(super) fn checked(path: &Path, table: &str) -> Result<Self, ResultsError> {
        let reader = reader(path)?;
        let origin = Self::from_reader(&reader);
        // Files of other programs have no metadata of ours. They can be queried, and nothing else is made of them.
        if !origin.metadata.is_empty() {
            let found = origin.metadata.get("table_version").map_or("none", String::as_str);
            if found != TABLE_VERSION.to_string() {
                return Err(ResultsError::Version { path: path.into(), found: found.to_owned() });
            }
        }
        columns::check(path, table, &origin, reader.metadata().file_metadata().schema_descr())?;
        Ok(origin)
    }

    fn from_reader(reader: &SerializedFileReader<File>) -> Self {
        let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let metadata: BTreeMap<String, String> = pairs
            .into_iter()
            .filter_map(|pair| Some((pair.key.strip_prefix(PREFIX)?.to_owned(), pair.value?)))
            .collect();
        let kind = metadata.get("kind").cloned().unwrap_or_default();
        let mut origin = Self { kind, table: String::new(), metadata };
        origin.table = origin.config()["table"].as_str().unwrap_or_default().to_owned();
        origin
    }

    /// The configuration under which the part was made; null where the metadata has none.
    pub fn config(&self) -> Value {
        self.metadata.get("config").and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
    }

    /// The texts of the positions of the first prompt, where the probe stored them.
    pub fn positions(&self) -> Vec<String> {
        let texts = self.metadata.get("positions").and_then(|text| serde_json::from_str(text).ok());
        texts.unwrap_or_default()
    }
}

fn reader(path: &Path) -> Result<SerializedFileReader<File>, ResultsError> {
    let file = File::open(path).map_err(|source| ResultsError::Io { path: path.into(), source })?;
    SerializedFileReader::new(file).map_err(|source| ResultsError::Parquet { path: path.into(), source })
}
