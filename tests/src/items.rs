//! Items of Rust source that rustfmt has formatted: where types are defined, how long functions are, how many fields
//! structs have. Tests are left out.

use crate::sources::Source;

/// An item and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Path of the file and name of the item, as `a/src/b.rs: name`.
    pub place: String,
    /// Lines of a function, fields of a struct.
    pub size: usize,
}

/// File and line of every definition of a type or trait called `name`. Associated types are not counted.
pub fn definitions(sources: &[Source], name: &str) -> Vec<String> {
    let of_file = |source: &Source| {
        let lines = source.before_tests().enumerate().filter(|(_, line)| defines_type(line, name));
        lines.map(|(at, line)| format!("{}:{}: {}", source.path, at + 1, line.trim())).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_file).collect()
}

/// Every function of a file with the number of its lines, signature and closing brace included.
pub fn functions(source: &Source) -> Vec<Item> {
    items(source, "fn", |body, _| body.len())
}

/// Every struct of a file with the number of its named fields.
pub fn structs(source: &Source) -> Vec<Item> {
    items(source, "struct", |body, indent| {
        let field = |line: &&&str| {
            let name = line.strip_prefix(indent).and_then(|line| line.strip_prefix("    ")).map(without_visibility);
            name.is_some_and(|rest| rest.split_once(':').is_some_and(|(name, _)| is_identifier(name)))
        };
        body.iter().skip(1).filter(field).count()
    })
}

fn items(source: &Source, keyword: &str, size: impl Fn(&[&str], &str) -> usize) -> Vec<Item> {
    let lines: Vec<&str> = source.before_tests().collect();
    let of_line = |(at, line): (usize, &&str)| {
        let name = keyword_and_name(line).filter(|(found, _)| *found == keyword)?.1;
        let indent = &line[..line.len() - line.trim_start().len()];
        let body = &lines[at..=at + last_line(&lines[at..], indent)];
        Some(Item { place: format!("{}: {name}", source.path), size: size(body, indent) })
    };
    lines.iter().enumerate().filter_map(of_line).collect()
}

/// The index of the line that ends the item of the first line: its closing brace, or the semicolon where it has none.
fn last_line(lines: &[&str], indent: &str) -> usize {
    let ends = |(at, line): (usize, &&str)| {
        let rest = line.strip_prefix(indent).unwrap_or_default();
        // A signature of several lines that has no body, as in a trait, ends with `);` or `) -> u8;`.
        let bodiless = rest.starts_with(')') && rest.ends_with(';');
        if at == 0 { rest.ends_with([';', '}']) } else { rest.starts_with('}') || bodiless }
    };
    lines.iter().enumerate().position(ends).unwrap_or(lines.len() - 1)
}

fn defines_type(line: &str, name: &str) -> bool {
    let is_type = |keyword: &str| match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    keyword_and_name(line).is_some_and(|(keyword, found)| is_type(keyword) && found == name)
}

/// The keyword and the name of the item that begins on this line: (`fn`, `len`) of `pub const fn len(&self)`.
fn keyword_and_name(line: &str) -> Option<(&str, &str)> {
    let item = without_visibility(line.trim_start());
    let mut words = item.split_whitespace().skip_while(|word| ["const", "async", "unsafe"].contains(word));
    let (keyword, rest) = (words.next()?, words.next()?);
    let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    Some((keyword, name))
}

fn without_visibility(item: &str) -> &str {
    match item.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or("", |(_, item)| item),
        Some(rest) if rest.starts_with(' ') => rest.trim_start(),
        _ => item,
    }
}

fn is_identifier(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "a.rs".to_owned(), text: text.to_owned() }
    }

    fn sizes(items: Vec<Item>) -> Vec<(String, usize)> {
        items.into_iter().map(|item| (item.place.trim_start_matches("a.rs: ").to_owned(), item.size)).collect()
    }

    #[test]
    fn definitions_are_found_and_uses_are_not() {
        let text = "struct Rows;\npub struct RowsOfSome;\n    pub(crate) enum Rows<'a> {\n    type Rows = u8;\n\
                    type Rows = u8;\nfn x(rows: Rows) {}\nimpl Rows for u8 {}\npub(in crate::a) trait Rows: Sized {\n\
                    #[cfg(test)]\nmod tests {\nstruct Rows;";
        let found = definitions(&[source(text)], "Rows");
        assert_eq!(
            found,
            [
                "a.rs:1: struct Rows;",
                "a.rs:3: pub(crate) enum Rows<'a> {",
                "a.rs:5: type Rows = u8;",
                "a.rs:8: pub(in crate::a) trait Rows: Sized {"
            ]
        );
    }

    #[test]
    fn functions_are_counted_from_their_signature_to_their_brace() {
        let text = r"
pub(crate) const fn one() -> u8 { 1 }
impl A {
    fn five(&self) {
        let x = || {
            1
        };
    }
    fn three(
        a: u8,
    ) -> u8;
    async fn two() {
    }
}
const NONE: u8 = 1;
// fn in a comment
#[cfg(test)]
mod tests {
    fn test() {}
";
        let expected = [("one", 1), ("five", 5), ("three", 3), ("two", 2)];
        assert_eq!(sizes(functions(&source(text))), expected.map(|(name, size)| (name.to_owned(), size)));
    }

    #[test]
    fn fields_are_counted_and_their_documentation_is_not() {
        let text = r"
struct Unit;
pub struct Pair(u8, u8);
pub struct Two<'a> {
    /// One: with a colon.
    pub(crate) a: &'a str,
    #[serde(default)]
    b: Vec<(u8, u8)>,
}
struct Empty {}
";
        let expected = [("Unit", 0), ("Pair", 0), ("Two", 2), ("Empty", 0)];
        assert_eq!(sizes(structs(&source(text))), expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
