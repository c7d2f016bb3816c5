//! Texts and paths as literals of Python and of Rust, and as patterns of Polars.

use crate::words::turns_text;

/// A text as a literal of Python.
///
/// ```
/// use pythia_report::quote::python;
///
/// assert_eq!(python("a \"b\"\\\n"), r#""a \"b\"\\\n""#);
/// ```
pub fn python(text: &str) -> String {
    literal(text, |c| {
        if u32::from(c) > 0xffff { format!("\\U{:08x}", u32::from(c)) } else { format!("\\u{:04x}", u32::from(c)) }
    })
}

/// A text as a literal of Rust.
pub(crate) fn rust(text: &str) -> String {
    literal(text, |c| c.escape_unicode().to_string())
}

/// A path as it stands in a pattern of Polars, which then finds that path and no other.
///
/// ```
/// assert_eq!(pythia_report::quote::glob("a[1]*"), "a[[]1[]][*]");
/// ```
pub fn glob(path: &str) -> String {
    path.chars().map(|c| if matches!(c, '[' | ']' | '*' | '?') { format!("[{c}]") } else { c.to_string() }).collect()
}

/// A text between quotes; what cannot be seen is escaped.
fn literal(text: &str, escape: impl Fn(char) -> String) -> String {
    let character = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() || turns_text(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => escape(c),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(character).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_or_changes_a_literal_is_escaped() {
        assert_eq!(python("a\"b\\c d[*]\né"), r#""a\"b\\c d[*]\né""#);
        assert_eq!(python("\0\u{8}\u{202e}\u{1d173}"), "\"\\u0000\\u0008\\u202e\u{1d173}\"");
        assert_eq!(rust("\0\u{8}\u{202e}\"\n"), r#""\u{0}\u{8}\u{202e}\"\n""#);
    }

    #[test]
    fn a_path_is_no_pattern() {
        assert_eq!(glob("out/a b[1]?/*"), "out/a b[[]1[]][?]/[*]");
    }
}
