//! The files of a checkpoint in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{IndexProblem, StoreError};
use super::{CheckpointFiles, Description, Step};
use crate::weights::WeightFiles;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
/// A format of weights.
struct Form {
    /// Name of the single file.
    whole: &'static str,
    /// Name of the index of shards.
    index: &'static str,
    /// Suffix of the names of shards.
    suffix: &'static str,
    files: fn(Vec<PathBuf>) -> WeightFiles,
}

/// The formats, the preferred one first.
const FORMS: [Form; 2] = [
    Form {
        whole: "model.safetensors",
        index: "model.safetensors.index.json",
        suffix: ".safetensors",
        files: WeightFiles::Safetensors,
    },
    Form {
        whole: "pytorch_model.bin",
        index: "pytorch_model.bin.index.json",
        suffix: ".bin",
        files: WeightFiles::Pytorch,
    },
];
/// The largest index of the suite has 50 kB.
const MAX_INDEX: u64 = 16 << 20;

/// The checkpoint in a folder; its tokenizer is taken from the first of `tokenizer_homes` that has one when the
/// folder itself has none.
pub(super) fn checkpoint_in(dir: &Path, tokenizer_homes: &[&Path]) -> Result<CheckpointFiles, StoreError> {
    let Description { config, tokenizer } = description_in(dir, tokenizer_homes)?;
    Ok(CheckpointFiles { config, weights: weights_in(dir)?, tokenizer })
}

/// The checkpoint without its weights.
pub(super) fn description_in(dir: &Path, tokenizer_homes: &[&Path]) -> Result<Description, StoreError> {
    let config = dir.join(CONFIG);
    if !config.is_file() {
        return Err(StoreError::NoConfig { dir: dir.to_owned() });
    }
    let homes = [dir].into_iter().chain(tokenizer_homes.iter().copied());
    let tokenizer = homes.map(|home| home.join(TOKENIZER)).find(|file| file.is_file());
    Ok(Description { config, tokenizer })
}

/// Whether a folder has a configuration and a file of weights or an index. No file is opened.
pub(super) fn looks_like_checkpoint(dir: &Path) -> bool {
    dir.join(CONFIG).is_file() && names().any(|name| dir.join(name).is_file())
}

/// The names of files of weights and of indices, the preferred ones first.
fn names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().flat_map(|form| [form.whole, form.index])
}

fn weights_in(dir: &Path) -> Result<WeightFiles, StoreError> {
    for form in FORMS {
        let whole = dir.join(form.whole);
        if whole.is_file() {
            return Ok((form.files)(vec![whole]));
        }
        let index = dir.join(form.index);
        if index.is_file() {
            return shards(&index, form.suffix).map(form.files);
        }
    }
    Err(StoreError::NoWeights { dir: dir.to_owned(), looked_for: names().collect() })
}

/// The one key of an index that matters: tensor name → file name.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names. They must be in the folder of the index, so any name that could be a path is refused.
fn shards(index: &Path, suffix: &'static str) -> Result<Vec<PathBuf>, StoreError> {
    let bad = |problem| StoreError::BadIndex { index: index.to_owned(), problem };
    let text = read_small(index, MAX_INDEX)?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|source| bad(source.into()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(bad(IndexProblem::Empty));
    }
    let dir = index.parent().unwrap_or(Path::new(""));
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        if !is_plain_name(&name, suffix) {
            return Err(bad(IndexProblem::NotAPlainName { found: name, suffix }));
        }
        let file = dir.join(&name);
        if !file.is_file() {
            return Err(StoreError::MissingShard { index: index.to_owned(), shard: name });
        }
        files.push(file);
    }
    Ok(files)
}

/// Letters, digits, `-`, `_` and `.` without a leading dot. No system reads such a name as a path.
fn is_plain_name(name: &str, suffix: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.ends_with(suffix) && !name.starts_with('.') && name.chars().all(plain)
}

/// Reads a whole file of at most `max` bytes.
pub(super) fn read_small(path: &Path, max: u64) -> Result<Vec<u8>, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    // One byte more than the limit is read to detect a file that is too large.
    file.take(max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max {
        let found = fs::metadata(path).map_or(bytes.len() as u64, |meta| meta.len());
        return Err(StoreError::TooLarge { path: path.to_owned(), found, max });
    }
    Ok(bytes)
}

/// The entries of a folder whose names are steps, ascending, for which `keep` holds; none if there is no such folder.
pub(super) fn steps_in(dir: &Path, keep: impl Fn(Step, &Path) -> bool) -> Result<Vec<Step>, StoreError> {
    let io = |source| StoreError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let label = name.to_str().filter(|name| name.starts_with("step")).and_then(|name| name.parse().ok());
        steps.extend(label.filter(|&step| keep(step, &entry.path())));
    }
    steps.sort_unstable();
    Ok(steps)
}
