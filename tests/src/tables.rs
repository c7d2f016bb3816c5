//! Results as a reader of Parquet sees them.

use std::path::Path;

use polars::prelude::*;

use crate::suite;

/// The table in one folder of results: every part of it, one after another, which must all have one schema.
pub fn read(out: &Path, folder: &str) -> DataFrame {
    let parts = suite::parts(&out.join("results").join(folder)).into_iter().map(|path| file(&path));
    let join = |whole: DataFrame, part: DataFrame| whole.vstack(&part).expect("the parts share a schema");
    parts.reduce(join).unwrap_or_else(|| panic!("{folder} has no results"))
}

/// The table in one file.
pub fn file(path: &Path) -> DataFrame {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    ParquetReader::new(file).finish().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the columns, in order.
pub fn names(table: &DataFrame) -> Vec<String> {
    table.get_column_names().into_iter().map(|name| name.to_string()).collect()
}

/// The names of the float columns.
pub fn numbers(table: &DataFrame) -> Vec<String> {
    let is_float = |name: &String| column(table, name).dtype() == &DataType::Float64;
    names(table).into_iter().filter(is_float).collect()
}

fn column<'a>(table: &'a DataFrame, name: &str) -> &'a Column {
    table.column(name).unwrap_or_else(|_| panic!("no column {name} among {:?}", names(table)))
}

/// The numbers of a column.
pub fn floats(table: &DataFrame, name: &str) -> Vec<Option<f64>> {
    column(table, name).f64().expect("a column of numbers").iter().collect()
}

/// The values of a column of text or whole numbers as text; empty where there is none.
pub fn texts(table: &DataFrame, name: &str) -> Vec<String> {
    let column = column(table, name);
    match column.dtype() {
        DataType::Int64 => {
            let text = |number: Option<i64>| number.map_or(String::new(), |number| number.to_string());
            column.i64().expect("whole numbers").iter().map(text).collect()
        }
        _ => {
            let text = |word: Option<&str>| word.unwrap_or_default().to_owned();
            column.str().expect("a column of text").iter().map(text).collect()
        }
    }
}

/// The rows in which these columns have these words; there must be some.
pub fn rows(table: &DataFrame, wanted: &[(&str, &str)]) -> Vec<usize> {
    let columns: Vec<(Vec<String>, &str)> = wanted.iter().map(|(name, word)| (texts(table, name), *word)).collect();
    let fits = |row: &usize| columns.iter().all(|(found, word)| found[*row] == *word);
    let rows: Vec<usize> = (0..table.height()).filter(fits).collect();
    assert!(!rows.is_empty(), "no row has {wanted:?}");
    rows
}

/// The number in a column of the one row with these words.
pub fn value(table: &DataFrame, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let rows = rows(table, wanted);
    assert_eq!(rows.len(), 1, "rows with {wanted:?}");
    floats(table, name)[rows[0]].unwrap_or_else(|| panic!("{name} is null at {wanted:?}"))
}
