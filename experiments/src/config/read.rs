//! From a table with spans to the parts of an [`Experiment`].

use std::ops::Range;
use std::path::PathBuf;

use pythia_core::store::ModelRef;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::located::Located;
use super::probes;
use super::problem::Problem;
use super::schema::{self, KeyDoc};
use super::sources::Sources;
use super::steps::Steps;
use super::{Experiment, Machine, StorePolicy, coerce, overrides};

/// What messages call the table of the whole file.
const WHOLE: &str = "the experiment";

/// Plain keys of the file, besides those of [`Machine`] and [`StorePolicy`]; `steps` and `[[probe]]` are read by hand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The experiment's name; the manifest of its run is OUT/state/NAME.json.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9_-]+$"))]
    name: Spanned<String>,
    /// What every random choice is derived from: the same seed gives the same prompts for every model and step.
    seed: u64,
    /// Whether a BOS token stands before every prompt. A probe may say otherwise for itself.
    prepend_bos: bool,
    /// Models: names of the suite (pythia-70m), or folders (./data/nano).
    #[schemars(with = "Vec<String>", length(min = 1))]
    models: Spanned<Vec<Spanned<String>>>,
    /// Folder that receives results/ and state/; out/NAME where the command runs, if it is left out.
    #[schemars(with = "Option<PathBuf>")]
    out: Option<Spanned<PathBuf>>,
}

/// Reads the whole document; all mistakes that can be told apart are reported together. `overrides` are the places of
/// the `--set` arguments in the texts.
pub(super) fn experiment(sources: &Sources, overrides: &[Range<usize>]) -> Result<Experiment, Vec<Located>> {
    let mut root = document(sources, overrides)?;
    let top = 0..sources.file().lines().next().map_or(0, str::len);
    let mut problems = Vec::new();
    problems.extend(wrong_keys(&root, WHOLE, &schema::experiment_keys(), &top));
    // The tables of probes are made to fit one by one, each to the schema of its kind.
    let listed = root.remove("probe");
    coerce::table(&mut root, &schema::document());
    let steps = root.remove_entry("steps");
    let steps_at = steps.as_ref().map_or(top.clone(), |(_, value)| value.span());
    let steps = take(&mut problems, steps.map(|(_, value)| Steps::parse(value).map_err(|one| vec![one])));
    let probes = take(&mut problems, listed.map(probes::read_probes));
    let comparable = keys_are_right(&problems);
    let mut head = take(&mut problems, comparable.then(|| section::<Head>(&mut root, &top)));
    let mut machine = take(&mut problems, comparable.then(|| section::<Machine>(&mut root, &top)));
    let mut store = take(&mut problems, comparable.then(|| section::<StorePolicy>(&mut root, &top)));
    problems.extend(lead_paths(sources, head.as_mut(), machine.as_mut(), store.as_mut()));
    take(&mut problems, head.as_ref().map(|head| check_name(&head.name, "an experiment")));
    let models = take(&mut problems, head.as_ref().map(|head| read_models(sources, head)));
    match (head, machine, store, models, steps, probes) {
        (Some(head), Some(machine), Some(store), Some(models), Some(steps), Some(probes)) if problems.is_empty() => {
            let Head { name, seed, prepend_bos, out, .. } = head;
            let out = out.map(Spanned::into_inner);
            let (name, steps, sources) = (name.into_inner(), Spanned::new(steps_at, steps), sources.clone());
            Ok(Experiment { name, seed, prepend_bos, models, steps, probes, out, machine, store, sources })
        }
        _ => Err(problems),
    }
}

/// Reading the plain keys would repeat what the comparison of keys has found, so it waits until that found nothing.
fn keys_are_right(problems: &[Located]) -> bool {
    !problems.iter().any(|located| match &*located.problem {
        Problem::UnknownKey { table, .. } | Problem::MissingKey { table, .. } => table == WHOLE,
        _ => false,
    })
}

/// The value where there is one, its problems put with the others where not.
fn take<T>(problems: &mut Vec<Located>, result: Option<Result<T, Vec<Located>>>) -> Option<T> {
    match result? {
        Ok(value) => Some(value),
        Err(more) => {
            problems.extend(more);
            None
        }
    }
}

fn document<'s>(sources: &'s Sources, ranges: &[Range<usize>]) -> Result<DeTable<'s>, Vec<Located>> {
    let text = sources.file();
    let parsed = DeTable::parse(text).map_err(|error| vec![Located::toml(error, 0..text.len())])?;
    let mut root = parsed.into_inner();
    for range in ranges {
        overrides::apply(&mut root, sources, range).map_err(|one| vec![one])?;
    }
    Ok(root)
}

/// Keys that the table has and the schema does not, and those that the schema requires and the table lacks.
pub(super) fn wrong_keys(table: &DeTable<'_>, what: &str, keys: &[KeyDoc], at: &Range<usize>) -> Vec<Located> {
    let unknown = table.keys().filter(|key| !keys.iter().any(|known| known.name == key.get_ref().as_ref()));
    let mut problems: Vec<Located> = unknown
        .map(|key| {
            let allowed = keys.iter().map(|known| known.name.clone()).collect();
            let problem = Problem::UnknownKey { key: key.get_ref().to_string(), table: what.into(), allowed };
            Located::new(problem, key.span())
        })
        .collect();
    let missing = keys.iter().filter(|known| known.required && !table.contains_key(known.name.as_str()));
    problems.extend(missing.map(|known| {
        let problem = Problem::MissingKey { key: known.name.clone(), table: what.into(), meaning: known.doc.clone() };
        Located::new(problem, at.clone())
    }));
    problems
}

/// Reads the keys of the file that are fields of `T`.
fn section<T: DeserializeOwned + JsonSchema>(root: &mut DeTable<'_>, at: &Range<usize>) -> Result<T, Vec<Located>> {
    let keys = schema::keys_of::<T>();
    let table: DeTable<'_> = keys.iter().filter_map(|key| root.remove_entry(key.name.as_str())).collect();
    let table = Spanned::new(at.clone(), DeValue::Table(table));
    T::deserialize(ValueDeserializer::from(table)).map_err(|error| vec![Located::toml(error, at.clone())])
}

/// Replaces the paths of the plain keys by where they lead.
fn lead_paths(
    sources: &Sources,
    head: Option<&mut Head>,
    machine: Option<&mut Machine>,
    store: Option<&mut StorePolicy>,
) -> Vec<Located> {
    let out = head.map(|head| ("out", &mut head.out));
    let cache = machine.map(|machine| ("cache", &mut machine.cache));
    let of_store = store.map(|store| [("known_bad", &mut store.known_bad), ("lock", &mut store.lock)]);
    let all = out.into_iter().chain(cache).chain(of_store.into_iter().flatten());
    all.filter_map(|(key, path)| sources.lead(key, path).err()).collect()
}

fn read_models(sources: &Sources, head: &Head) -> Result<Vec<Spanned<ModelRef>>, Vec<Located>> {
    let (mut models, mut problems) = (Vec::new(), Vec::new());
    if head.models.get_ref().is_empty() {
        problems.push(Located::new(Problem::Empty { key: "models" }, head.models.span()));
    }
    for text in head.models.get_ref() {
        match sources.model(text) {
            Ok(model) => models.push(model),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(models) } else { Err(problems) }
}

/// Names become those of files and folders, on every file system and in every shell.
pub(super) fn check_name(name: &Spanned<String>, what: &'static str) -> Result<(), Vec<Located>> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !name.get_ref().is_empty() && name.get_ref().chars().all(allowed) {
        return Ok(());
    }
    let problem = Problem::BadName { name: name.get_ref().clone(), what, allowed: "a-z, 0-9, `_` and `-`" };
    Err(vec![Located::new(problem, name.span())])
}
