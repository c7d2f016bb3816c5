//! What a text of SQL asks for, seen by its words: Polars would also run statements that change its tables.

use std::iter::Peekable;
use std::str::Chars;

use super::QueryError;

/// The words that begin a statement that only reads.
pub const READING: [&str; 8] = ["SELECT", "WITH", "EXPLAIN", "SHOW", "DESCRIBE", "VALUES", "TABLE", "FROM"];

/// Words between EXPLAIN and the statement that is explained.
const EXPLAINING: [&str; 3] = ["EXPLAIN", "ANALYZE", "VERBOSE"];

/// Refuses what is not one statement that reads.
pub(super) fn check(sql: &str) -> Result<(), QueryError> {
    let statements = statements(sql);
    match statements.as_slice() {
        [] => Err(QueryError::Empty),
        [statement] => match statement.iter().find(|word| !EXPLAINING.contains(&word.as_str())) {
            Some(word) if !READING.contains(&word.as_str()) => Err(QueryError::Writes { word: word.clone() }),
            _ => Ok(()),
        },
        _ => Err(QueryError::Several { found: statements.len() }),
    }
}

/// Whether a table or column is named in the text.
pub(super) fn names(sql: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |(at, _): (usize, &str)| {
        let (before, after) = (sql[..at].chars().next_back(), sql[at + name.len()..].chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    sql.match_indices(name).any(alone)
}

/// The plain words of each statement, in capitals. Quoted texts and comments have none.
fn statements(sql: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut empty) = (Vec::new(), Vec::new(), true);
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '-' if chars.next_if_eq(&'-').is_some() => skip_until(&mut chars, '\n'),
            '/' if chars.next_if_eq(&'*').is_some() => skip_comment(&mut chars),
            ';' => {
                if !std::mem::replace(&mut empty, true) {
                    all.push(std::mem::take(&mut words));
                }
            }
            c if c.is_whitespace() => {}
            c => {
                empty = false;
                if matches!(c, '\'' | '"' | '`') {
                    skip_until(&mut chars, c);
                } else if is_part(&c) {
                    words.push(word(c, &mut chars));
                }
            }
        }
    }
    if !empty {
        all.push(words);
    }
    all
}

fn is_part(c: &char) -> bool {
    c.is_alphanumeric() || *c == '_'
}

fn word(first: char, chars: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::from(first);
    word.extend(std::iter::from_fn(|| chars.next_if(is_part)));
    word.to_uppercase()
}

/// A doubled quote ends a text and begins the next, which leaves out the same characters.
fn skip_until(chars: &mut Peekable<Chars<'_>>, end: char) {
    chars.find(|c| *c == end);
}

/// Comments of this form nest.
fn skip_comment(chars: &mut Peekable<Chars<'_>>) {
    let mut depth = 1;
    while depth > 0 {
        match chars.next() {
            Some('*') if chars.next_if_eq(&'/').is_some() => depth -= 1,
            Some('/') if chars.next_if_eq(&'*').is_some() => depth += 1,
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_statement_that_reads_passes() {
        for sql in [
            "select 1",
            " -- all of them\n(SELECT * FROM a) UNION (SELECT * FROM b);",
            "/* DROP /* nested */ TABLE x; */ WITH a AS (SELECT 1) SELECT * FROM a ; -- end",
            "EXPLAIN SELECT 'a;b'';c' FROM \"x;y\"",
            "explain analyze verbose select 1",
            "SHOW TABLES",
        ] {
            assert!(check(sql).is_ok(), "{sql}");
        }
        let written = |sql: &str| match check(sql) {
            Err(QueryError::Writes { word }) => word,
            other => panic!("{sql}: {other:?}"),
        };
        for (sql, word) in [
            ("DELETE FROM heads", "DELETE"),
            ("/**/drop table heads", "DROP"),
            ("update heads set value = 0", "UPDATE"),
            ("Create Table a AS SELECT 1", "CREATE"),
            ("TRUNCATE heads", "TRUNCATE"),
            ("EXPLAIN DELETE FROM heads", "DELETE"),
            ("explain analyze insert into heads values (1)", "INSERT"),
        ] {
            assert_eq!(written(sql), word);
        }
        assert!(matches!(check("SELECT 1; DROP TABLE heads"), Err(QueryError::Several { found: 2 })));
        assert!(matches!(check(" -- nothing\n;"), Err(QueryError::Empty)));
    }

    #[test]
    fn a_name_is_found_as_a_whole_word() {
        assert!(names("SELECT * FROM head_scores", "head_scores") && names("x FROM \"a b\"", "a b"));
        assert!(!names("SELECT * FROM head_scores_2", "head_scores") && !names("SELECT 1", "head_scores"));
    }
}
