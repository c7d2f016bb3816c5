//! Experiment files in their old spelling → the same text in today's.
//!
//! The text is edited at the places that the TOML reader reports, so comments, order and layout stay. Whether the
//! experiment is right is not checked here: an invalid value is moved unchanged.

mod edits;
#[cfg(test)]
mod tests;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::edits::{Edits, OldEntry, Target};
use super::located::{ConfigErrors, Located};
use super::old_keys::{PROMPT_SIZES, PROMPT_SOURCES, of_kind};
use super::problem::Problem;
use super::sources::Sources;

/// A key that has another spelling now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The line of the old key, counted from 1.
    pub(crate) line: usize,
    pub(crate) old: &'static str,
    /// The dotted path that took its place within the probe.
    pub(crate) new: String,
}

/// An experiment file in today's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Migrated {
    /// The whole text. Without changes it is the old one, byte for byte.
    pub(crate) text: String,
    /// What changed, in the order of the file.
    pub(crate) changes: Vec<Change>,
}

/// Rewrites an experiment file; `name` is what messages call the text.
///
/// # Errors
/// A text that is no TOML, every old key beside the key that took its place, and keys that say twice what prompts are.
pub(crate) fn migrate(name: &str, text: &str) -> Result<Migrated, ConfigErrors> {
    let sources = Sources::new(name.as_ref(), text);
    match edit_document(sources.file()) {
        Ok((edits, changes)) => Ok(Migrated { text: edits.apply(text), changes }),
        Err(problems) => Err(ConfigErrors { sources, problems }),
    }
}

fn edit_document(text: &str) -> Result<(Edits, Vec<Change>), Vec<Located>> {
    let root = DeTable::parse(text).map_err(|error| vec![Located::toml(error, 0..text.len())])?;
    let (mut edits, mut entries, mut problems) = (Edits::default(), Vec::new(), Vec::new());
    let probes = root.get_ref().get("probe").and_then(|value| value.get_ref().as_array());
    for probe in probes.into_iter().flat_map(|list| list.iter()) {
        match edit_probe(text, probe, &mut edits) {
            Ok(more) => entries.extend(more),
            Err(more) => problems.extend(more),
        }
    }
    let change = |entry: OldEntry| Change {
        line: 1 + text[..entry.key.start].matches('\n').count(),
        old: entry.old,
        new: entry.path(),
    };
    if problems.is_empty() { Ok((edits, entries.into_iter().map(change).collect())) } else { Err(problems) }
}

/// Edits one `[[probe]]` and returns its entries that were spelled in the old way, in the order of the file.
fn edit_probe(text: &str, probe: &Spanned<DeValue<'_>>, edits: &mut Edits) -> Result<Vec<OldEntry>, Vec<Located>> {
    let Some(table) = probe.get_ref().as_table() else { return Ok(Vec::new()) };
    let kind = table.get("kind").and_then(|value| value.get_ref().as_str()).unwrap_or_default();
    let (within, names) = of_kind(kind);
    let mut entries = old_entries(text, table, within, names)?;
    let Some(name) = within else {
        entries.iter().for_each(|entry| edits.replace(entry.key.clone(), entry.new));
        return Ok(entries);
    };
    let inline = text[probe.span()].starts_with('{');
    let Some((key, value)) = table.get_key_value(name) else {
        check_sources(&entries, &DeTable::new())?;
        edits.gather(text, &entries, name, inline);
        return Ok(entries);
    };
    let Some(there) = value.get_ref().as_table() else { return Ok(Vec::new()) };
    let renamed = renamed_within(text, there, name, names)?;
    renamed.iter().for_each(|entry| edits.replace(entry.key.clone(), entry.new));
    edits.merge(text, &entries, Target::of(text, key.span(), value), inline);
    entries.extend(renamed);
    entries.sort_by_key(|entry| entry.key.start);
    check_sources(&entries, there)?;
    Ok(entries)
}

/// The entries of the table `name` that have their old name there.
///
/// # Errors
/// Each of them that is beside its new name.
fn renamed_within(
    text: &str,
    there: &DeTable<'_>,
    name: &'static str,
    names: &[(&'static str, &'static str)],
) -> Result<Vec<OldEntry>, Vec<Located>> {
    let names: Vec<_> = names.iter().copied().filter(|(old, new)| old != new).collect();
    let entries = old_entries(text, there, None, &names)?;
    Ok(entries.into_iter().map(|entry| OldEntry { within: Some(name), ..entry }).collect())
}

/// Refuses entries which, with those that are in the table already, say twice what the prompts are.
fn check_sources(entries: &[OldEntry], there: &DeTable<'_>) -> Result<(), Vec<Located>> {
    let there = there.keys().map(|key| key.get_ref().as_ref());
    let keys: Vec<&str> = there.chain(entries.iter().map(|entry| entry.new)).filter(|key| says_what(key)).collect();
    let source = keys.iter().find(|key| PROMPT_SOURCES.contains(key));
    let other = keys.iter().find(|key| Some(*key) != source);
    let last = entries.iter().rev().find(|entry| says_what(entry.new));
    let (Some(source), Some(other), Some(last)) = (source, other, last) else { return Ok(()) };
    let problem = Problem::Exclude { one: (*source).to_owned(), other: (*other).to_owned() };
    Err(vec![Located::new(problem, last.key.clone())])
}

/// Whether the key says what the prompts are.
fn says_what(key: &str) -> bool {
    PROMPT_SOURCES.contains(&key) || PROMPT_SIZES.contains(&key)
}

/// The entries of a table under these old names, in the order of the file. `within` is the table that they move into.
///
/// # Errors
/// Each of them that is beside the key which took its place.
fn old_entries(
    text: &str,
    table: &DeTable<'_>,
    within: Option<&'static str>,
    names: &[(&'static str, &'static str)],
) -> Result<Vec<OldEntry>, Vec<Located>> {
    let found = names.iter().filter_map(|&(old, new)| {
        let (key, value) = table.get_key_value(old)?;
        is_plain(text, &key.span(), &value.span()).then(|| OldEntry {
            old,
            new,
            within,
            key: key.span(),
            value: value.span(),
        })
    });
    let mut entries: Vec<OldEntry> = found.collect();
    entries.sort_by_key(|entry| entry.key.start);
    let target = match within {
        Some(name) => table.get(name).and_then(|value| value.get_ref().as_table()),
        None => Some(table),
    };
    let beside = |entry: &&OldEntry| target.is_some_and(|target| target.contains_key(entry.new));
    let problems: Vec<Located> = entries.iter().filter(beside).map(both_spellings).collect();
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// Whether the entry is written `key = value`. A dotted key or a header of its own never was an old key with a value.
fn is_plain(text: &str, key: &Range<usize>, value: &Range<usize>) -> bool {
    text.get(key.end..value.start).is_some_and(|between| between.trim() == "=")
}

fn both_spellings(entry: &OldEntry) -> Located {
    Located::new(Problem::BothSpellings { old: entry.old, new: entry.path() }, entry.key.clone())
}
