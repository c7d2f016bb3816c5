//! The probes: all kinds with their keys, one kind with what each key takes, or the columns of the tables.

use pythia_probes::{ProbeKind, ProbeSpec};
use serde_json::{Value, json};

use super::Row;
use crate::cli::columns::{self, TableDoc};
use crate::cli::failure::Failure;
use crate::config::{self, KeyDoc};

/// The rows of every kind, or of the one that is named.
pub(super) fn rows(name: Option<&str>, columns: bool) -> Result<Vec<Row>, Failure> {
    let named = name.map(config::probe_kind).transpose()?;
    let chosen = |kind: &&ProbeKind| named.is_none_or(|name| name == kind.name);
    let kinds = ProbeSpec::KINDS.iter().filter(chosen);
    Ok(match (columns, named) {
        (true, Some(_)) => kinds.flat_map(columns::tables_of).map(column_row).collect(),
        (true, None) => columns::tables().map(column_row).collect(),
        (false, Some(_)) => kinds.map(whole).collect(),
        (false, None) => kinds.map(short).collect(),
    })
}

fn column_row(table: TableDoc) -> Row {
    Row { text: table.text(), json: table.json() }
}

/// A kind with a line per key.
fn short(kind: &ProbeKind) -> Row {
    let keys = config::probe_keys(kind.name);
    let lines = keys.iter().map(|key| format!("\n    {:<16} {}", key.name, key.doc.replace('\n', " ")));
    Row { text: format!("{}: {}{}", kind.name, kind.doc, lines.collect::<String>()), json: kind_json(kind, &keys) }
}

/// A kind with everything about each key.
fn whole(kind: &ProbeKind) -> Row {
    let keys = config::probe_keys(kind.name);
    let lines = lines(&keys, 2).join("\n");
    Row { text: format!("{}: {}\n{lines}", kind.name, kind.doc), json: kind_json(kind, &keys) }
}

fn kind_json(kind: &ProbeKind, keys: &[KeyDoc]) -> Value {
    let settings: Vec<Value> = keys.iter().map(key_json).collect();
    json!({ "kind": kind.name, "doc": kind.doc, "settings": settings })
}

fn key_json(key: &KeyDoc) -> Value {
    let KeyDoc { name, doc, takes, default, allowed, required, keys, entries } = key;
    let [keys, entries] = [keys, entries].map(|keys| keys.iter().map(key_json).collect::<Vec<_>>());
    json!({
        "key": name, "doc": doc, "type": takes, "default": default, "allowed": allowed, "required": required,
        "keys": keys, "entries": entries,
    })
}

/// The lines of some keys, the required ones first; keys of their tables are set in.
fn lines(keys: &[KeyDoc], indent: usize) -> Vec<String> {
    let mut keys: Vec<&KeyDoc> = keys.iter().collect();
    keys.sort_by_key(|key| (!key.required, &key.name));
    let of_key = |key: &KeyDoc| {
        let space = " ".repeat(indent);
        let doc = key.doc.replace('\n', " ");
        let mut all = vec![format!("{space}{} ({})", key.name, facts(key)), format!("{space}    {doc}")];
        if !key.allowed.is_empty() {
            all.push(format!("{space}    allowed: {}", key.allowed.join(", ")));
        }
        all.extend(lines(&key.keys, indent + 4));
        all.extend(lines(&key.entries, indent + 4));
        all
    };
    keys.into_iter().flat_map(of_key).collect()
}

/// Type and default.
fn facts(key: &KeyDoc) -> String {
    match (&key.default, key.required) {
        (_, true) => format!("{}, required", key.takes),
        (Some(default), false) => format!("{}, default {default}", key.takes),
        (None, false) => format!("{}, optional", key.takes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> String {
        let rows = rows(Some(name), false).unwrap_or_else(|failure| panic!("{failure}"));
        rows.into_iter().map(|row| row.text).collect()
    }

    #[test]
    fn a_kind_is_shown_with_types_defaults_and_allowed_values() {
        let text = text("Ablation");
        for part in [
            "  pairs (table, required)\n",
            "      task (word, optional)\n",
            "          allowed: ioi, greater_than,",
            "  methods (list of words, default [\"zero\"])\n",
            "      allowed: zero, mean, mean_per_position, resample\n",
            "  controls (whole number, default 0)\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn every_key_of_every_kind_has_a_type() {
        for kind in ProbeSpec::KINDS {
            let text = text(kind.name);
            assert!(!text.contains(" ()") && !text.contains(" (,"), "{text}");
        }
        assert!(text("interventions").contains("\n      hook (text, required)\n"), "{}", text("interventions"));
    }

    #[test]
    fn an_unknown_kind_names_the_nearest() {
        let failure = rows(Some("ablatoin"), false).err().expect("must refuse");
        assert!(failure.report(false).contains("`ablation`"), "{failure}");
        assert!(rows(Some("ablation"), true).is_ok_and(|rows| rows.len() == 2));
    }
}
