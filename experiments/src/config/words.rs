//! Expectations of the TOML reader in plain words.

/// What the reader calls a type, and its plain name.
const EXPECTED: &[(&str, &str)] = &[
    ("usize", "a whole number from 0 on"),
    ("u64", "a whole number from 0 on"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u16", "a whole number from 0 to 65535"),
    ("u8", "a whole number from 0 to 255"),
    ("i64", "a whole number"),
    ("i32", "a whole number"),
    ("f64", "a number"),
    ("f32", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text in quotes"),
    ("path string", "a path in quotes"),
    ("a sequence", "a list"),
    ("a map", "a table"),
];

/// The message with its expectation in plain words.
pub(super) fn plain(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let exact = EXPECTED.iter().find(|(theirs, _)| *theirs == expected).map(|(_, ours)| *ours);
    match exact.or(expected.starts_with("struct ").then_some("a table")) {
        Some(words) => format!("{found}, expected {words}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_a_program_become_words() {
        let found = "invalid type: string \"4\", expected";
        assert_eq!(plain(&format!("{found} u32")), format!("{found} a whole number from 0 to 4294967295"));
        assert_eq!(plain(&format!("{found} struct HeadScores")), format!("{found} a table"));
        for kept in ["unknown variant `gpu`, expected `cpu`", "invalid string", "found a, expected b"] {
            assert_eq!(plain(kept), kept);
        }
    }
}
