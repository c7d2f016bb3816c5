//! From a table with spans to the parts of an [`Experiment`].

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use pythia_core::device::DeviceName;
use pythia_core::store::ModelRef;
use pythia_core::weights::Profile;
use pythia_probes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::located::Located;
use super::probes;
use super::problem::Problem;
use super::schema::{self, KeyDoc};
use super::sources::Sources;
use super::steps::Steps;
use super::{Experiment, Machine, Precision, ProbeEntry, StorePolicy, overrides};
use crate::integrity::OnBad;

/// What messages call the table of the whole file.
const WHOLE: &str = "the experiment";

/// The plain keys of the file; `steps` and `[[probe]]` are read by hand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The experiment's name; its resolved form is kept as OUT/state/NAME.json.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9_-]+$"))]
    name: Spanned<String>,
    /// What every random choice is derived from: the same seed gives the same prompts for every model and step.
    seed: u64,
    /// Whether a BOS token stands before every prompt. A probe may say otherwise for itself.
    prepend_bos: bool,
    /// Models: names of the suite (pythia-70m), or folders (./data/nano, counted from where the command runs).
    #[schemars(with = "Vec<String>", length(min = 1))]
    models: Spanned<Vec<Spanned<String>>>,
    /// Folder that receives results/ and state/; ./out where it is left out.
    out: Option<PathBuf>,
    /// Where to compute: cpu, or a GPU by gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them.
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = DeviceName::PATTERN))]
    device: DeviceName,
    /// Precision: of everything (f32, f64), or of weights and the products with them (f16, bf16), while all else stays
    /// in 32 bits.
    #[serde(default)]
    dtype: Precision,
    /// How weights are prepared before they are used.
    #[serde(default)]
    weights: WeightProfile,
    /// Root of the hub's cache; HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub where it is left out.
    cache: Option<PathBuf>,
    /// Memory that the whole process may take (16GiB): weights that do not fit are used layer by layer from their
    /// files, which changes no result. What the machine has free where it is left out.
    memory: Option<Bytes>,
    /// What to do with a checkpoint that is known to be wrong as published, or has the weights of another step.
    #[serde(default)]
    on_bad: OnBad,
    /// A JSON file of further known defects, in the form of the program's own list: {"known_bad": [...]}.
    known_bad: Option<PathBuf>,
    /// The file of pinned commits and hashes; the experiment's own name with .lock.json where it is left out.
    lock: Option<PathBuf>,
    /// Disk that fetched checkpoints may take, for example "200GB"; the least recently used go first. No bound where it
    /// is left out.
    cache_max: Option<Bytes>,
    /// Disk that must stay free, for example "20GB"; 1GiB where it is left out.
    min_free: Option<Bytes>,
}

/// A weight profile by name.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WeightProfile {
    /// The numbers of the file.
    #[default]
    AsPublished,
    /// TransformerLens' folding of norms, centring and value biases. Hook values change as they do there.
    Tl2,
}

impl From<WeightProfile> for Profile {
    fn from(name: WeightProfile) -> Self {
        match name {
            WeightProfile::AsPublished => Profile::AsPublished,
            WeightProfile::Tl2 => Profile::Tl2,
        }
    }
}

/// Everything of an experiment but the texts it came from.
pub(super) struct Parts {
    head: Head,
    models: Vec<Spanned<ModelRef>>,
    steps: Spanned<Steps>,
    probes: Vec<ProbeEntry>,
}

impl Parts {
    pub(super) fn with_sources(self, sources: Sources) -> Experiment {
        let Head {
            name,
            seed,
            prepend_bos,
            out,
            device,
            dtype,
            weights,
            cache,
            memory,
            on_bad,
            known_bad,
            lock,
            cache_max,
            min_free,
            ..
        } = self.head;
        let machine = Machine { device, dtype, weights: weights.into(), cache, memory };
        Experiment {
            name: name.into_inner(),
            seed,
            prepend_bos,
            models: self.models,
            steps: self.steps,
            probes: self.probes,
            out,
            machine,
            store: StorePolicy { on_bad, known_bad, lock, cache_max, min_free },
            sources,
        }
    }
}

/// Reads the whole document; all mistakes that can be told apart are reported together.
pub(super) fn experiment(sources: &Sources, overrides: &[Range<usize>]) -> Result<Parts, Vec<Located>> {
    let mut root = document(sources, overrides)?;
    let top = 0..sources.file().lines().next().map_or(0, str::len);
    let mut problems = Vec::new();
    problems.extend(wrong_keys(&root, WHOLE, &schema::experiment_keys(), &top));
    let steps = root.remove_entry("steps");
    let listed = root.remove("probe");
    let steps_at = steps.as_ref().map_or(top.clone(), |(_, value)| value.span());
    let steps = take(&mut problems, steps.map(|(_, value)| Steps::parse(value).map_err(|one| vec![one])));
    let probes = take(&mut problems, listed.map(probes::read_probes));
    let comparable = keys_are_right(&problems);
    let head = take(&mut problems, comparable.then(|| read_head(root, &top)));
    take(&mut problems, head.as_ref().map(|head| check_name(&head.name, "an experiment")));
    let models = take(&mut problems, head.as_ref().map(read_models));
    match (head, models, steps, probes) {
        (Some(head), Some(models), Some(steps), Some(probes)) if problems.is_empty() => {
            Ok(Parts { head, models, steps: Spanned::new(steps_at, steps), probes })
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

fn read_head(root: DeTable<'_>, at: &Range<usize>) -> Result<Head, Vec<Located>> {
    let table = Spanned::new(at.clone(), DeValue::Table(root));
    Head::deserialize(ValueDeserializer::from(table)).map_err(|error| vec![Located::toml(error, at.clone())])
}

fn read_models(head: &Head) -> Result<Vec<Spanned<ModelRef>>, Vec<Located>> {
    let (mut models, mut problems) = (Vec::new(), Vec::new());
    if head.models.get_ref().is_empty() {
        problems.push(Located::new(Problem::Empty { key: "models" }, head.models.span()));
    }
    for text in head.models.get_ref() {
        match ModelRef::from_str(text.get_ref()) {
            Ok(model) => models.push(Spanned::new(text.span(), model)),
            Err(error) => problems.push(Located::new(error, text.span())),
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
    let problem = Problem::BadName { name: name.get_ref().clone(), what };
    Err(vec![Located::new(problem, name.span())])
}
