//! SQL over the tables of a folder, by Polars.
//!
//! ```no_run
//! use pythia_report::{query, results::Results};
//!
//! let results = Results::open("out/demo".as_ref())?;
//! let heads = query::query(&results, "SELECT layer, head, MAX(value) AS peak FROM head_scores GROUP BY layer, head")?;
//! println!("{}", query::listing(&heads, 10).terminal());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod statement;

use polars::error::PolarsError;
use polars::prelude::{AnyValue, CsvWriter, DataFrame, JsonFormat, JsonWriter, LazyFrame, ParquetWriter, SerWriter};
use polars::sql::SQLContext;

use crate::listing::{Listing, ListingColumn, visible};
use crate::results::{DamagedPart, NamesDamage, Results, ResultsError, Table, guarded};

pub use statement::READING;

/// What is wrong with a query, as far as what Polars says can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It is no SQL.
    Syntax,
    /// It names a column that is not there; `tables` are the tables that it names, or else all, with their columns.
    Column {
        /// Names of tables, and of their columns.
        tables: Vec<(String, Vec<String>)>,
    },
    /// It names a table that is not there.
    Table,
    /// Anything else.
    Other,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A table cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A statement that would change tables, or none that is known.
    #[error("query only reads: `{word}` begins no statement that reads")]
    Writes {
        /// The first word of the statement, in capitals.
        word: String,
    },
    /// More than one statement.
    #[error("a query is one statement, found {found}")]
    Several {
        /// How many there are.
        found: usize,
    },
    /// Nothing but spaces and comments.
    #[error("the query is empty")]
    Empty,
    /// The query is wrong, or cannot be computed.
    #[error("{problem}")]
    Sql {
        /// What Polars said.
        problem: String,
        /// What the user did.
        mistake: Mistake,
        /// The tables that can be queried.
        tables: Vec<String>,
    },
    /// The answer cannot be written in that form.
    #[error("the answer cannot be written: {problem}")]
    Encode {
        /// What Polars said.
        problem: String,
    },
}

impl NamesDamage for QueryError {
    fn damaged(&self) -> &[DamagedPart] {
        if let Self::Results(error) = self { error.damaged() } else { &[] }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// An array of objects.
    Json,
}

/// The answer to a query in SQL, in which every table of the folder has its own name.
///
/// # Errors
/// What is not one statement that reads; [`QueryError::Sql`] with what is wrong and which tables there are;
/// [`QueryError::Results`] with the damaged parts.
pub fn query(results: &Results, sql: &str) -> Result<DataFrame, QueryError> {
    statement::check(sql)?;
    let mut context = SQLContext::new();
    let mut frames = Vec::new();
    for table in results.tables.values().chain(&results.checkpoints) {
        let frame = table.frame()?;
        context.register(&table.name, frame.clone());
        frames.push((table.name.as_str(), frame));
    }
    let answer = guarded(|| context.execute(sql).and_then(|frame| frame.collect()));
    let mut mistake = Mistake::Other;
    let problem = match answer {
        Ok(Ok(frame)) => return Ok(frame),
        Ok(Err(error)) if is_of_the_query(&error) => {
            mistake = mistake_of(&error, sql, &frames);
            error.to_string()
        }
        other => {
            // Rows that cannot be decoded make errors and panics that do not name their file.
            let parts: Vec<DamagedPart> =
                results.tables.values().chain(&results.checkpoints).flat_map(Table::damage).collect();
            if !parts.is_empty() {
                return Err(ResultsError::Damaged { parts }.into());
            }
            match other {
                Ok(answer) => answer.err().map_or_else(String::new, |error| {
                    mistake = mistake_of(&error, sql, &frames);
                    error.to_string()
                }),
                // Polars panics where a query needs a type that this program was built without, such as dates.
                Err(panic) => format!("this query cannot be computed: {panic}"),
            }
        }
    };
    let tables = frames.iter().map(|(name, _)| visible(name)).collect();
    Err(QueryError::Sql { problem, mistake, tables })
}

/// What the user did, from an error of Polars, which tells apart by words what its types do not.
fn mistake_of(error: &PolarsError, sql: &str, frames: &[(&str, LazyFrame)]) -> Mistake {
    let text = error.to_string();
    let has = |words: &str| text.contains(words);
    match error {
        PolarsError::ColumnNotFound(_) | PolarsError::SchemaFieldNotFound(_) => columns(sql, frames),
        _ if has("no column named") || has("unable to find column") => columns(sql, frames),
        PolarsError::SQLSyntax(_) => Mistake::Syntax,
        _ if has("sql parser error") => Mistake::Syntax,
        _ if has("relation '") || has("no table or alias") => Mistake::Table,
        _ => Mistake::Other,
    }
}

/// The columns of the tables that the query names.
fn columns(sql: &str, frames: &[(&str, LazyFrame)]) -> Mistake {
    let of = |(name, frame): &(&str, LazyFrame)| {
        let schema = guarded(|| frame.clone().collect_schema()).ok()?.ok()?;
        Some((visible(name), schema.iter_names().map(|column| visible(column)).collect()))
    };
    let named: Vec<_> = frames.iter().filter(|(name, _)| statement::names(sql, name)).filter_map(of).collect();
    Mistake::Column { tables: if named.is_empty() { frames.iter().filter_map(of).collect() } else { named } }
}

/// Whether an error is one of the query's words, so that no rows were read.
fn is_of_the_query(error: &PolarsError) -> bool {
    matches!(
        error,
        PolarsError::ColumnNotFound(_)
            | PolarsError::Duplicate(_)
            | PolarsError::SchemaFieldNotFound(_)
            | PolarsError::SQLInterface(_)
            | PolarsError::SQLSyntax(_)
    )
}

/// The answer as a file's bytes.
///
/// # Errors
/// [`QueryError::Encode`], for example of nested columns as CSV.
pub fn encode(frame: &DataFrame, format: Format) -> Result<Vec<u8>, QueryError> {
    let (mut bytes, mut frame) = (Vec::new(), frame.clone());
    let written = match format {
        Format::Parquet => ParquetWriter::new(&mut bytes).finish(&mut frame).map(|_| ()),
        Format::Csv => CsvWriter::new(&mut bytes).finish(&mut frame),
        Format::Json => JsonWriter::new(&mut bytes).with_json_format(JsonFormat::Json).finish(&mut frame),
    };
    written.map(|()| bytes).map_err(|error| QueryError::Encode { problem: error.to_string() })
}

/// The first rows of an answer for a terminal, and how many there are in all.
pub fn listing(frame: &DataFrame, most: usize) -> Listing {
    let columns = frame.columns();
    let named = columns.iter().map(|column| ListingColumn {
        name: column.name().to_string(),
        numeric: column.dtype().is_primitive_numeric(),
    });
    let cell = |value: AnyValue<'_>| match &value {
        AnyValue::Null => String::new(),
        AnyValue::Float64(number) => crate::words::float(*number),
        AnyValue::Float32(number) => crate::words::float(f64::from(*number)),
        other => other.get_str().map_or_else(|| other.to_string(), str::to_owned),
    };
    let shown = frame.height().min(most);
    let row = |row| columns.iter().map(|column| column.get(row).map(cell).unwrap_or_default()).collect();
    let hidden = frame.height() - shown;
    let title = match hidden {
        0 => crate::words::plural(shown, "row"),
        _ => format!("{} of {}", shown, crate::words::plural(frame.height(), "row")),
    };
    Listing {
        id: "answer".into(),
        title,
        note: String::new(),
        columns: named.collect(),
        rows: (0..shown).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, head_scores};

    fn results(scratch: &Scratch) -> Results {
        head_scores(&scratch.0, "m", (3, 4), &[0, 1, 2, 4, 8, 16, 32, 64, 128]);
        Results::open(&scratch.0).expect("results")
    }

    #[test]
    fn sql_finds_the_first_crossing() {
        let scratch = Scratch::new("query");
        let sql = "SELECT layer, head, MIN(step) AS first_step, MAX(value) AS peak FROM head_scores WHERE value >= 0.5 \
                   GROUP BY layer, head";
        let answer = query(&results(&scratch), sql).expect("an answer");
        let listing = listing(&answer, 10);
        assert_eq!(
            (listing.title.as_str(), listing.rows),
            ("1 row", vec![vec!["2".to_owned(), "3".into(), "64".into(), "0.9".into()]])
        );
        let text = String::from_utf8(encode(&answer, Format::Csv).expect("csv")).expect("text");
        assert_eq!(text, "layer,head,first_step,peak\n2,3,64,0.9\n");
        let text = String::from_utf8(encode(&answer, Format::Json).expect("json")).expect("text");
        assert_eq!(text, r#"[{"layer":2,"head":3,"first_step":64,"peak":0.9}]"#);
        assert_eq!(&encode(&answer, Format::Parquet).expect("parquet")[..4], b"PAR1");
    }

    #[test]
    fn what_polars_panics_at_is_an_error() {
        let scratch = Scratch::new("query-panic");
        let path = scratch.0.join("dates.csv");
        std::fs::write(&path, "a,b\n2020-01-01,1\n").expect("write");
        // Whether it can or cannot be computed depends on how Polars was built; it must not end the program.
        let _ = query(&results(&scratch), &format!("SELECT CAST(b AS DATE) FROM read_csv('{}')", path.display()));
    }

    #[test]
    fn a_wrong_query_says_what_is_wrong_and_which_names_there_are() {
        let scratch = Scratch::new("query-wrong");
        let results = results(&scratch);
        let wrong = |sql: &str| match query(&results, sql) {
            Err(QueryError::Sql { mistake, tables, .. }) => {
                assert_eq!(tables, ["head_scores"], "{sql}");
                mistake
            }
            other => panic!("{sql}: {other:?}"),
        };
        assert_eq!(wrong("SELECT * FROM heads"), Mistake::Table);
        assert_eq!(wrong("SELECT * FROM head_scores WHERE"), Mistake::Syntax);
        assert_eq!(wrong("SELECT layer head value FROM head_scores"), Mistake::Syntax);
        for sql in ["SELECT haed FROM head_scores", "SELECT head_scores.haed FROM head_scores"] {
            let Mistake::Column { tables } = wrong(sql) else { panic!("{sql}") };
            assert!(tables[0].0 == "head_scores" && tables[0].1.iter().any(|column| column == "head"), "{tables:?}");
        }
    }

    #[test]
    fn a_query_changes_nothing() {
        let scratch = Scratch::new("query-writes");
        let results = results(&scratch);
        for sql in ["DROP TABLE head_scores", "DELETE FROM head_scores", "CREATE TABLE a AS SELECT 1"] {
            assert!(matches!(query(&results, sql), Err(QueryError::Writes { .. })), "{sql}");
        }
    }
}
