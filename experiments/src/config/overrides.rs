//! `--set KEY=VALUE`: values of the command line laid over those of the file before either is checked.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::located::Located;
use super::problem::Problem;
use super::sources::Sources;
use crate::terminal::human;

/// Lays the override at `range` of the texts over the document.
///
/// The key is a dotted path whose numbers index lists (`probe.0.prompts.n=4`), the value is TOML; a single bare word is
/// taken as a string, so that a shell needs no second pair of quotes.
pub(crate) fn apply<'i>(root: &mut DeTable<'i>, sources: &'i Sources, range: &Range<usize>) -> Result<(), Located> {
    let argument = sources.slice(range);
    let Some((path, text)) = argument.split_once('=') else {
        return Err(Located::new(Problem::NotAnOverride { argument: argument.into() }, range.clone()));
    };
    let start = range.start + path.len() + 1;
    let value = parse_value(text, start)?;
    let at = range.start..range.start + path.len();
    set(root, path.trim(), at, value)
}

/// A TOML value whose spans count from the joined texts' beginning.
fn parse_value(text: &str, start: usize) -> Result<Spanned<DeValue<'_>>, Located> {
    match DeValue::parse(text) {
        Ok(value) => Ok(shifted(value, start)),
        Err(_) if is_bare_word(text) => {
            Ok(Spanned::new(start..start + text.len(), DeValue::String(Cow::Borrowed(text))))
        }
        Err(error) => {
            let span = error.span().unwrap_or(0..text.len());
            Err(Located::new(Problem::Toml(error), start + span.start..start + span.end))
        }
    }
}

fn is_bare_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || "./~_".contains(first))
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-./~".contains(c))
}

/// Moves every span of a value by `by` bytes.
fn shifted(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let mut inner = value.into_inner();
    match &mut inner {
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                let empty = Spanned::new(0..0, DeValue::Boolean(false));
                *item = shifted(std::mem::replace(item, empty), by);
            }
        }
        DeValue::Table(table) => {
            let entries = std::mem::take(table).into_iter();
            *table = entries.map(|(key, value)| (moved(key, by), shifted(value, by))).collect();
        }
        _ => {}
    }
    Spanned::new(span.start + by..span.end + by, inner)
}

fn moved<T>(spanned: Spanned<T>, by: usize) -> Spanned<T> {
    let span = spanned.span();
    Spanned::new(span.start + by..span.end + by, spanned.into_inner())
}

/// Follows the path and puts the value at its end. Tables on the way are created, entries of lists are not.
fn set<'i>(
    root: &mut DeTable<'i>,
    path: &'i str,
    at: Range<usize>,
    value: Spanned<DeValue<'i>>,
) -> Result<(), Located> {
    let (leading, last) = path.rsplit_once('.').map_or((None, path), |(leading, last)| (Some(leading), last));
    let mut table = root;
    let mut segments = leading.into_iter().flat_map(|leading| leading.split('.')).peekable();
    while let Some(segment) = segments.next() {
        let dead = |why: String| {
            let problem = Problem::DeadPath { path: path.into(), segment: segment.into(), why };
            Located::new(problem, at.clone())
        };
        let key = Spanned::new(at.clone(), Cow::Borrowed(segment));
        let next = table.entry(key).or_insert_with(|| Spanned::new(at.clone(), DeValue::Table(DeTable::new())));
        table = match next.get_mut() {
            DeValue::Table(table) => table,
            DeValue::Array(items) => {
                let length = items.len();
                let index = segments.next().and_then(|index| index.parse::<usize>().ok());
                let entry = index.and_then(|index| items.get_mut(index));
                match entry.map(Spanned::get_mut) {
                    Some(DeValue::Table(table)) => table,
                    Some(other) => {
                        return Err(dead(format!("has an entry there of type {}, not a table", other.type_str())));
                    }
                    None => return Err(dead(format!("has {}, counted from 0", human::plural(length, "entry")))),
                }
            }
            other => return Err(dead(format!("is not a table, its type is {}", other.type_str()))),
        };
    }
    table.remove(last);
    table.insert(Spanned::new(at, Cow::Borrowed(last)), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document after the overrides, printed back through `toml::Value`.
    fn over(file: &str, arguments: &[&str]) -> Result<String, String> {
        let mut sources = Sources::new("a.toml".as_ref(), file);
        let ranges: Vec<_> = arguments.iter().map(|text| sources.push("--set", text)).collect();
        let mut root = DeTable::parse(sources.file()).expect("TOML").into_inner();
        for range in &ranges {
            apply(&mut root, &sources, range).map_err(|located| located.problem.to_string())?;
        }
        let whole = Spanned::new(0..0, DeValue::Table(root));
        let value: toml::Value =
            serde::Deserialize::deserialize(toml::de::ValueDeserializer::from(whole)).expect("value");
        Ok(value.to_string())
    }

    #[test]
    fn values_replace_and_appear() {
        assert_eq!(over("seed = 0", &["seed=7"]), over("seed = 7", &[]));
        assert_eq!(over("", &["steps=[0, 512]"]), over("steps = [0, 512]", &[]));
        assert_eq!(over("", &["steps.from=3"]), over("[steps]\nfrom = 3", &[]));
        assert_eq!(over("", &["device=cpu"]), over("device = 'cpu'", &[]));
    }

    #[test]
    fn numbers_index_lists() {
        let file = "[[probe]]\nbatch = 1\n[[probe]]\nbatch = 2";
        assert_eq!(over(file, &["probe.1.batch=9"]), over("[[probe]]\nbatch = 1\n[[probe]]\nbatch = 9", &[]));
        assert_eq!(
            over(file, &["probe.2.batch=9"]).unwrap_err(),
            "`probe.2.batch` does not exist: `probe` has 2 entries, counted from 0"
        );
    }

    #[test]
    fn wrong_arguments_say_so() {
        assert_eq!(over("", &["seed"]).unwrap_err(), "`--set seed` is not KEY=VALUE");
        assert_eq!(
            over("a = 1", &["a.b=1"]).unwrap_err(),
            "`a.b` does not exist: `a` is not a table, its type is integer"
        );
        assert!(over("", &["seed=[1,"]).is_err());
    }
}
