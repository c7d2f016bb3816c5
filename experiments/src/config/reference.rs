//! The reference of experiment files, `docs/experiments.md`, from the schema: every key with what it takes, its value
//! where it is left out, and what it means.

use pythia_probes::ProbeSpec;
use serde_json::Value;

use super::schema::{self, KeyDoc};

const HEAD: &str = "# Experiment files

Every key of an experiment file, made from the program's own schema ([schema.json](../experiments/schema.json), which
gives completion in editors). `pythia new KIND > exp.toml` writes a file to start from, `pythia validate FILE` points at
each mistake, and `pythia list probes KIND` prints the part of this page that is about one kind of probe.

A file is TOML: keys of the whole file, then a `[[probe]]` for each probe.

```toml
name = \"losses\"
seed = 0
prepend_bos = true
models = [\"pythia-70m\"]
steps = \"log\"

[[probe]]
kind = \"token_loss\"
prompts = { n = 8, half_len = 24 }
```

- A lone value stands for a list of one. Numbers may be in quotes, and words are read in any case.
- `pairs.n` in a table below is the key `n` of the table `pairs`: `pairs = { n = 64 }`. On the command line it is
  `--set probe.0.pairs.n=64`.
- Paths count from the folder of the experiment file; `~`, `$NAME` and `${NAME}` are replaced
  ([store.md](store.md#paths)).
- A sign of `–` under \"default\" means that the key may be left out and has no value of its own then.
";

/// The text of `docs/experiments.md`.
pub fn reference() -> String {
    let head = schema::experiment_keys();
    let probes: String = ProbeSpec::KINDS.iter().map(|kind| section(kind.name)).collect();
    // Of no kind: the keys that all have, whose words depend on the kind.
    let common: Vec<KeyDoc> =
        schema::probe_keys("").into_iter().map(|key| KeyDoc { allowed: Vec::new(), ..key }).collect();
    format!(
        "{HEAD}\n## The whole file\n\n{}\n## Every `[[probe]]`\n\n{}\nThe other keys depend on `kind`.\n{probes}",
        table(&head.iter().filter(|key| key.name != "probe").collect::<Vec<_>>()),
        table(&common.iter().collect::<Vec<_>>()),
    )
}

/// A kind of probe: what it measures, and its own keys.
fn section(kind: &str) -> String {
    let schema = schema::probe_schema(kind);
    let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let keys = schema::probe_keys(kind);
    let own: Vec<&KeyDoc> = keys.iter().filter(|key| !["kind", "name"].contains(&key.name.as_str())).collect();
    format!("\n## `{kind}`\n\n{doc}\n\n{}", table(&own))
}

fn table(keys: &[&KeyDoc]) -> String {
    let rows: String = rows(keys, "").concat();
    format!("| key | takes | default | meaning |\n|---|---|---|---|\n{rows}")
}

/// The rows of some keys, the required ones first, each followed by those of its tables. `within` is the path of the
/// table that they are in.
fn rows(keys: &[&KeyDoc], within: &str) -> Vec<String> {
    let mut keys = keys.to_vec();
    keys.sort_by_key(|key| (!key.required, &key.name));
    let of_key = |key: &KeyDoc| {
        let path = format!("{within}{}", key.name);
        let mut all = vec![row(key, &format!("`{path}`"))];
        all.extend(rows(&key.keys.iter().collect::<Vec<_>>(), &format!("{path}.")));
        let mut entries: Vec<&KeyDoc> = key.entries.iter().collect();
        entries.sort_by_key(|entry| (!entry.required, &entry.name));
        all.extend(entries.into_iter().map(|entry| row(entry, &format!("`{}` in tables of `{path}`", entry.name))));
        all
    };
    keys.into_iter().flat_map(of_key).collect()
}

fn row(key: &KeyDoc, name: &str) -> String {
    let ticked = |text: &str| format!("`{text}`");
    let words: Vec<String> = key.allowed.iter().map(|word| ticked(word)).collect();
    let takes = if words.is_empty() { key.takes.clone() } else { format!("{}: {}", key.takes, words.join(", ")) };
    let default = match (&key.default, key.required) {
        (_, true) => "required".to_owned(),
        (Some(default), false) => ticked(default),
        (None, false) => "–".to_owned(),
    };
    let cells = [name, &takes, &default, &key.doc].map(cell);
    format!("| {} |\n", cells.join(" | "))
}

/// Text as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of some tables and all tables in them.
    fn count(keys: &[KeyDoc]) -> usize {
        keys.iter().map(|key| 1 + count(&key.keys) + count(&key.entries)).sum()
    }

    #[test]
    fn every_key_of_every_table_has_a_row() {
        let kinds = ProbeSpec::KINDS.iter().map(|kind| count(&schema::probe_keys(kind.name)) - 2);
        // `probe` has sections instead; `kind` and `name` have their rows once.
        let expected = count(&schema::experiment_keys()) - 1 + 2 + kinds.sum::<usize>();
        let page = reference();
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), expected, "{page}");
        let without_meaning = page.lines().find(|line| line.starts_with("| `") && line.ends_with("|  |"));
        assert_eq!(without_meaning, None);
    }

    #[test]
    fn rows_say_type_default_and_allowed_values() {
        let page = reference();
        for part in [
            "\n| `seed` | whole number | required | ",
            "\n| `on_bad` | word: `fail`, `mark`, `skip` | `\"fail\"` | ",
            "\n## `ablation`\n",
            "\n| `pairs` | table | required | ",
            "\n| `pairs.n` | whole number | `32` | ",
            "\n| `hook` in tables of `runs` | text | required | ",
        ] {
            assert!(page.contains(part), "{part:?} is not in\n{page}");
        }
    }

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(cell("a | b\nc\n\nd"), "a \\| b c d");
    }

    #[test]
    fn the_example_of_the_page_is_an_experiment() {
        let example = HEAD.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let experiment = crate::config::parse("page.toml", example, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(experiment.probes[0].spec.kind(), "token_loss");
    }
}
