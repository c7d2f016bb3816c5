//! Replacements of parts of a TOML text that leave the rest as it is.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

/// An entry `key = value` in its old spelling.
#[derive(Clone, Debug)]
pub(super) struct OldEntry {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// The table that the entry moves into, where it moves.
    pub(super) within: Option<&'static str>,
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl OldEntry {
    /// The dotted path of the new key.
    pub(super) fn path(&self) -> String {
        self.within.map_or(self.new.to_owned(), |table| format!("{table}.{}", self.new))
    }
}

/// How a table is written that entries move into.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// `name = { … }`: entries are put at `at`, behind one that is there where `follows`.
    Inline { at: usize, follows: bool },
    /// `[probe.name]`: entries get lines of their own at `at`.
    Header { at: usize },
    /// `name.key = …`: entries get the name in front where they are.
    Dotted,
}

impl Target {
    /// That of the key and value of a table, which is a table.
    pub(super) fn of(text: &str, key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Self {
        let entries = value.get_ref().as_table().into_iter().flat_map(|table| table.iter());
        let last = entries.map(|(_, value)| value.span().end).max();
        if text[key.end..].trim_start_matches([' ', '\t']).starts_with('=') {
            return Self::Inline { at: last.unwrap_or(value.span().start + 1), follows: last.is_some() };
        }
        let line = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
        if text[line..].trim_start().starts_with('[') {
            let end = last.unwrap_or(key.end);
            let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
            return Self::Header { at: text[..line_end].trim_end_matches('\r').len() };
        }
        Self::Dotted
    }
}

/// Replacements by the range of bytes that they take. Ranges overlap only where nothing takes their place.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts `new` in the place of these bytes.
    pub(super) fn replace(&mut self, range: Range<usize>, new: impl Into<String>) {
        self.0.push((range, new.into()));
    }

    /// The text with all replacements made.
    pub(super) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for (range, new) in self.0 {
            out.push_str(&text[done..range.start.max(done)]);
            out.push_str(&new);
            done = range.end.max(done);
        }
        out.push_str(&text[done..]);
        out
    }

    /// Gathers the entries of one table into an inline table `name`, which takes the place of the first of them.
    pub(super) fn gather(&mut self, text: &str, entries: &[OldEntry], name: &str, inline: bool) {
        let Some((first, others)) = entries.split_first() else { return };
        let fields: Vec<String> =
            entries.iter().map(|entry| format!("{} = {}", entry.new, &text[entry.value.clone()])).collect();
        self.replace(first.key.start..first.value.end, format!("{name} = {{ {} }}", fields.join(", ")));
        if inline {
            others.iter().for_each(|entry| self.remove_field(text, entry));
        } else if !others.is_empty() {
            self.remove_lines(text, first, others);
        }
    }

    /// Moves entries into a table that is there; their comments stay.
    pub(super) fn merge(&mut self, text: &str, entries: &[OldEntry], target: Target, inline: bool) {
        for (index, entry) in entries.iter().enumerate() {
            let field = format!("{} = {}", entry.new, &text[entry.value.clone()]);
            match target {
                Target::Dotted => {
                    self.replace(entry.key.clone(), entry.path());
                    continue;
                }
                Target::Inline { at, follows } if follows || index > 0 => self.replace(at..at, format!(", {field}")),
                Target::Inline { at, .. } => self.replace(at..at, format!(" {field}")),
                Target::Header { at } => self.replace(at..at, format!("{}{field}", line_break(text))),
            }
            if inline { self.remove_field(text, entry) } else { self.remove_line(text, entry) }
        }
    }

    /// Removes an entry below a header, and its line where nothing else is on it.
    fn remove_line(&mut self, text: &str, entry: &OldEntry) {
        let lines = Lines::of(text, entry);
        let alone = lines.comment(text).is_empty();
        self.replace(if alone { lines.start..lines.end } else { lines.key..lines.value_end }, "");
    }

    /// Removes an entry of an inline table together with one comma.
    fn remove_field(&mut self, text: &str, entry: &OldEntry) {
        let before = text[..entry.key.start].trim_end_matches([' ', '\t']);
        // A comma on the same line is no part of a comment, or the key would be one too.
        // It may be gone with the entry before this one.
        let is_gone = |at: usize| self.0.iter().any(|(range, _)| range.contains(&at));
        if let Some(before) = before.strip_suffix(',').filter(|before| !is_gone(before.len())) {
            return self.replace(before.len()..entry.value.end, "");
        }
        let after = text[entry.value.end..].trim_start_matches([' ', '\t']);
        let after = after.strip_prefix(',').unwrap_or(after);
        self.replace(entry.key.start..text.len() - after.len(), "");
    }

    /// Removes the lines of the entries after the first. All their comments, and that on the line of the first, are put
    /// above the first, where they are still near what they explain.
    fn remove_lines(&mut self, text: &str, first: &OldEntry, others: &[OldEntry]) {
        let place = Lines::of(text, first);
        let mut comments = place.comment(text);
        for lines in others.iter().map(|entry| Lines::of(text, entry)) {
            let above = comments_above(text, lines.start);
            comments += &text[above..lines.start];
            comments += &lines.comment(text);
            self.replace(above..lines.end, "");
        }
        self.replace(place.start..place.start, comments);
        self.replace(first.value.end..place.content_end, "");
    }
}

/// The lines of an entry below a header. TOML allows nothing else on them but a comment at their end.
#[derive(Debug)]
struct Lines {
    start: usize,
    key: usize,
    value_end: usize,
    /// Where the last line's text ends, the comment included and the line break not.
    content_end: usize,
    end: usize,
}

impl Lines {
    fn of(text: &str, entry: &OldEntry) -> Self {
        let start = text[..entry.key.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[entry.value.end..].find('\n').map_or(text.len(), |at| entry.value.end + at + 1);
        let content_end = text[..end].trim_end_matches(['\n', '\r']).len();
        Self { start, key: entry.key.start, value_end: entry.value.end, content_end, end }
    }

    /// The comment at the end as a line of its own, indented as the entry is; empty where there is none.
    fn comment(&self, text: &str) -> String {
        let comment = text[self.value_end..self.content_end].trim();
        let indent = &text[self.start..self.key];
        if comment.is_empty() { String::new() } else { format!("{indent}{comment}{}", line_break(text)) }
    }
}

fn line_break(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Where the block of comments begins that ends right above the line at `start`; `start` itself where there is none.
fn comments_above(text: &str, start: usize) -> usize {
    let mut block = start;
    for line in text[..start].split_inclusive('\n').rev() {
        // The last line of a text of several lines may begin with `#`, but it ends the quotes.
        let ends_quotes = line.contains("\"\"\"") || line.contains("'''");
        if ends_quotes || !line.trim_start().starts_with('#') {
            break;
        }
        block -= line.len();
    }
    block
}
