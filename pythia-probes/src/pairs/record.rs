//! One line of a file of pairs, as it was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::PairError;
use super::phrase::excerpt;

/// Characters of a reader's message that are kept: it may quote the whole line.
const LONGEST_REASON: usize = 300;

/// A pair before any of its texts is looked up in a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    #[serde(deserialize_with = "clean")]
    pub clean: Written,
    /// Left out where noise stands for it.
    #[serde(default, deserialize_with = "corrupt")]
    pub corrupt: Option<Written>,
    #[serde(deserialize_with = "answer")]
    pub answer: Written,
    #[serde(default, deserialize_with = "wrong")]
    pub wrong: Written,
    #[serde(default, deserialize_with = "positions")]
    pub positions: BTreeMap<String, Vec<i64>>,
    /// Whether the positions count a BOS in front of the prompts.
    pub positions_count_bos: Option<bool>,
}

/// Tokens as a file gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
}

impl Default for Written {
    fn default() -> Self {
        Written::Ids(Vec::new())
    }
}

impl Record {
    /// Reads a line, whose number is named where it is broken.
    pub(super) fn read(text: &str, line: usize) -> Result<Self, PairError> {
        // Serde would take a list for a struct's fields in their order.
        if !text.trim_start().starts_with('{') {
            let reason = "a pair is a JSON object, {\"clean\": …, \"corrupt\": …, \"answer\": …}".to_owned();
            return Err(PairError::Malformed { line, column: 1, reason });
        }
        let record: Self = serde_json::from_str(text).map_err(|error| malformed(&error, line))?;
        record.check_positions(line)?;
        Ok(record)
    }

    /// Refuses positions from the beginning that do not say what they count. Earlier versions counted without the BOS.
    fn check_positions(&self, line: usize) -> Result<(), PairError> {
        let mut all = self.positions.iter().flat_map(|(name, list)| list.iter().map(move |position| (name, *position)));
        match all.find(|(_, position)| *position >= 0 && self.positions_count_bos.is_none()) {
            Some((name, position)) => Err(PairError::PositionUnclear { line, name: excerpt(name), position }),
            None => Ok(()),
        }
    }
}

/// The reader's message with the place in the file, instead of one in a text of one line.
fn malformed(error: &serde_json::Error, line: usize) -> PairError {
    let (column, reason) = column_and_reason(error);
    PairError::Malformed { line, column, reason }
}

/// Where a line of JSON is broken and why, without the reader's own place, which is in a text of one line.
pub(crate) fn column_and_reason(error: &serde_json::Error) -> (usize, String) {
    let (told, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    let told = told.strip_suffix(&place).unwrap_or(&told);
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    (column, told.chars().map(printable).take(LONGEST_REASON).collect())
}

fn clean<'de, D: Deserializer<'de>>(from: D) -> Result<Written, D::Error> {
    prompt("clean", from)
}

fn corrupt<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Written>, D::Error> {
    prompt("corrupt", from).map(Some)
}

fn prompt<'de, D: Deserializer<'de>>(key: &'static str, from: D) -> Result<Written, D::Error> {
    match from.deserialize_any(Tokens { key })? {
        Written::Texts(_) => Err(D::Error::custom(format_args!("{key} is a list of texts, but a prompt is one text"))),
        written => Ok(written),
    }
}

fn answer<'de, D: Deserializer<'de>>(from: D) -> Result<Written, D::Error> {
    match from.deserialize_any(Tokens { key: "answer" })? {
        Written::Ids(ids) if ids.is_empty() => Err(D::Error::custom("answer is an empty list")),
        written => Ok(written),
    }
}

fn wrong<'de, D: Deserializer<'de>>(from: D) -> Result<Written, D::Error> {
    from.deserialize_any(Tokens { key: "wrong" })
}

fn positions<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Vec<i64>>, D::Error> {
    from.deserialize_any(Positions)
}

/// Reads a text, a list of texts, or a list of ids. An untagged enum would give one unspecific message for every
/// mistake.
struct Tokens {
    key: &'static str,
}

impl<'de> Visitor<'de> for Tokens {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text or a list of token ids for {:?}", self.key)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        let (mut texts, mut ids) = (Vec::new(), Vec::new());
        while let Some(item) = list.next_element_seed(Item { key: self.key })? {
            match item {
                Ok(text) => texts.push(text),
                Err(id) => ids.push(id),
            }
        }
        match (texts.is_empty(), ids.is_empty()) {
            (true, _) => Ok(Written::Ids(ids)),
            (false, true) => Ok(Written::Texts(texts)),
            (false, false) => Err(A::Error::custom(format_args!("{} mixes texts and token ids", self.key))),
        }
    }
}

/// Reads one member of a list: a text, or else an id.
#[derive(Clone, Copy)]
struct Item {
    key: &'static str,
}

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Result<String, u32>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Item {
    type Value = Result<String, u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token id in the list {:?}", self.key)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Ok(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Self::Value, E> {
        let small = u32::try_from(id).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(id), &self))?;
        Ok(Err(small))
    }
}

/// Reads names with their positions. A name that occurs twice is an error; a map would silently keep the second.
struct Positions;

impl<'de> Visitor<'de> for Positions {
    type Value = BTreeMap<String, Vec<i64>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names and whole numbers, or lists of them, for \"positions\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut positions = BTreeMap::new();
        while let Some((name, position)) = entries.next_entry::<String, Span>()? {
            if name.is_empty() {
                return Err(A::Error::custom("a position has an empty name"));
            }
            if positions.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the position {name:?} stands there twice")));
            }
            if position.0.is_empty() {
                return Err(A::Error::custom(format_args!("the position {name:?} is an empty list")));
            }
            positions.insert(name, position.0);
        }
        Ok(positions)
    }
}

/// A whole number, or a list of them.
struct Span(Vec<i64>);

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SpanReader)
    }
}

struct SpanReader;

impl<'de> Visitor<'de> for SpanReader {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a list of them")
    }

    fn visit_i64<E: Error>(self, position: i64) -> Result<Span, E> {
        Ok(Span(vec![position]))
    }

    fn visit_u64<E: Error>(self, position: u64) -> Result<Span, E> {
        let position = i64::try_from(position);
        let position = position.map_err(|_| E::custom("a position beyond every prompt"))?;
        Ok(Span(vec![position]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Span, A::Error> {
        let mut positions = Vec::new();
        while let Some(position) = list.next_element::<i64>()? {
            positions.push(position);
        }
        Ok(Span(positions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u32]) -> Written {
        Written::Ids(ids.to_vec())
    }

    #[test]
    fn every_form_that_is_promised_is_read() {
        let line = r#" {"answer": [" a", " b"], "clean": "x y", "corrupt": [1, 2],
                "positions": {"subject": [3, 4], "end": -1}, "positions_count_bos": true} "#;
        let record = Record::read(line, 1).expect("a well-formed line");
        assert_eq!(record.clean, Written::Text("x y".to_owned()));
        assert_eq!(record.corrupt, Some(ids(&[1, 2])));
        assert_eq!(record.answer, Written::Texts(vec![" a".to_owned(), " b".to_owned()]));
        assert_eq!(record.wrong, ids(&[]));
        let positions = [("subject".to_owned(), vec![3, 4]), ("end".to_owned(), vec![-1])];
        assert_eq!((record.positions, record.positions_count_bos), (positions.into(), Some(true)));
        let line = r#"{"clean": [], "corrupt": [4294967295], "answer": [5], "wrong": "w"}"#;
        let record = Record::read(line, 1).expect("a well-formed line");
        assert_eq!((record.clean, record.corrupt, record.answer), (ids(&[]), Some(ids(&[u32::MAX])), ids(&[5])));
        assert_eq!((record.wrong, record.positions), (Written::Text("w".to_owned()), BTreeMap::new()));
    }

    /// Column and message for a line that must be refused.
    fn refused(text: &str) -> (usize, String) {
        match Record::read(text, 7) {
            Err(PairError::Malformed { line: 7, column, reason }) => (column, reason),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_broken_line_is_refused_with_what_is_wrong_and_where() {
        let told = [
            ("", "JSON object"),
            ("[[1], [2], [3]]", "JSON object"),
            ("clean: a", "JSON object"),
            ("{", "EOF"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3]} {}"#, "trailing characters"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "comment": 1}"#, "unknown field `comment`"),
            (r#"{"clean": [1], "corrupt": [2]}"#, "missing field `answer`"),
            (r#"{"clean": [1], "clean": [1], "corrupt": [2], "answer": [3]}"#, "duplicate field `clean`"),
            (r#"{"clean": true, "corrupt": [2], "answer": [3]}"#, "boolean `true`, expected text or a list"),
            (
                r#"{"clean": [1], "corrupt": null, "answer": [3]}"#,
                "null, expected text or a list of token ids for \"corrupt\"",
            ),
            (r#"{"clean": ["a"], "corrupt": [2], "answer": [3]}"#, "clean is a list of texts"),
            (r#"{"clean": [-1], "corrupt": [2], "answer": [3]}"#, "`-1`, expected a token id in the list \"clean\""),
            (r#"{"clean": [1.5], "corrupt": [2], "answer": [3]}"#, "`1.5`, expected a token id"),
            (r#"{"clean": [4294967296], "corrupt": [2], "answer": [3]}"#, "`4294967296`, expected a token id"),
            (r#"{"clean": [1], "corrupt": [2], "answer": []}"#, "answer is an empty list"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3, " a"]}"#, "answer mixes"),
            (r#"{"clean": [1], "corrupt": [2], "answer": 3}"#, "for \"answer\""),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "wrong": {}}"#, "for \"wrong\""),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": [1]}"#, "for \"positions\""),
            (
                r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"a": 1, "a": 2}}"#,
                "\"a\" stands there twice",
            ),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"": 1}}"#, "empty name"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"a": 0.5}}"#, "`0.5`"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"a": []}}"#, "empty list"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"a": [1, "b"]}}"#, "\"b\", expected i64"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions": {"a": 9223372036854775808}}"#, "beyond"),
            (r#"{"clean": [1], "corrupt": [2], "answer": [3], "positions_count_bos": "yes"}"#, "expected a boolean"),
        ];
        for (line, reason) in told {
            let (_, found) = refused(line);
            assert!(found.contains(reason), "{line}: {found}");
            assert!(!found.contains("at line"), "{line}: {found}");
        }
        let (column, _) = refused(r#"{"clean": true, "corrupt": [2], "answer": [3]}"#);
        assert!((11..=15).contains(&column), "{column}");
    }

    #[test]
    fn positions_from_the_beginning_say_what_they_count() {
        let line = |rest: &str| Record::read(&format!(r#"{{"clean": [1], "corrupt": [2], "answer": [3], {rest}}}"#), 7);
        let unclear =
            |name: &str, position| Err(PairError::PositionUnclear { line: 7, name: name.to_owned(), position });
        assert_eq!(line(r#""positions": {"end": -1, "country": 3}"#), unclear("country", 3));
        assert_eq!(line(r#""positions": {"first": 0}"#), unclear("first", 0));
        assert_eq!(line(r#""positions": {"span": [-2, 1]}"#), unclear("span", 1));
        // From the end both readings are the same.
        assert!(line(r#""positions": {"end": -1, "span": [-3, -2]}"#).is_ok());
        for counted in ["true", "false"] {
            let text = format!(r#""positions": {{"country": 3}}, "positions_count_bos": {counted}"#);
            assert!(line(&text).is_ok(), "{counted}");
        }
        let told = line(r#""positions": {"country": 3}"#).expect_err("unclear").to_string();
        assert!(told.contains("add 1 to each") && told.contains("\"positions_count_bos\": true"), "{told}");
    }

    #[test]
    fn hostile_lines_neither_overflow_the_stack_nor_the_message() {
        let deep = format!("{{\"clean\": {}", "[".repeat(100_000));
        assert!(refused(&deep).1.contains("sequence"), "{:?}", refused(&deep));
        let long = format!("{{\"clean\": {{}}, \"{}\": 1}}", "x".repeat(100_000));
        assert!(refused(&long).1.len() <= 4 * LONGEST_REASON);
        let (_, reason) = refused(&format!("{{\"{}\\u001b[31m\": 1}}", "x".repeat(10)));
        assert!(reason.contains('\u{fffd}') && !reason.contains('\u{1b}'), "{reason:?}");
    }
}
