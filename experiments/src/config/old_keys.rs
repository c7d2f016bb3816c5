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

/// The old keys of a kind of probe with their new names, and the table that they move into, where they move.
pub(super) fn of_kind(kind: &str) -> (Option<&'static str>, &'static [(&'static str, &'static str)]) {
    match kind {
        "cross_checkpoint" => (None, &[("donor", "source_step")]),
        kind if PROMPT_PROBES.contains(&kind) => (Some("prompts"), &PROMPT_KEYS),
        _ => (None, &[]),
    }
}

/// What is written today instead of a key in the table of a probe; `None` where it is no old key.
pub(super) fn new_spelling(kind: &str, key: &str, table: &DeTable<'_>) -> Option<String> {
    let (within, names) = of_kind(kind);
    names.iter().find(|(old, _)| *old == key)?;
    let entry = |(old, new): &(&str, &str)| Some(format!("{new} = {}", shown(table.get(*old)?.get_ref())));
    let entries = names.iter().filter_map(entry).collect::<Vec<_>>().join(", ");
    Some(within.map_or(entries.clone(), |name| format!("{name} = {{ {entries} }}")))
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
