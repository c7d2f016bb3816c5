//! The JSON schema of the experiment file: what editors complete from, and what keys are compared with.

use pythia_probes::ProbeSpec;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::described;
use super::read::Head;
use super::steps::Steps;
use super::{Machine, StorePolicy};
use crate::files::json::sorted;

/// A key as the schema knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyDoc {
    pub(crate) name: String,
    /// What it means.
    pub(crate) doc: String,
    /// What its value is, in words: `list of texts`.
    pub(crate) takes: String,
    /// Its value where it is left out, as TOML; `None` where that is no value of its own.
    pub(crate) default: Option<String>,
    /// The words that it takes, where these are all, or those beside other values.
    pub(crate) allowed: Vec<String>,
    /// Whether the table must have it.
    pub(crate) required: bool,
    /// The keys of its value, where that is a table of known keys.
    pub(crate) keys: Vec<KeyDoc>,
    /// The keys of each table in its value, where that is a list of tables, or names such lists.
    pub(crate) entries: Vec<KeyDoc>,
}

/// The schema as the file that is committed: pretty JSON with a newline at its end.
pub fn json_schema() -> String {
    format!("{:#}\n", sorted(document()))
}

/// The keys of the whole file.
pub(crate) fn experiment_keys() -> Vec<KeyDoc> {
    keys(&document())
}

pub(super) fn keys_of<T: JsonSchema>() -> Vec<KeyDoc> {
    keys(&generator().subschema_for::<T>().to_value())
}

/// The keys of a probe of that kind, `kind` and `name` among them; of an unknown kind these two alone.
pub(crate) fn probe_keys(kind: &str) -> Vec<KeyDoc> {
    keys(&probe_schema(kind))
}

/// The schema of a probe of that kind.
pub(super) fn probe_schema(kind: &str) -> Value {
    probe(kind, &mut generator())
}

fn generator() -> SchemaGenerator {
    // Inlined, so that an editor and a reader find the whole probe in its place.
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

pub(super) fn document() -> Value {
    let mut generator = generator();
    let mut schema = generator.subschema_for::<Head>().to_value();
    for more in [generator.subschema_for::<Machine>(), generator.subschema_for::<StorePolicy>()] {
        let properties = more.get("properties").and_then(Value::as_object).into_iter().flatten();
        properties.for_each(|(key, property)| schema["properties"][key] = property.clone());
    }
    let kinds: Vec<Value> = ProbeSpec::KINDS.iter().map(|kind| probe(kind.name, &mut generator)).collect();
    let steps = generator.subschema_for::<Steps>().to_value();
    let probes = json!({
        "description": "What to measure; a table of results each, some probes have further ones. \
                        The key `kind` says which probe it is.",
        "type": "array", "minItems": 1, "items": { "oneOf": kinds }
    });
    require(&mut schema, "steps", steps);
    require(&mut schema, "probe", probes);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Experiment");
    schema["description"] = json!(
        "An experiment file of the `pythia` command: models x checkpoints x probes. \
         A lone value stands for a list of one, numbers may be in quotes, and words are read in any case."
    );
    schema
}

/// Adds a required property.
fn require(schema: &mut Value, key: &str, property: Value) {
    schema["properties"][key] = property;
    match &mut schema["required"] {
        Value::Array(required) => required.push(json!(key)),
        absent => *absent = json!([key]),
    }
}

/// The schema of one `[[probe]]`: the probe's own configuration with `kind` and `name` beside it.
fn probe(kind: &str, generator: &mut SchemaGenerator) -> Value {
    let mut schema = configuration(kind, generator);
    schema["properties"]["name"] = json!({
        "description": "Name of the folder of its results, with a table's own name behind it (NAME_examples) \
                        where the probe has more than one; the kind where it is left out. Unique in the file.",
        "type": "string", "pattern": "^[a-z0-9_-]+$"
    });
    require(&mut schema, "kind", json!({ "description": kind_doc(), "const": kind }));
    schema
}

fn kind_doc() -> String {
    let kinds: Vec<&str> = ProbeSpec::KINDS.iter().map(|kind| kind.name).collect();
    format!("which probe: {}", kinds.join(", "))
}

/// The schema of a kind's struct, taken out of the enum's, so that a new probe needs no line here.
fn configuration(kind: &str, generator: &mut SchemaGenerator) -> Value {
    let all = generator.subschema_for::<ProbeSpec>().to_value();
    let variants = all["oneOf"].as_array().cloned().unwrap_or_default();
    let variant = variants.into_iter().find_map(|variant| variant["properties"].get(kind).cloned());
    variant.unwrap_or_else(|| json!({ "type": "object", "additionalProperties": false }))
}

fn keys(schema: &Value) -> Vec<KeyDoc> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    properties.iter().map(|(name, property)| key(name, property, required.contains(&name.as_str()))).collect()
}

fn key(name: &str, property: &Value, required: bool) -> KeyDoc {
    KeyDoc {
        name: name.to_owned(),
        doc: property["description"].as_str().unwrap_or_default().to_owned(),
        takes: described::takes(property),
        default: property.get("default").and_then(described::toml),
        allowed: described::allowed(property),
        required,
        keys: if is_table(property) { keys(property) } else { Vec::new() },
        entries: entries(property).map(keys).unwrap_or_default(),
    }
}

/// Whether the schema is that of a table of known keys.
fn is_table(schema: &Value) -> bool {
    schema["additionalProperties"] == false
}

/// The tables in a list, or in the lists of a table whose keys are free.
fn entries(schema: &Value) -> Option<&Value> {
    let within = schema.get("items").or_else(|| schema.get("additionalProperties"))?;
    if is_table(within) { Some(within) } else { entries(within) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_meaning_and_the_required_ones_are_required() {
        let top = experiment_keys();
        let mut required: Vec<&str> = top.iter().filter(|key| key.required).map(|key| key.name.as_str()).collect();
        // Whether JSON keeps the order of keys depends on what else is built with it.
        required.sort_unstable();
        assert_eq!(required, ["models", "name", "prepend_bos", "probe", "seed", "steps"]);
        for kind in ProbeSpec::KINDS {
            let keys = probe_keys(kind.name);
            assert!(keys.len() > 2, "{} has its own keys", kind.name);
            for key in keys.iter().chain(&top) {
                assert!(!key.doc.is_empty(), "{}: {} has no meaning", kind.name, key.name);
                assert!(!key.takes.is_empty(), "{}: {} has no type", kind.name, key.name);
            }
        }
    }
}
