//! A small table as people read it: in a terminal, in the page, as CSV and as JSON.
//!
//! ```
//! use pythia_report::listing::{Listing, ListingColumn};
//!
//! let listing = Listing {
//!     id: "heads".into(),
//!     title: "the highest heads".into(),
//!     note: String::new(),
//!     columns: vec![ListingColumn::text("head"), ListingColumn::number("peak")],
//!     rows: vec![vec!["L5H1".into(), "0.93".into()]],
//! };
//! assert_eq!(listing.csv(), "head,peak\nL5H1,0.93\n");
//! assert_eq!(listing.json()["rows"][0]["peak"], 0.93);
//! ```

use serde_json::Value;

use crate::words;

/// A table of texts with a title and a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// A word for files and links: lower case letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// A sentence on how to read it; may be empty.
    pub note: String,
    /// Columns in order.
    pub columns: Vec<ListingColumn>,
    /// Its rows, each with a text for every column; an empty text stands for no value.
    pub rows: Vec<Vec<String>>,
}

/// A column of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingColumn {
    /// Header of the column.
    pub name: String,
    /// Whether it holds numbers, which stand at the right.
    pub numeric: bool,
}

impl ListingColumn {
    /// A column of text.
    pub fn text(name: &str) -> Self {
        Self { name: name.into(), numeric: false }
    }

    /// A column of numbers.
    pub fn number(name: &str) -> Self {
        Self { name: name.into(), numeric: true }
    }
}

impl Listing {
    /// The columns that have a value in some row, by their numbers. An empty column takes the room of others; without
    /// any row all are kept.
    pub(crate) fn shown_columns(&self) -> Vec<usize> {
        let is_shown = |column: &usize| {
            self.rows.is_empty() || self.rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty()))
        };
        (0..self.columns.len()).filter(is_shown).collect()
    }

    /// The table for a terminal: title, aligned columns, note. Empty columns are left out.
    pub fn terminal(&self) -> String {
        let shown = self.shown_columns();
        let columns: Vec<&ListingColumn> = shown.iter().map(|column| &self.columns[*column]).collect();
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(columns.iter().map(|column| visible(&column.name)));
        for row in &self.rows {
            table.add_row(shown.iter().map(|column| row.get(*column).map_or(String::new(), |cell| visible(cell))));
        }
        for (column, layout) in columns.iter().zip(table.column_iter_mut()) {
            let right = comfy_table::CellAlignment::Right;
            layout.set_cell_alignment(if column.numeric { right } else { comfy_table::CellAlignment::Left });
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let note = if self.note.is_empty() { String::new() } else { format!("\n  {}", visible(&self.note)) };
        format!("{}\n{}{note}", visible(&self.title), lines.join("\n"))
    }

    /// The rows as CSV with a header line, by RFC 4180.
    pub fn csv(&self) -> String {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let rows = self.rows.iter().map(|row| csv_line(row.iter().map(String::as_str)));
        [csv_line(names)].into_iter().chain(rows).collect()
    }

    /// `{"id", "title", "note", "rows": [{column: text or number}]}`; a cell without a value is null.
    pub fn json(&self) -> Value {
        let number = |text: &str| -> Option<Value> {
            // Counts have their thousands apart, as people read them.
            let plain = text.replace(',', "");
            let number = plain.parse::<f64>().ok().filter(|number| number.is_finite())?;
            Some(plain.parse::<i64>().map_or_else(|_| number.into(), Value::from))
        };
        let cell = |column: &ListingColumn, text: &String| match Some(text).filter(|_| column.numeric) {
            _ if text.is_empty() => Value::Null,
            Some(numeric) => number(numeric).unwrap_or_else(|| Value::from(text.as_str())),
            None => Value::from(text.as_str()),
        };
        let row = |row: &Vec<String>| -> Value {
            let cells = self.columns.iter().zip(row);
            cells
                .map(|(column, text)| (column.name.clone(), cell(column, text)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        serde_json::json!({ "id": self.id, "title": self.title, "note": self.note, "rows": rows })
    }
}

/// A text in which characters that control a terminal or the direction of writing are replaced.
pub(crate) fn visible(text: &str) -> String {
    let steers = |c: char| c.is_control() || words::turns_text(c);
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// One line of CSV; cells with a comma, a quote or a line break stand between quotes.
pub(crate) fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = |cell: &str| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let column = |name: &str, numeric| ListingColumn { name: name.into(), numeric };
        Listing {
            id: "heads".into(),
            title: "the highest heads".into(),
            note: "A note.".into(),
            columns: vec![column("model", false), column("peak", true), column("change point", true)],
            rows: vec![
                vec!["pythia-70m".into(), "0.850".into(), "512".into()],
                vec!["a, \"b\"\u{1b}[31m".into(), "-0.5".into(), String::new()],
            ],
        }
    }

    #[test]
    fn a_terminal_shows_aligned_columns_and_obeys_no_escape() {
        insta::assert_snapshot!(listing().terminal(), @r#"
        the highest heads
         model         peak  change point
         pythia-70m   0.850           512
         a, "b"�[31m   -0.5
          A note.
        "#);
    }

    #[test]
    fn an_empty_column_is_not_shown_and_stays_in_the_data() {
        let mut listing = listing();
        listing.rows[0][2].clear();
        assert!(!listing.terminal().contains("change point") && listing.csv().starts_with("model,peak,change point"));
        listing.rows.clear();
        assert!(listing.terminal().contains("change point"));
    }

    #[test]
    fn a_terminal_shows_where_text_would_turn() {
        assert_eq!(visible("a\u{61c}b\u{200f}\u{202e}\u{2069}é"), "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}é");
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        assert_eq!(
            listing().csv(),
            "model,peak,change point\npythia-70m,0.850,512\n\"a, \
                                     \"\"b\"\"\u{1b}[31m\",-0.5,\n"
        );
    }

    #[test]
    fn json_has_numbers_where_there_are_numbers() {
        let json = listing().json();
        assert_eq!(json["rows"][0], serde_json::json!({ "model": "pythia-70m", "peak": 0.85, "change point": 512 }));
        assert_eq!(json["rows"][1]["change point"], Value::Null);
        let mut counted = listing();
        counted.rows[0][2] = "143,000".into();
        assert_eq!(counted.json()["rows"][0]["change point"], 143_000);
    }
}
