//! Keys of probes in their old spelling, and how each is written today.

use toml::de::{DeTable, DeValue};

/// The probes whose keys for prompts stood beside their other keys.
pub(super) const PROMPT_PROBES: [&str; 5] =
    ["head_scores", "induction_loss", "token_loss", "attention_patterns", "logit_lens"];

/// The old keys for prompts, and what each is called within `prompts`.
pub(super) const PROMPT_KEYS: [(&str, &str); 6] = [
    ("batch", "n"),
    ("half_len", "half_len"),
    ("repeats", "repeats"),
    ("texts", "texts"),
    ("tokens", "tokens"),
    ("prepend_bos", "prepend_bos"),
];

/// The keys of `prompts` that give prompts one by one. Beside one of them stands neither another nor a size.
pub(super) const PROMPT_SOURCES: [&str; 3] = ["texts", "tokens", "file"];

/// The keys of `prompts` that are the size of random ones.
pub(super) const PROMPT_SIZES: [&str; 3] = ["n", "half_len", "repeats"];

/// The old keys of a kind of probe with their new names, and the table that they move into, where they move.
pub(super) fn of_kind(kind: &str) -> (Option<&'static str>, &'static [(&'static str, &'static str)]) {
    match kind {
        "cross_checkpoint" => (None, &[("donor", "source_step")]),
        kind if PROMPT_PROBES.contains(&kind) => (Some("prompts"), &PROMPT_KEYS),
        _ => (None, &[]),
    }
}

/// What is written today instead of an old key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSpelling {
    /// The dotted path of the new key within the probe.
    pub(crate) path: String,
    /// The whole entry of the probe.
    pub(crate) entry: String,
}

/// What is written today instead of a key in the table of a probe, which may be dotted; `None` where it is no old key.
pub(super) fn new_spelling(kind: &str, key: &str, table: &DeTable<'_>) -> Option<NewSpelling> {
    let (within, names) = of_kind(kind);
    let last = within.and_then(|name| key.strip_prefix(name)?.strip_prefix('.')).unwrap_or(key);
    let (_, new) = names.iter().find(|(old, new)| *old == last && (last == key || old != new))?;
    Some(match within {
        Some(name) => NewSpelling { path: format!("{name}.{new}"), entry: merged(name, names, table) },
        None => NewSpelling { path: (*new).to_owned(), entry: format!("{new} = {}", shown(table.get(key)?.get_ref())) },
    })
}

/// The table `name` with the entries it has and those that move into it.
fn merged(name: &str, names: &[(&str, &str)], table: &DeTable<'_>) -> String {
    let there = table.get(name).and_then(|value| value.get_ref().as_table());
    let renamed =
        |key: &str| names.iter().find(|(old, _)| *old == key).map_or(key.to_owned(), |(_, new)| (*new).into());
    let mut entries: Vec<(String, &DeValue<'_>)> = there
        .into_iter()
        .flat_map(DeTable::iter)
        .map(|(key, value)| (renamed(key.get_ref()), value.get_ref()))
        .collect();
    for (old, new) in names {
        if let Some(value) = table.get(*old)
            && entries.iter().all(|(key, _)| key != new)
        {
            entries.push(((*new).to_owned(), value.get_ref()));
        }
    }
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key} = {}", shown(value))).collect();
    format!("{name} = {{ {} }}", entries.join(", "))
}

/// A value as it is written; a list or a table is cut short.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(answer) => answer.to_string(),
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Float(number) => number.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
