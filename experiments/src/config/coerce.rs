//! Values as people write them → values as the schema declares them, before any is read.
//!
//! `heads = [0]`, `["0"]`, `"0"` and `0` say the same, and so do `task = "IOI"` and `"ioi"`. A value is only changed
//! where the schema accepts it in no other way, so nothing that is right changes its meaning. What still does not fit
//! is left as it was: the reader then says what is expected, at its place.

use std::borrow::Cow;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Changes each value of a table that its schema accepts only in another spelling.
pub(super) fn table(table: &mut DeTable<'_>, schema: &Value) {
    for (key, value) in table.iter_mut() {
        if let Some(schema) = property(schema, key.get_ref()) {
            fit(value, schema);
        }
    }
}

/// The schema of a key: its own, or that of all keys without one.
fn property<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let own = schema.get("properties").and_then(|properties| properties.get(key));
    own.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
}

/// Makes a value fit where that is possible, and returns whether it fits.
fn fit(value: &mut Spanned<DeValue<'_>>, schema: &Value) -> bool {
    if let Some(alternatives) = alternatives(schema) {
        return fit_one_of(value, alternatives);
    }
    if let Some(words) = words(schema) {
        return fit_word(value, &words);
    }
    match value.get_mut() {
        DeValue::Table(inner) if takes(schema, "object") => {
            table(inner, schema);
            true
        }
        DeValue::Array(_) if takes(schema, "array") => match schema.get("items") {
            Some(schema) => fit_items(value, schema),
            None => true,
        },
        _ if takes(schema, "array") => fit_alone(value, schema),
        plain => takes(schema, type_of(plain)) || fit_plain(plain, schema),
    }
}

/// The items of a list. Plain values where lists are expected are one of these: `tokens = [5, 9]` is one prompt.
fn fit_items(value: &mut Spanned<DeValue<'_>>, schema: &Value) -> bool {
    let DeValue::Array(items) = value.get_mut() else { return false };
    if takes(schema, "array") && !items.is_empty() && items.iter().all(|item| is_plain(item.get_ref())) {
        wrap(value);
        let DeValue::Array(items) = value.get_mut() else { return false };
        return items.iter_mut().all(|item| fit(item, schema));
    }
    // Every item is tried, also after one that does not fit.
    items.iter_mut().map(|item| fit(item, schema)).filter(|fits| !fits).count() == 0
}

/// A lone value for a list of one.
fn fit_alone(value: &mut Spanned<DeValue<'_>>, schema: &Value) -> bool {
    // `null` beside the list changes nothing: TOML has none.
    if takes(schema, type_of(value.get_ref())) {
        return true;
    }
    let before = value.clone();
    wrap(value);
    let fits = fit(value, schema);
    if !fits {
        *value = before;
    }
    fits
}

/// Puts a value into a list, at the same place.
pub(super) fn wrap(value: &mut Spanned<DeValue<'_>>) {
    let at = value.span();
    let alone = std::mem::replace(value, Spanned::new(at.clone(), DeValue::Boolean(false)));
    let mut list = DeArray::new();
    list.push(alone);
    *value = Spanned::new(at, DeValue::Array(list));
}

/// The first alternative that takes the value as it is, or else the first that takes it in another spelling.
fn fit_one_of(value: &mut Spanned<DeValue<'_>>, alternatives: &[Value]) -> bool {
    let exact: Vec<&Value> = alternatives.iter().filter(|schema| is_exact(value.get_ref(), schema)).collect();
    exact.into_iter().chain(alternatives).any(|schema| {
        let mut tried = value.clone();
        let fits = fit(&mut tried, schema);
        if fits {
            *value = tried;
        }
        fits
    })
}

/// Whether the schema takes a value of that type, and where it lists words, this word.
fn is_exact(value: &DeValue<'_>, schema: &Value) -> bool {
    match (alternatives(schema), words(schema), value) {
        (Some(alternatives), ..) => alternatives.iter().any(|schema| is_exact(value, schema)),
        (None, Some(words), DeValue::String(text)) => words.contains(&text.as_ref()),
        (None, Some(_), _) => false,
        (None, None, value) => takes(schema, type_of(value)),
    }
}

/// The alternatives of a schema; words that are listed one by one are not meant.
fn alternatives(schema: &Value) -> Option<&[Value]> {
    let listed = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    if words(schema).is_some() { None } else { Some(listed) }
}

/// The words that a schema allows, where it allows nothing else.
fn words(schema: &Value) -> Option<Vec<&str>> {
    let listed = match (schema.get("enum"), schema.get("const"), schema.get("oneOf")) {
        (Some(listed), ..) => listed.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
        (None, Some(word), _) => word.as_str().map(|word| vec![word]),
        (None, None, Some(listed)) => {
            let words = listed.as_array()?.iter().map(words);
            words.collect::<Option<Vec<_>>>().map(|words| words.concat())
        }
        (None, None, None) => None,
    }?;
    (!listed.is_empty()).then_some(listed)
}

/// A word in another case, or with `-` for `_`.
fn fit_word(value: &mut Spanned<DeValue<'_>>, words: &[&str]) -> bool {
    let DeValue::String(text) = value.get_mut() else { return false };
    match same_word(text, words) {
        Some(word) if word != text.as_ref() => *text = Cow::Owned(word.to_owned()),
        Some(_) => {}
        None => return false,
    }
    true
}

/// The word that is meant.
pub(super) fn same_word<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let folded = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let exact = words.iter().find(|word| **word == text);
    exact.or_else(|| words.iter().find(|word| folded(word) == folded(text))).copied()
}

/// Numbers as texts, and numbers and answers that are written as texts.
fn fit_plain(value: &mut DeValue<'_>, schema: &Value) -> bool {
    let fitting = match value {
        DeValue::Integer(number) if takes(schema, "string") => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
            number.map(|number| DeValue::String(Cow::Owned(number.to_string())))
        }
        // What a reader of TOML borrows can be read again; a text with escapes is no number.
        DeValue::String(Cow::Borrowed(text)) => DeValue::parse(text).ok().map(Spanned::into_inner),
        _ => None,
    };
    match fitting {
        Some(fitting) if is_plain(&fitting) && takes(schema, type_of(&fitting)) => {
            *value = fitting;
            true
        }
        _ => false,
    }
}

/// Whether it is a text, a number or an answer. `"nan"` and `"inf"` are words, and a list in quotes is a text.
fn is_plain(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Boolean(_) => true,
        DeValue::Float(number) => number.as_str().ends_with(|c: char| c.is_ascii_digit()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => false,
    }
}

/// Whether the schema takes values of a type. One that names no type takes none here: it has alternatives.
fn takes(schema: &Value, name: &str) -> bool {
    let is = |found: &Value| found == name || (name == "integer" && found == "number");
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(is),
        Some(found) => is(found),
        None => false,
    }
}

/// The schema's name for the type of a value.
fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        // No key takes a time.
        DeValue::Datetime(_) => "datetime",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The value after it was made to fit, as TOML.
    fn fitted(text: &str, schema: &Value) -> String {
        let mut value = DeValue::parse(text).expect("TOML");
        fit(&mut value, schema);
        let read: toml::Value =
            serde::Deserialize::deserialize(toml::de::ValueDeserializer::from(value)).expect("a value");
        read.to_string()
    }

    fn same(schema: &Value, wanted: &str, texts: &[&str]) {
        for text in texts {
            assert_eq!(fitted(text, schema), wanted, "{text}");
        }
    }

    #[test]
    fn equal_values_are_read_alike_however_they_are_written() {
        let strings = json!({ "type": "array", "items": { "type": "string" } });
        same(&strings, "[\"0\"]", &["[0]", "[\"0\"]", "0", "\"0\"", "[0x0]"]);
        same(&strings, "[\"-1\", \"end\"]", &["[-1, 'end']"]);
        let numbers = json!({ "type": ["array", "null"], "items": { "type": "integer", "minimum": 0 } });
        same(&numbers, "[3]", &["3", "'3'", "[3]", "['3']"]);
        same(&json!({ "type": ["integer", "null"] }), "4000", &["4000", "'4000'", "'4_000'"]);
        same(&json!({ "type": "number" }), "0.5", &["0.5", "'0.5'"]);
        same(&json!({ "type": "boolean" }), "true", &["true", "'true'"]);
        same(&json!({ "type": "array", "items": { "type": "number" } }), "[2]", &["2", "'2'", "[2]"]);
        let lists = json!({ "type": "array", "items": { "type": "array", "items": { "type": "integer" } } });
        same(&lists, "[[5, 9]]", &["[5, 9]", "[[5, 9]]", "['5', 9]", "[['5', '9']]"]);
        same(&lists, "[[5], [9, 1]]", &["[[5], [9, 1]]"]);
    }

    #[test]
    fn words_are_found_in_any_case() {
        let words =
            json!({ "anyOf": [{ "oneOf": [{ "const": "ioi" }, { "const": "greater_than" }] }, { "type": "null" }] });
        same(&words, "\"ioi\"", &["'ioi'", "'IOI'", "'Ioi'"]);
        same(&words, "\"greater_than\"", &["'Greater-Than'", "'GREATER_THAN'"]);
        same(&words, "\"io\"", &["'io'"]);
        let list = json!({ "type": "array", "items": { "oneOf": [{ "const": "kl" }, { "const": "loss" }] } });
        same(&list, "[\"kl\", \"loss\"]", &["['KL', 'loss']"]);
        same(&list, "[\"kl\"]", &["'KL'"]);
    }

    #[test]
    fn alternatives_are_tried_as_they_are_first() {
        let steps = json!({ "anyOf": [
            { "enum": ["all", "log"] },
            { "type": "array", "items": { "type": "integer" } },
            { "type": "object", "properties": { "from": { "type": "integer" } } },
        ] });
        same(&steps, "\"all\"", &["'all'", "'ALL'"]);
        same(&steps, "[512]", &["512", "'512'", "[512]", "['512']"]);
        same(&steps, "{ from = 3 }", &["{ from = 3 }", "{ from = '3' }"]);
        let either = json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] });
        same(&either, "3", &["3"]);
        same(&either, "\"3\"", &["'3'"]);
    }

    #[test]
    fn what_fits_nowhere_stays_as_it_was() {
        let count = json!({ "type": "integer" });
        for text in ["\"four\"", "\"\"", "\"nan\"", "[4]", "{ n = 4 }", "\"[4]\"", "1.5"] {
            assert_eq!(fitted(text, &count), fitted(text, &json!({})), "{text}");
        }
        let numbers = json!({ "type": "array", "items": { "type": "integer" } });
        same(&numbers, "\"four\"", &["'four'"]);
        same(&json!({ "type": "object" }), "\"ioi\"", &["'ioi'"]);
        same(&json!({ "type": "number" }), "\"nan\"", &["'nan'"]);
    }
}
