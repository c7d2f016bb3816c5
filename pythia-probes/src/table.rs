//! What every probe answers with: named columns of equal length.
//!
//! "Undefined" is a null with a status beside it, never a NaN: a NaN compares as the largest number in some readers,
//! and then a filter such as `value > 0.4` would find heads that do not exist.
//!
//! A probe declares its tables as [`TableSpec`]s before it runs. From the declaration come the header of the table, the
//! documentation of its columns, and what readers check a file against.

mod spec;

use crate::error::ProbeError;

pub(crate) use spec::columns;
pub use spec::{ColumnSpec, TableSpec};

/// The most rows that a table may have which keeps a row per token or entry: everything is kept until it is written.
const MAX_ROWS: u64 = 16_000_000;

/// The values of one column, one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Text; never null.
    Text(Vec<String>),
    /// Whole numbers, null where the row has none.
    Int(Vec<Option<i64>>),
    /// Numbers, finite or null.
    Float(Vec<Option<f64>>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Text(values) => values.len(),
            Column::Int(values) => values.len(),
            Column::Float(values) => values.len(),
        }
    }

    /// The kind of its values.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Column::Text(_) => ColumnKind::Text,
            Column::Int(_) => ColumnKind::Int,
            Column::Float(_) => ColumnKind::Float,
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text values, or `None` for a column of another kind.
    pub fn text(&self) -> Option<&[String]> {
        match self {
            Column::Text(values) => Some(values),
            _ => None,
        }
    }

    /// The whole numbers, or `None` for a column of another kind.
    pub fn ints(&self) -> Option<&[Option<i64>]> {
        match self {
            Column::Int(values) => Some(values),
            _ => None,
        }
    }

    /// The numbers, or `None` for a column of another kind.
    pub fn floats(&self) -> Option<&[Option<f64>]> {
        match self {
            Column::Float(values) => Some(values),
            _ => None,
        }
    }
}

/// One value on its way into a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub enum TableValue {
    /// For a [`Column::Text`].
    Text(String),
    /// For a [`Column::Int`].
    Int(Option<i64>),
    /// For a [`Column::Float`]; what is not finite becomes null.
    Float(Option<f64>),
}

impl From<&str> for TableValue {
    fn from(value: &str) -> Self {
        TableValue::Text(value.to_owned())
    }
}

impl From<usize> for TableValue {
    /// A count beyond `i64` (which no tensor has) becomes null.
    fn from(value: usize) -> Self {
        TableValue::Int(i64::try_from(value).ok())
    }
}

impl From<Option<usize>> for TableValue {
    fn from(value: Option<usize>) -> Self {
        TableValue::Int(value.and_then(|value| i64::try_from(value).ok()))
    }
}

impl From<String> for TableValue {
    fn from(value: String) -> Self {
        TableValue::Text(value)
    }
}

impl From<u32> for TableValue {
    fn from(value: u32) -> Self {
        TableValue::Int(Some(i64::from(value)))
    }
}

impl From<f64> for TableValue {
    fn from(value: f64) -> Self {
        TableValue::Float(Some(value))
    }
}

impl From<Option<f64>> for TableValue {
    fn from(value: Option<f64>) -> Self {
        TableValue::Float(value)
    }
}

/// The kind of a column, for a table that is still empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// [`Column::Text`].
    Text,
    /// [`Column::Int`].
    Int,
    /// [`Column::Float`].
    Float,
}

impl ColumnKind {
    /// Its name in declarations: `text`, `int` or `float`.
    pub const fn name(self) -> &'static str {
        match self {
            ColumnKind::Text => "text",
            ColumnKind::Int => "int",
            ColumnKind::Float => "float",
        }
    }

    fn empty(self) -> Column {
        match self {
            ColumnKind::Text => Column::Text(Vec::new()),
            ColumnKind::Int => Column::Int(Vec::new()),
            ColumnKind::Float => Column::Float(Vec::new()),
        }
    }
}

/// Columns in order, each with its name; all have the same number of rows, for rows are only ever added whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<(&'static str, Column)>,
}

impl Table {
    /// An empty table with these columns, to be filled row by row.
    pub fn builder(header: impl IntoIterator<Item = (&'static str, ColumnKind)>) -> TableBuilder {
        TableBuilder { columns: header.into_iter().map(|(name, kind)| (name, kind.empty())).collect() }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[(&'static str, Column)] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(have, _)| *have == name).map(|(_, column)| column)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }
}

/// Fills a [`Table`] by whole rows, so that its columns cannot come out unequal.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    columns: Vec<(&'static str, Column)>,
}

impl TableBuilder {
    /// Adds a row: one value per column, of the column's kind. A number that is not finite becomes null.
    ///
    /// # Panics
    /// If there are more or fewer values than columns, or a value is of another kind than its column. That is a
    /// mistake in the probe, not in what it was given.
    pub fn row(&mut self, values: impl IntoIterator<Item = TableValue>) {
        let row: Vec<TableValue> = values.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "a row has a value per column");
        for ((name, column), value) in self.columns.iter().zip(&row) {
            let fits = matches!(
                (column, value),
                (Column::Text(_), TableValue::Text(_))
                    | (Column::Int(_), TableValue::Int(_))
                    | (Column::Float(_), TableValue::Float(_))
            );
            assert!(fits, "column {name} is {:?}, not {value:?}", column.kind());
        }
        for ((_, column), value) in self.columns.iter_mut().zip(row) {
            match (column, value) {
                (Column::Text(values), TableValue::Text(value)) => values.push(value),
                (Column::Int(values), TableValue::Int(value)) => values.push(value),
                // Adding zero makes −0 plain.
                (Column::Float(values), TableValue::Float(value)) => {
                    values.push(value.filter(|value| value.is_finite()).map(|value| value + 0.0));
                }
                _ => unreachable!("the kinds were compared above, before anything was added"),
            }
        }
    }

    /// The filled table.
    pub fn build(self) -> Table {
        Table { columns: self.columns }
    }
}

/// Refuses a table with more rows than are kept in memory.
///
/// # Errors
/// [`ProbeError::TooManyRows`].
pub(crate) fn refuse_too_many(rows: u64) -> Result<(), ProbeError> {
    if rows > MAX_ROWS { Err(ProbeError::TooManyRows { rows, most: MAX_ROWS }) } else { Ok(()) }
}

/// The status of a value that could be computed.
pub(crate) const OK: &str = "ok";
/// The status of a value that could not: a vanishing denominator, an empty mask, an overflow in the model.
pub(crate) const UNDEFINED: &str = "undefined";

/// A number as it goes into a `value` column, and what goes into `status` beside it.
pub(crate) fn measured(value: f64) -> (Option<f64>, &'static str) {
    if value.is_finite() { (Some(value), OK) } else { (None, UNDEFINED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_whole_and_nothing_but_finite_numbers_stays() {
        let mut table =
            Table::builder([("layer", ColumnKind::Int), ("value", ColumnKind::Float), ("status", ColumnKind::Text)]);
        for value in [0.5, f64::NAN, f64::INFINITY] {
            table.row([3_usize.into(), value.into(), measured(value).1.into()]);
        }
        let table = table.build();
        assert_eq!(table.n_rows(), 3);
        assert!(table.columns().iter().all(|(_, column)| column.len() == 3));
        assert_eq!(table.column("value").and_then(Column::floats), Some([Some(0.5), None, None].as_slice()));
        assert_eq!(
            table.column("status").and_then(Column::text).map(|s| s.join(" ")),
            Some("ok undefined undefined".into())
        );
        assert_eq!(table.column("head"), None);
    }

    #[test]
    #[should_panic(expected = "column layer is Int")]
    fn a_value_of_the_wrong_kind_is_refused() {
        Table::builder([("layer", ColumnKind::Int)]).row([0.5.into()]);
    }
}
