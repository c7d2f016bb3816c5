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

use self::edits::{Edits, OldEntry};
use super::located::{ConfigErrors, Located};
use super::old_keys::of_kind;
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
/// A text that is no TOML, and every old key beside the key that took its place.
pub(crate) fn migrate(name: &str, text: &str) -> Result<Migrated, ConfigErrors> {
    let sources = Sources::new(name, text);
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
    let entries = old_entries(text, table, within, names)?;
    match within {
        Some(name) => edits.gather(text, &entries, name, text[probe.span()].starts_with('{')),
        None => entries.iter().for_each(|entry| edits.replace(entry.key.clone(), entry.new)),
    }
    Ok(entries)
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
    let beside = |entry: &&OldEntry| table.contains_key(within.unwrap_or(entry.new));
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
