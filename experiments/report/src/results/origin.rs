//! How a table came to be: the metadata of its first part.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use super::ResultsError;

/// Prefix of the program's keys in a file's metadata.
const PREFIX: &str = "pythia.";

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
        let file = File::open(path).map_err(|source| ResultsError::Io { path: path.into(), source })?;
        let reader =
            SerializedFileReader::new(file).map_err(|source| ResultsError::Parquet { path: path.into(), source })?;
        let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let metadata: BTreeMap<String, String> = pairs
            .into_iter()
            .filter_map(|pair| Some((pair.key.strip_prefix(PREFIX)?.to_owned(), pair.value?)))
            .collect();
        let kind = metadata.get("kind").cloned().unwrap_or_default();
        let mut origin = Self { kind, table: String::new(), metadata };
        origin.table = origin.config()["table"].as_str().unwrap_or_default().to_owned();
        Ok(origin)
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
