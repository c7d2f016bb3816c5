//! The list of `[[probe]]`: kinds first, then each table into the struct of its kind.

use std::ops::Range;

use pythia_probes::ProbeSpec;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::entry::{Folders, Settings};
use super::hook_names;
use super::located::Located;
use super::old_keys;
use super::problem::Problem;
use super::read::{check_name, wrong_keys};
use super::schema::{self, KeyDoc};
use super::{ProbeEntry, coerce};

pub(super) fn read_probes(value: Spanned<DeValue<'_>>) -> Result<Vec<ProbeEntry>, Vec<Located>> {
    let (at, mut value) = (value.span(), value);
    if !matches!(value.get_ref(), DeValue::Array(_)) {
        coerce::wrap(&mut value);
    }
    let items = match value.into_inner() {
        DeValue::Array(items) if items.is_empty() => {
            return Err(vec![Located::new(Problem::Empty { key: "probe" }, at)]);
        }
        DeValue::Array(items) => items,
        other => return Err(vec![wrong_type("probe", "tables, each under [[probe]]", &other, at)]),
    };
    let (mut probes, mut problems) = (Vec::new(), Vec::new());
    let mut folders = Folders::new();
    for item in items {
        match read_probe(item) {
            Ok(probe) => match folders.claim(&probe.name, probe.spec.tables()) {
                Ok(()) => probes.push(probe),
                Err(problem) => problems.push(Located::new(problem, probe.at)),
            },
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(probes) } else { Err(problems) }
}

fn wrong_type(key: &str, expected: &'static str, found: &DeValue<'_>, at: Range<usize>) -> Located {
    Located::new(Problem::WrongType { key: key.into(), expected, found: found.type_str() }, at)
}

/// Phase one reads `kind` and `name`; phase two reads the rest into the struct of that kind.
fn read_probe(item: Spanned<DeValue<'_>>) -> Result<ProbeEntry, Vec<Located>> {
    let header = item.span();
    let mut table = match item.into_inner() {
        DeValue::Table(table) => table,
        other => return Err(vec![wrong_type("probe", "tables, each under [[probe]]", &other, header)]),
    };
    let Some(mut kind) = word(&mut table, "kind")? else {
        let doc = schema::probe_keys("").into_iter().find(|key| key.name == "kind").map(|key| key.doc);
        let problem =
            Problem::MissingKey { key: "kind".into(), table: "the probe".into(), meaning: doc.unwrap_or_default() };
        return Err(vec![Located::new(problem, header)]);
    };
    if let Some(known) = known_kind(kind.get_ref()) {
        *kind.get_mut() = known.to_owned();
    }
    let keys = keys_of_kind(&kind)?;
    coerce::table(&mut table, &schema::probe_schema(kind.get_ref()));
    let name = word(&mut table, "name")?;
    let mut problems = keys_of_probe(kind.get_ref(), &table, &keys, &header);
    let readable = problems.is_empty();
    let named = name.unwrap_or_else(|| kind.clone());
    problems.extend(check_name(&named, "a probe").err().into_iter().flatten());
    problems.extend(hook_names::unknown(named.get_ref(), &table));
    if !readable {
        return Err(problems);
    }
    let settings = Settings::of(&table);
    let rest = Spanned::new(header.clone(), DeValue::Table(table));
    match ProbeSpec::read(kind.get_ref(), ValueDeserializer::from(rest)) {
        Ok(Some(spec)) if problems.is_empty() => {
            Ok(ProbeEntry { at: named.span(), name: named.into_inner(), spec, settings })
        }
        Ok(found) => {
            problems.extend(found.is_none().then(|| unknown_kind(&kind)));
            Err(problems)
        }
        Err(error) => {
            problems.push(Located::toml(error, header));
            Err(problems)
        }
    }
}

/// What is wrong with the keys of a probe, and with those of the tables among its values.
fn keys_of_probe(kind: &str, table: &DeTable<'_>, keys: &[KeyDoc], header: &Range<usize>) -> Vec<Located> {
    let what = format!("probe `{kind}`");
    let found = wrong_keys(table, &what, keys, header).into_iter().filter(|one| !is_read_already(one));
    let mut problems: Vec<Located> = found.map(|one| with_new_spelling(one, kind, "", table)).collect();
    leave_out_respelled(&mut problems);
    for key in keys.iter().filter(|key| !key.keys.is_empty()) {
        let Some(value) = table.get(key.name.as_str()) else { continue };
        let Some(inner) = value.get_ref().as_table() else { continue };
        let what = format!("`{}` of {what}", key.name);
        let found = wrong_keys(inner, &what, &key.keys, &value.span()).into_iter();
        problems.extend(found.map(|one| with_new_spelling(one, kind, &format!("{}.", key.name), table)));
    }
    problems
}

/// A key is not missing as well where its old spelling stands.
fn leave_out_respelled(problems: &mut Vec<Located>) {
    let first = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    let new = problems.iter().filter_map(|located| match &*located.problem {
        Problem::OldKey { new, .. } => Some(first(&new.path)),
        _ => None,
    });
    let new: Vec<String> = new.collect();
    problems.retain(|located| !matches!(&*located.problem, Problem::MissingKey { key, .. } if new.contains(key)));
}

/// A key that earlier versions had is shown as it is written today. `above` is the path of its table with a dot.
fn with_new_spelling(located: Located, kind: &str, above: &str, table: &DeTable<'_>) -> Located {
    let Problem::UnknownKey { key, .. } = &*located.problem else { return located };
    let key = format!("{above}{key}");
    match old_keys::new_spelling(kind, &key, table) {
        Some(new) => Located::new(Problem::OldKey { key, table: format!("probe `{kind}`"), new }, located.span),
        None => located,
    }
}

/// `kind` is required by the schema and was taken out of the table in phase one.
fn is_read_already(located: &Located) -> bool {
    matches!(&*located.problem, Problem::MissingKey { key, .. } if key == "kind")
}

/// Takes a string out of the table.
fn word(table: &mut DeTable<'_>, key: &'static str) -> Result<Option<Spanned<String>>, Vec<Located>> {
    let Some(value) = table.remove(key) else {
        return Ok(None);
    };
    let at = value.span();
    match value.into_inner() {
        DeValue::String(text) => Ok(Some(Spanned::new(at, text.into_owned()))),
        other => Err(vec![wrong_type(key, "a string", &other, at)]),
    }
}

/// The kind that is meant, in any case.
pub(super) fn known_kind(kind: &str) -> Option<&'static str> {
    coerce::same_word(kind, &ProbeSpec::KINDS.iter().map(|row| row.name).collect::<Vec<_>>())
}

fn keys_of_kind(kind: &Spanned<String>) -> Result<Vec<KeyDoc>, Vec<Located>> {
    let known = ProbeSpec::KINDS.iter().any(|row| row.name == kind.get_ref());
    if known { Ok(schema::probe_keys(kind.get_ref())) } else { Err(vec![unknown_kind(kind)]) }
}

fn unknown_kind(kind: &Spanned<String>) -> Located {
    let allowed = ProbeSpec::KINDS.iter().map(|row| row.name.to_owned()).collect();
    Located::new(Problem::UnknownKind { kind: kind.get_ref().clone(), allowed }, kind.span())
}
