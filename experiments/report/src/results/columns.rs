//! The columns that each probe declares, as data, and the check of a file against them.
//!
//! `columns.json` is generated from the declarations in the probes. It is embedded as text, so that this crate can
//! check the tables without depending on the crate that makes them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use parquet::basic::Type;
use parquet::schema::types::SchemaDescriptor;
use serde_json::Value;

use super::{Origin, ResultsError};

/// Columns by the kind of a probe and the suffix of one of its tables.
type Declarations = BTreeMap<(String, String), Vec<DeclaredColumn>>;

static DECLARED: LazyLock<Declarations> =
    LazyLock::new(|| parse(include_str!("../columns.json")).expect("a test reads the embedded declaration"));

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers or null.
    Int,
    /// Finite numbers or null.
    Float,
    /// Text.
    Text,
}

impl ColumnType {
    fn of(name: &str) -> Option<Self> {
        match name {
            "int" => Some(Self::Int),
            "float" => Some(Self::Float),
            "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// What a column of a Parquet file holds, if it is one of these.
    fn of_parquet(physical: Type) -> Option<Self> {
        match physical {
            Type::INT32 | Type::INT64 => Some(Self::Int),
            Type::FLOAT | Type::DOUBLE => Some(Self::Float),
            Type::BYTE_ARRAY => Some(Self::Text),
            Type::BOOLEAN | Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY => None,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "whole numbers",
            Self::Float => "numbers",
            Self::Text => "text",
        })
    }
}

/// A column as its probe declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredColumn {
    pub name: String,
    pub values: ColumnType,
    /// Empty where the values have no unit.
    pub unit: String,
    pub doc: String,
}

impl DeclaredColumn {
    /// Its line of documentation with the unit.
    pub(crate) fn describe(&self) -> String {
        if self.unit.is_empty() { self.doc.clone() } else { format!("{} ({})", self.doc, self.unit) }
    }
}

/// The columns that a probe of this kind declares for one of its tables, in order; none for a kind that this version
/// does not know. `table` is the suffix of the table's name, empty for the main one.
pub(crate) fn declared(kind: &str, table: &str) -> &'static [DeclaredColumn] {
    DECLARED.get(&(kind.to_owned(), table.to_owned())).map_or(&[], Vec::as_slice)
}

/// Whether the main table of a kind has a column of that name.
pub(crate) fn is_declared(kind: &str, column: &str) -> bool {
    declared(kind, "").iter().any(|declared| declared.name == column)
}

/// The columns of every table, in front of the probe's own.
const COMMON: [(&str, ColumnType); 4] = [
    ("model", ColumnType::Text),
    ("step", ColumnType::Int),
    ("tokens_seen", ColumnType::Int),
    ("checkpoint_status", ColumnType::Text),
];

/// Checks that a file of a probe has the columns which the probe declares. Files of unknown kinds pass, and so do
/// columns beyond the declared ones.
pub(super) fn check(path: &Path, table: &str, origin: &Origin, schema: &SchemaDescriptor) -> Result<(), ResultsError> {
    let own = declared(&origin.kind, &origin.table);
    let common = if own.is_empty() { &[][..] } else { &COMMON };
    let have: BTreeMap<&str, Option<ColumnType>> =
        schema.columns().iter().map(|column| (column.name(), ColumnType::of_parquet(column.physical_type()))).collect();
    let wanted = common.iter().copied().chain(own.iter().map(|column| (column.name.as_str(), column.values)));
    for (column, wanted) in wanted {
        let found = match have.get(column) {
            Some(Some(found)) if *found == wanted => continue,
            Some(Some(found)) => format!("has a column of {found}"),
            Some(None) => "has a column of another type".to_owned(),
            None => "has no such column".to_owned(),
        };
        let (path, table, column) = (path.into(), table.into(), column.into());
        return Err(ResultsError::FileColumn { path, table, column, wanted, found });
    }
    Ok(())
}

fn parse(text: &str) -> Result<Declarations, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut declarations = Declarations::new();
    for (kind, probe) in json.as_object().ok_or("no object of probes")? {
        for (suffix, table) in probe["tables"].as_object().ok_or_else(|| format!("{kind} has no `tables`"))? {
            let columns = table["columns"].as_array().ok_or_else(|| format!("{kind} {suffix:?} has no `columns`"))?;
            let columns = columns.iter().map(column).collect::<Option<_>>();
            let columns =
                columns.ok_or_else(|| format!("a column of {kind} {suffix:?} lacks a name, a type or a doc"))?;
            declarations.insert((kind.clone(), suffix.clone()), columns);
        }
    }
    Ok(declarations)
}

fn column(json: &Value) -> Option<DeclaredColumn> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let values = ColumnType::of(json["type"].as_str()?)?;
    Some(DeclaredColumn { name: text("name")?, values, unit: text("unit").unwrap_or_default(), doc: text("doc")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Results, TABLE_VERSION};
    use crate::testing::{Scratch, floats, part, part_of_version, texts};

    #[test]
    fn the_embedded_declaration_is_read() {
        let columns = declared("token_loss", "");
        let loss = columns.iter().find(|column| column.name == "loss").expect("a loss");
        assert_eq!((loss.values, loss.unit.as_str()), (ColumnType::Float, "nats"));
        assert!(loss.describe().ends_with("(nats)"), "{loss:?}");
        assert!(declared("no_such_probe", "").is_empty() && is_declared("ablation", "delta"));
        assert_eq!(parse(r#"{"p": {}}"#), Err("p has no `tables`".into()));
        let lacking = r#"{"p": {"tables": {"": {"columns": [{"name": "a", "type": "bool", "doc": ""}]}}}}"#;
        assert_eq!(parse(lacking), Err("a column of p \"\" lacks a name, a type or a doc".into()));
        assert_eq!(parse(r#"{"p": {"tables": {"a": {}}}}"#), Err("p \"a\" has no `columns`".into()));
    }

    fn problem(scratch: &Scratch) -> String {
        Results::open(&scratch.0).expect_err("an error").to_string().replace(&scratch.0.display().to_string(), "OUT")
    }

    #[test]
    fn a_column_of_another_type_is_named_with_its_file() {
        let scratch = Scratch::new("columns-type");
        part(&scratch.0, "losses", "token_loss", "m", Some(0), vec![texts("loss", vec!["0.5".into()])]);
        assert_eq!(
            problem(&scratch),
            "OUT/results/losses/m/step000000.parquet: table `losses` needs a column `loss` of numbers, and the file \
             has a column of text"
        );
    }

    #[test]
    fn a_missing_column_is_named_with_its_file() {
        let scratch = Scratch::new("columns-missing");
        let own = vec![floats("loss", vec![None])];
        part_of_version(&scratch.0, TABLE_VERSION, ("losses", "token_loss"), ("m", Some(0)), own);
        assert_eq!(
            problem(&scratch),
            "OUT/results/losses/m/step000000.parquet: table `losses` needs a column `prompt_id` of whole numbers, and \
             the file has no such column"
        );
    }

    #[test]
    fn tables_of_another_version_are_refused() {
        let scratch = Scratch::new("columns-version");
        part(&scratch.0, "losses", "token_loss", "m", Some(0), vec![floats("loss", vec![None])]);
        part_of_version(&scratch.0, 3, ("losses", "token_loss"), ("m", Some(1)), vec![floats("loss", vec![None])]);
        assert_eq!(
            problem(&scratch),
            "OUT/results/losses/m/step000001.parquet was made by another version: it has table version 3, and this \
             version reads 4"
        );
    }
}
