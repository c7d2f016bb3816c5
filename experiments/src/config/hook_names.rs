//! Names of hook points in the tables of probes that no model has: found without a model, and before a table is read.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::located::Located;
use super::problem::Problem;

/// Every such name under a key `hooks` or `hook`, also of the tables within.
pub(super) fn unknown(probe: &str, table: &DeTable<'_>) -> Vec<Located> {
    let mut problems = Vec::new();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "hooks" | "hook" => problems.extend(wrong(probe, value, &key.span())),
            _ => problems.extend(within(probe, value)),
        }
    }
    problems
}

fn within(probe: &str, value: &Spanned<DeValue<'_>>) -> Vec<Located> {
    match value.get_ref() {
        DeValue::Table(table) => unknown(probe, table),
        DeValue::Array(items) => items.iter().flat_map(|item| within(probe, item)).collect(),
        _ => Vec::new(),
    }
}

/// A name, or a list of them. What is neither is a wrong type, which is found where the table is read.
fn wrong(probe: &str, value: &Spanned<DeValue<'_>>, key: &Range<usize>) -> Vec<Located> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().flat_map(|item| wrong(probe, item, key)).collect(),
        DeValue::String(name) => {
            let error = pythia_hooks::is_known(name).err();
            let problem = error.map(|error| Problem::Hook { probe: probe.to_owned(), error });
            problem.map(|problem| Located::new(problem, key.clone())).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
