//! The metadata of many parts as that of one file, without loss.

use std::collections::BTreeMap;

use pythia_core::suite::Step;
use serde_json::{Map, Value, json};

use crate::files::json::canonical;

/// Key of the configuration.
const CONFIG: &str = "config";

/// Key of the JSON object with what differs between the parts, by step.
pub(super) const PARTS: &str = "parts";

/// Settings in which the parts of one table always differ: the checkpoint, and what is known of it.
const OF_THE_CHECKPOINT: [&str; 3] = ["step", "known_bad", "weights_files"];

/// This program's metadata of a part.
type Metadata = BTreeMap<String, String>;

/// The configuration of a part without what is the checkpoint's own: the same for all parts of a table. Empty where
/// there is none, as in the table of checkpoints; the text itself if it is not a JSON object.
pub(super) fn settings(metadata: &Metadata) -> String {
    let Some(text) = metadata.get(CONFIG) else { return String::new() };
    let Some(mut config) = object(text) else { return text.clone() };
    OF_THE_CHECKPOINT.iter().for_each(|key| drop(config.remove(*key)));
    canonical(&Value::Object(config))
}

/// One file's metadata: common values as they are, everything else in `parts`, a JSON object by step. The
/// configuration is taken apart in the same way, so that `config` holds what the parts have in common.
pub(super) fn combined<'a>(parts: impl Iterator<Item = (Option<Step>, &'a Metadata)>) -> Metadata {
    let parts: Vec<(String, Map<String, Value>)> =
        parts.map(|(step, metadata)| (word(step), taken_apart(metadata))).collect();
    let common = common(parts.iter().map(|(_, values)| values));
    let mut own: BTreeMap<String, Value> = BTreeMap::new();
    for (step, values) in &parts {
        let mut rest = without(values, &common);
        if let (Some(Value::Object(config)), Some(Value::Object(shared))) = (values.get(CONFIG), common.get(CONFIG)) {
            let config = without(config, shared);
            if !config.is_empty() {
                rest.insert(CONFIG.into(), Value::Object(config));
            }
        }
        if !rest.is_empty() {
            own.insert(step.clone(), Value::Object(rest));
        }
    }
    let mut metadata: Metadata = common.into_iter().map(|(key, value)| (key, text(value))).collect();
    metadata.insert(PARTS.into(), canonical(&json!(own)));
    metadata
}

/// The metadata as JSON: texts, but the configuration an object.
fn taken_apart(metadata: &Metadata) -> Map<String, Value> {
    let value = |key: &str, text: &String| match object(text) {
        Some(config) if key == CONFIG => Value::Object(config),
        _ => Value::String(text.clone()),
    };
    metadata.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

/// What all have, with the value that all have; of configurations the settings that all have.
fn common<'a>(mut all: impl Iterator<Item = &'a Map<String, Value>>) -> Map<String, Value> {
    let mut common = all.next().cloned().unwrap_or_default();
    for other in all {
        let both = |(key, value): (String, Value)| match (value, other.get(&key)?) {
            (Value::Object(one), Value::Object(two)) if key == CONFIG => {
                let same = one.into_iter().filter(|(key, value)| two.get(key) == Some(value));
                Some((key, Value::Object(same.collect())))
            }
            (one, two) => (one == *two).then_some((key, one)),
        };
        common = common.into_iter().filter_map(both).collect();
    }
    common
}

/// What differs from `shared`. A configuration with a shared part is left out: its settings are compared one by one.
fn without(values: &Map<String, Value>, shared: &Map<String, Value>) -> Map<String, Value> {
    let differs = |(key, value): &(&String, &Value)| match (value, shared.get(*key)) {
        (Value::Object(_), Some(Value::Object(_))) if *key == CONFIG => false,
        (value, shared) => shared != Some(*value),
    };
    values.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => canonical(&value),
    }
}

fn word(step: Option<Step>) -> String {
    step.map_or("null".to_owned(), |step| step.label().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn merged(parts: &[(u32, &[(&str, &str)])]) -> Metadata {
        let parts: Vec<_> =
            parts.iter().map(|(step, pairs)| (Some(Step::from_label(*step)), metadata(pairs))).collect();
        combined(parts.iter().map(|(step, metadata)| (*step, metadata)))
    }

    #[test]
    fn what_is_common_stands_as_it_is_and_the_rest_by_step() {
        let found = merged(&[
            (
                0,
                &[
                    ("seed", "0"),
                    ("weights_hash", "aa"),
                    ("config", r#"{"seed":0,"step":0,"probe":{"a":1}}"#),
                    ("note", "n"),
                ],
            ),
            (
                512,
                &[
                    ("seed", "0"),
                    ("weights_hash", "bb"),
                    ("config", r#"{"known_bad":"x","probe":{"a":1},"seed":0,"step":512}"#),
                ],
            ),
        ]);
        let parts = [
            r#"{"0":{"config":{"step":0},"note":"n","weights_hash":"aa"},"#,
            r#""512":{"config":{"known_bad":"x","step":512},"weights_hash":"bb"}}"#,
        ]
        .concat();
        let expected = [("config", r#"{"probe":{"a":1},"seed":0}"#), ("parts", parts.as_str()), ("seed", "0")];
        assert_eq!(found, metadata(&expected));
    }

    #[test]
    fn one_part_keeps_its_metadata_and_none_has_nothing() {
        let one: &[(&str, &str)] = &[("config", r#"{"seed":0,"step":1}"#), ("seed", "0")];
        let expected = [("config", r#"{"seed":0,"step":1}"#), ("parts", "{}"), ("seed", "0")];
        assert_eq!(merged(&[(1, one)]), metadata(&expected));
        assert_eq!(merged(&[]), metadata(&[("parts", "{}")]));
        // What is no JSON is text.
        assert_eq!(merged(&[(1, &[("config", "cut {")]), (2, &[("config", "cut {")])])["config"], "cut {");
    }

    #[test]
    fn settings_are_what_must_not_differ() {
        let of = |text: &str| settings(&metadata(&[("config", text)]));
        let one = of(r#"{"step": 1, "seed": 3, "weights_files": ["a"]}"#);
        assert_eq!(one, of(r#"{"seed": 3, "step": 2, "known_bad": "why"}"#));
        assert_ne!(one, of(r#"{"seed": 4, "step": 1}"#));
        assert_ne!(one, settings(&Metadata::new()));
    }
}
