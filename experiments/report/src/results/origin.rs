//! How a table was made: the metadata of its first file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use super::{ResultsError, columns, part};

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
    /// The configuration under which the part was made; null where the metadata has none.
    pub config: Value,
}

impl Origin {
    /// Reads the metadata of a file of the table, and checks that this version knows the file's columns.
    pub(crate) fn checked(path: &Path, table: &str) -> Result<Self, ResultsError> {
        let reader = part::footer(path)?;
        let origin = Self::from_reader(path, &reader)?;
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

    fn from_reader(path: &Path, reader: &SerializedFileReader<File>) -> Result<Self, ResultsError> {
        let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let metadata: BTreeMap<String, String> = pairs
            .into_iter()
            .filter_map(|pair| Some((pair.key.strip_prefix(PREFIX)?.to_owned(), pair.value?)))
            .collect();
        let kind = metadata.get("kind").cloned().unwrap_or_default();
        let broken =
            |error: serde_json::Error| ResultsError::Metadata { path: path.into(), problem: error.to_string() };
        let config = metadata.get("config").map(|text| serde_json::from_str::<Value>(text)).transpose();
        let config = config.map_err(broken)?.unwrap_or(Value::Null);
        let table = config["table"].as_str().unwrap_or_default().to_owned();
        Ok(Self { kind, table, metadata, config })
    }

    /// The texts of the positions of the first prompt, where the probe stored them.
    pub fn positions(&self) -> Vec<String> {
        let texts = self.metadata.get("positions").and_then(|text| serde_json::from_str(text).ok());
        texts.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, KeyValueMetadata, ParquetWriter};

    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, ints};

    /// What is wrong with a folder whose one part states that configuration.
    fn problem(config: &str) -> Option<String> {
        let scratch = Scratch::new("origin-config");
        let folder = scratch.0.join("results/t/m");
        std::fs::create_dir_all(&folder).expect("a folder");
        let metadata = [("table_version", TABLE_VERSION.to_string()), ("config", config.to_owned())];
        let metadata = metadata.map(|(key, value)| (format!("{PREFIX}{key}"), value)).to_vec();
        let mut frame = DataFrame::new(1, vec![ints("layer", vec![None])]).expect("one column");
        ParquetWriter::new(File::create(folder.join("model.parquet")).expect("a file"))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
            .finish(&mut frame)
            .expect("a table");
        let told = Results::open(&scratch.0).err()?.to_string();
        Some(told.replace(&scratch.0.display().to_string(), "OUT"))
    }

    #[test]
    fn a_configuration_that_is_no_json_is_named_with_its_file() {
        assert_eq!(problem("{\"table\": \"examples\"}"), None);
        assert_eq!(
            problem("{\"table\": \"examples\"").as_deref(),
            Some(
                "OUT/results/t/m/model.parquet states no configuration: its metadata `pythia.config` is not JSON: EOF \
                 while parsing an object at line 1 column 20"
            )
        );
    }
}
