//! A key of the schema in words: what it takes, what it is where it is left out, which words are allowed.

use serde_json::Value;

/// What a value is: `whole number`, `list of texts`, `word`.
pub(super) fn takes(schema: &Value) -> String {
    if is_word(schema) {
        return "word".to_owned();
    }
    if let Some(listed) = listed(schema) {
        let mut words: Vec<String> = listed.iter().map(takes).filter(|words| !words.is_empty()).collect();
        words.dedup();
        return words.join(", or ");
    }
    match type_name(schema) {
        Some("array") => format!("list of {}", plural(&schema.get("items").map_or("value".to_owned(), takes))),
        Some("string") => "text".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("number") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("object") => match schema.get("additionalProperties").filter(|values| values.is_object()) {
            Some(values) => format!("table of names with a {} each", takes(values)),
            None => "table".to_owned(),
        },
        _ => String::new(),
    }
}

/// Several of what [`takes`] says.
fn plural(words: &str) -> String {
    let several = |one: &str| match one.strip_prefix("list of ") {
        Some(items) => format!("lists of {items}"),
        None => format!("{one}s"),
    };
    words.split(", or ").map(several).collect::<Vec<_>>().join(", or ")
}

/// The words that a value, or an entry of it, can be.
pub(super) fn allowed(schema: &Value) -> Vec<String> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word.to_owned()];
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let within = listed(schema).into_iter().flatten().chain(schema.get("items"));
    within.flat_map(allowed).collect()
}

/// A value as TOML, on one line; `None` for null, which TOML does not have.
pub(super) fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // JSON's escapes are TOML's.
        Value::String(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().filter_map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries = entries.iter().filter_map(|(key, value)| Some(format!("{key} = {}", toml(value)?)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    })
}

/// Whether the value is one of some words.
fn is_word(schema: &Value) -> bool {
    schema.get("const").is_some()
        || schema.get("enum").is_some()
        || listed(schema).is_some_and(|all| all.iter().all(is_word))
}

fn listed(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()
}

/// The type, without `null` beside it.
fn type_name(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str().filter(|name| *name != "null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_described_in_words() {
        let word = json!({ "oneOf": [{ "const": "kl", "type": "string" }, { "const": "loss", "type": "string" }] });
        let list = json!({ "type": ["array", "null"], "items": word });
        assert_eq!((takes(&list), allowed(&list)), ("list of words".to_owned(), vec!["kl".to_owned(), "loss".into()]));
        let optional = json!({ "anyOf": [word, { "type": "null" }] });
        assert_eq!((takes(&optional), allowed(&optional).len()), ("word".to_owned(), 2));
        let steps = json!({ "anyOf": [{ "enum": ["all"] }, { "type": "array", "items": { "type": "integer" } }] });
        assert_eq!(
            (takes(&steps), allowed(&steps)),
            ("word, or list of whole numbers".to_owned(), vec!["all".to_owned()])
        );
        let lists = json!({ "type": "array", "items": { "type": "array", "items": { "type": "integer" } } });
        assert_eq!(takes(&lists), "list of lists of whole numbers");
        assert_eq!(takes(&json!({ "type": "boolean" })), "true or false");
    }

    #[test]
    fn a_default_is_shown_as_it_is_written() {
        let value = json!({ "n": 8, "file": null, "texts": ["a \"b\""] });
        let shown = toml(&value).expect("a value");
        // Whether JSON keeps the order of keys depends on what else is built with it.
        let read: toml::Table = toml::from_str(&format!("x = {shown}")).expect("TOML");
        assert_eq!(
            read["x"].to_string(),
            "{ n = 8, texts = [\"a \\\"b\\\"\"] }".replace("[\"a \\\"b\\\"\"]", "['a \"b\"']")
        );
        assert_eq!((toml(&Value::Null), toml(&json!([1.0, true])).as_deref()), (None, Some("[1.0, true]")));
    }
}
