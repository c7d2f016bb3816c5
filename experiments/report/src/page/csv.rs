//! The first lines of a CSV text (RFC 4180): what a reader sees of a figure's data in the page.

/// How much of a table is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Rows below the header.
    pub rows: usize,
    /// Columns, from the left.
    pub columns: usize,
    /// Characters of a field; a longer one ends in an ellipsis.
    pub characters: usize,
}

/// The beginning of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Names of the columns that are shown.
    pub names: Vec<String>,
    /// Rows that are shown, each with as many fields as the text has, up to the window.
    pub rows: Vec<Vec<String>>,
    /// Columns of the header, shown or not.
    pub all_columns: usize,
    /// Rows below the header, shown or not.
    pub all_rows: usize,
}

impl Head {
    /// Reads as much of `csv` as is shown, and counts the rest. Any text is a table of some kind, so this cannot fail.
    pub(crate) fn of(csv: &str, window: Window) -> Self {
        let mut records = Records { rest: csv };
        let header = records.next().unwrap_or_default();
        let mut shown: Vec<Vec<String>> = Vec::new();
        let mut all_rows = 0;
        for record in records {
            all_rows += 1;
            if all_rows <= window.rows {
                shown.push(visible(&record, window));
            }
        }
        Self { names: visible(&header, window), rows: shown, all_columns: header.len(), all_rows }
    }

    /// Whether every field that is shown in a column is a number or empty, and one at least is a number.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        let mut fields =
            self.rows.iter().filter_map(|row| row.get(column)).filter(|field| !field.is_empty()).peekable();
        fields.peek().is_some() && fields.all(|field| field.parse::<f64>().is_ok())
    }
}

/// The fields of a record that are shown, without their quotes, each cut to its length.
fn visible(record: &[&str], window: Window) -> Vec<String> {
    record.iter().take(window.columns).map(|field| cut(field, window.characters)).collect()
}

fn cut(field: &str, characters: usize) -> String {
    // Undoing the doubled quotes never makes a field longer, so a bounded piece of it is enough.
    let end = field.char_indices().nth(2 * characters + 4).map_or(field.len(), |(end, _)| end);
    let quoted = field.strip_prefix('"');
    let piece = &field[usize::from(quoted.is_some())..end];
    let piece = if quoted.is_some() && end == field.len() { piece.strip_suffix('"').unwrap_or(piece) } else { piece };
    let whole = if quoted.is_some() { piece.replace("\"\"", "\"") } else { piece.to_owned() };
    match whole.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Records of a CSV text, each as its fields with their quotes. A line end inside quotes is part of a field.
struct Records<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Records<'a> {
    type Item = Vec<&'a str>;

    fn next(&mut self) -> Option<Vec<&'a str>> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut fields, mut begin, mut quoted) = (Vec::new(), 0, false);
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    fields.push(&self.rest[begin..at]);
                    begin = at + 1;
                }
                b'\n' if !quoted => {
                    fields.push(self.rest[begin..at].trim_end_matches('\r'));
                    self.rest = &self.rest[at + 1..];
                    return Some(fields);
                }
                _ => {}
            }
        }
        fields.push(&self.rest[begin..]);
        self.rest = "";
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { rows: 2, columns: 3, characters: 5 };

    fn head(csv: &str) -> Head {
        Head::of(csv, WINDOW)
    }

    #[test]
    fn shows_the_first_rows_and_counts_the_rest() {
        let head = head("step,score\n0,0.5\n1,\n2,nan\n");
        assert_eq!(head.names, ["step", "score"]);
        assert_eq!(head.rows, [vec!["0", "0.5"], vec!["1", ""]]);
        assert_eq!((head.all_columns, head.all_rows), (2, 3));
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        let head = head("a,b\r\n\"x,\"\"y\",\"1\n2\"\r\n\"\",z");
        assert_eq!(head.rows, [vec!["x,\"y", "1\n2"], vec!["", "z"]]);
        assert_eq!(head.all_rows, 2);
    }

    #[test]
    fn long_fields_and_wide_tables_are_cut() {
        let head = head("a,b,c,d\n12345,123456,\"é\"\"éééé\",4\n");
        assert_eq!(head.names, ["a", "b", "c"]);
        assert_eq!(head.rows, [vec!["12345", "12345…", "é\"ééé…"]]);
        assert_eq!(head.all_columns, 4);
    }

    #[test]
    fn any_text_is_read() {
        for csv in ["", "\n", "\"", "a,\"b\nc", "\"\"\"", ",", "a\n\n\"é"] {
            let _ = head(csv);
        }
        assert_eq!(head("").all_rows, 0);
        assert_eq!(head("a\n\"b").rows, [vec!["b"]], "a quote that nobody closes");
    }

    #[test]
    fn columns_of_numbers_are_known() {
        let head = head("a,b,c\n1e-3,x,\n,2,\n");
        assert_eq!([0, 1, 2].map(|column| head.is_numeric(column)), [true, false, false]);
    }
}
