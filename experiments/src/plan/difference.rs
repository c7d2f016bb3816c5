//! The difference between two configurations, for messages.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The settings in which a results file and this run differ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Difference {
    /// Settings by their dotted path: there, here; null where one side lacks it.
    Settings(BTreeMap<String, (Value, Value)>),
    /// The file carries no configuration; what was found instead.
    Unknown(String),
}

impl Difference {
    /// Compares the configuration in a file with the one of this run; both as JSON.
    pub(crate) fn between(there: &str, here: &str) -> Self {
        let (Ok(there_json), Ok(here_json)) = (serde_json::from_str(there), serde_json::from_str(here)) else {
            return Self::Unknown(there.to_owned());
        };
        let (mut there, mut here) = (BTreeMap::new(), BTreeMap::new());
        flatten("", &there_json, &mut there);
        flatten("", &here_json, &mut here);
        let mut settings = BTreeMap::new();
        for path in there.keys().chain(here.keys()) {
            let value = |side: &BTreeMap<String, Value>| side.get(path).cloned().unwrap_or_default();
            if value(&there) != value(&here) {
                settings.insert(path.clone(), (value(&there), value(&here)));
            }
        }
        // Other versions differ in more, and that is not what the user has changed.
        if settings.contains_key("table_version") {
            settings.retain(|path, _| path == "table_version");
        }
        Self::Settings(settings)
    }
}

/// The leaves of a value by their dotted paths; a list is a leaf.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, leaves);
            }
        }
        leaf => {
            leaves.insert(path.to_owned(), leaf.clone());
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(found) => f.write_str(found),
            Self::Settings(settings) => {
                let parts =
                    settings.iter().map(|(path, (there, here))| format!("{path} is {there} there and {here} here"));
                f.write_str(&parts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let there = r#"{"seed": 3, "probe": {"kind": "x", "batch": 8}, "step": 1}"#;
        let here = r#"{"seed": 3, "probe": {"kind": "x", "batch": 9, "late": 2}, "step": 1}"#;
        let difference = Difference::between(there, here).to_string();
        assert_eq!(difference, "probe.batch is 8 there and 9 here, probe.late is null there and 2 here");
        let [old, new] = [3, 4].map(|version| format!(r#"{{"table_version": {version}, "x{version}": 1}}"#));
        assert_eq!(Difference::between(&old, &new).to_string(), "table_version is 3 there and 4 here");
        assert_eq!(Difference::between("cut", here).to_string(), "cut");
    }
}
