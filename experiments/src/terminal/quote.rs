//! Text put into code that is printed to be run elsewhere: shell commands, Python, patterns of file names, SQL.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;

/// A word of a shell command: POSIX shells read it back as exactly these bytes.
///
/// Control characters other than a line break, and bytes that are no text, are written as numbers, so that the printed
/// line neither steers a terminal nor loses a byte.
pub(crate) fn shell(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=+:,@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.as_ref().to_string_lossy().into_owned();
    }
    let mut out = String::from("'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => out.push_str("'\\''"),
                '\n' => out.push('\n'),
                c if c.is_control() => push_bytes(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        push_bytes(&mut out, chunk.invalid());
    }
    out.push('\'');
    out
}

/// Bytes as a command that prints them, between two quoted stretches.
fn push_bytes(out: &mut String, bytes: &[u8]) {
    if !bytes.is_empty() {
        let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
        // Writing to a string cannot fail.
        let _ = write!(out, "'\"$(printf '{octal}')\"'");
    }
}

/// A Python string literal. Bytes of a path that are no text become the surrogates by which Python stands for them.
pub(crate) fn python(text: impl AsRef<OsStr>) -> String {
    let mut out = String::from("\"");
    for chunk in text.as_ref().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\udc{byte:02x}")));
    }
    out.push('"');
    out
}

/// The call of Polars that reads the files below a folder that match a pattern. In the folder's own name no character
/// is one of a pattern.
pub(crate) fn scan_parquet(folder: &Path, pattern: &str) -> String {
    let mut path = glob(folder);
    path.push(format!("/{pattern}"));
    format!("pl.scan_parquet({}).collect()", python(path))
}

/// A path as a pattern that matches this path alone.
fn glob(path: &Path) -> std::ffi::OsString {
    // Polars takes a leading tilde for the home folder.
    let path =
        if path.as_os_str().as_encoded_bytes().starts_with(b"~") { Path::new(".").join(path) } else { path.into() };
    let Some(text) = path.to_str() else { return path.into_os_string() };
    let escaped: String = text.chars().map(|c| if "*?[]".contains(c) { format!("[{c}]") } else { c.into() }).collect();
    escaped.into()
}

/// The name of a table in SQL: in quotes where it is not a plain word.
pub(crate) fn sql_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    /// Names that mean something to a shell, to Python, to a pattern or to a terminal.
    const NAMES: [&[u8]; 16] = [
        b"plain-1.0_x",
        b"",
        b"two words",
        b"o*",
        b"run[1]",
        b"a?b",
        b"it's",
        b"say \"so\"",
        b"$HOME `id` $(id)",
        b"~/x",
        b"back\\slash\\",
        b"line\nbreak",
        b"\x1b[31mred\ttab\r",
        "über-模型".as_bytes(),
        b"not \xff text\xfe",
        b"!history; rm -rf {a,b} <in >out & #x",
    ];

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for name in NAMES {
            let quoted = shell(OsStr::from_bytes(name));
            let script = format!("printf %s {quoted}");
            let output = Command::new("sh").arg("-c").arg(&script).env("HOME", "/nowhere").output().expect("a shell");
            assert_eq!(output.stdout, name, "{script}");
            assert!(!quoted.contains('\x1b'), "{quoted:?}");
        }
        assert_eq!((shell("out/demo"), shell("it's")), ("out/demo".to_owned(), "'it'\\''s'".to_owned()));
    }

    #[test]
    #[ignore = "needs PYTHIA_PYTHON: a Python interpreter"]
    fn python_reads_back_what_was_quoted() {
        let interpreter = std::env::var_os("PYTHIA_PYTHON").expect("PYTHIA_PYTHON names a Python interpreter");
        for name in NAMES {
            let script =
                format!("import os, sys; sys.stdout.buffer.write(os.fsencode({}))", python(OsStr::from_bytes(name)));
            let output =
                Command::new(&interpreter).arg("-c").arg(&script).env("PYTHONUTF8", "1").output().expect("Python");
            assert_eq!(output.stdout, name, "{script}");
        }
    }

    #[test]
    fn python_strings_escape_what_would_end_or_change_them() {
        assert_eq!(python("a\"b\\n\n\t"), r#""a\"b\\n\n\x09""#);
        assert_eq!(python(OsStr::from_bytes(b"\xff")), r#""\udcff""#);
    }

    #[test]
    fn a_pattern_matches_its_own_folder_alone() {
        let call = |folder: &str| scan_parquet(folder.as_ref(), "**/*.parquet");
        assert_eq!(call("out/x"), "pl.scan_parquet(\"out/x/**/*.parquet\").collect()");
        assert_eq!(call("o*"), "pl.scan_parquet(\"o[*]/**/*.parquet\").collect()");
        assert_eq!(call("a [1] \"?\""), "pl.scan_parquet(\"a [[]1[]] \\\"[?]\\\"/**/*.parquet\").collect()");
        assert_eq!(call("~"), "pl.scan_parquet(\"./~/**/*.parquet\").collect()");
    }

    #[test]
    fn names_that_sql_would_misread_are_quoted() {
        let names = ["head_scores", "my-probe", "2x", "a\"b"].map(sql_name);
        assert_eq!(names, ["head_scores", "\"my-probe\"", "\"2x\"", "\"a\"\"b\""]);
    }
}
