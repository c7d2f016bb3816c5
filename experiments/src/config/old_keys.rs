//! Keys of probes that earlier versions had, and what is written today.

use toml::de::{DeTable, DeValue};

use super::schema::KeyDoc;

/// Old keys that said which prompts a probe reads, with their names in `prompts`.
const PROMPTS: [(&str, &str); 6] = [
    ("batch", "n"),
    ("half_len", "half_len"),
    ("repeats", "repeats"),
    ("texts", "texts"),
    ("tokens", "tokens"),
    ("prepend_bos", "prepend_bos"),
];

/// What is written today instead of an old key of a probe's table, whose keys are `keys`; `None` where it is no old
/// key.
pub(super) fn new_spelling(key: &str, table: &DeTable<'_>, keys: &[KeyDoc]) -> Option<String> {
    let has = |name: &str| keys.iter().any(|key| key.name == name);
    if has("prompts") && PROMPTS.iter().any(|(old, _)| *old == key) {
        let written =
            PROMPTS.iter().filter_map(|(old, new)| Some(format!("{new} = {}", shown(table.get(*old)?.get_ref()))));
        return Some(format!("prompts = {{ {} }}", written.collect::<Vec<_>>().join(", ")));
    }
    let step = key == "donor" && has("source_step");
    step.then(|| table.get(key)).flatten().map(|value| format!("source_step = {}", shown(value.get_ref())))
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
