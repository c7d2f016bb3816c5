//! Definitions of types, by name.

use crate::sources::Source;

/// File and line of every definition of a type or trait called `name` outside tests. Associated types are not counted.
pub fn definitions(sources: &[Source], name: &str) -> Vec<String> {
    let of_file = |source: &Source| {
        let lines = source.before_tests().enumerate().filter(|(_, line)| defines(line, name));
        lines.map(|(at, line)| format!("{}:{}: {}", source.path, at + 1, line.trim())).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_file).collect()
}

fn defines(line: &str, name: &str) -> bool {
    let indented = line.starts_with(' ');
    let item = match line.trim_start().strip_prefix("pub") {
        // Past `(crate)` and its kin.
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, item)| item),
        Some(rest) => rest,
        None => line,
    };
    let mut words = item.split_whitespace();
    let is_type = match words.next() {
        Some("struct" | "enum" | "trait" | "union") => true,
        Some("type") => !indented,
        _ => false,
    };
    let defined = words.next().unwrap_or_default();
    is_type && defined.split(|c: char| !(c.is_alphanumeric() || c == '_')).next() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_found_and_uses_are_not() {
        let text = "struct Rows;\npub struct RowsOfSome;\n    pub(crate) enum Rows<'a> {\n    type Rows = u8;\n\
                    type Rows = u8;\nfn x(rows: Rows) {}\nimpl Rows for u8 {}\npub(in crate::a) trait Rows: Sized {\n\
                    #[cfg(test)]\nmod tests {\nstruct Rows;";
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        let found = definitions(&[source], "Rows");
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
}
