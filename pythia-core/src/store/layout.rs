//! The files of a checkpoint in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{IndexProblem, StoreError};
use super::{CheckpointFiles, Description, Step, foreign};
use crate::json;
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
    if !is_file(&config)? {
        return Err(match foreign::find(dir, true) {
            Some((path, format)) => StoreError::Foreign { path, format },
            None => StoreError::NoConfig { dir: dir.to_owned() },
        });
    }
    for home in [dir].into_iter().chain(tokenizer_homes.iter().copied()) {
        let tokenizer = home.join(TOKENIZER);
        if is_file(&tokenizer)? {
            return Ok(Description { config, tokenizer: Some(tokenizer) });
        }
    }
    Ok(Description { config, tokenizer: None })
}

/// Whether a folder has a configuration and a file of weights or an index. No file is opened. What cannot be looked at
/// counts as present, so that it is met again where it is read.
pub(super) fn looks_like_checkpoint(dir: &Path) -> bool {
    let present = |name: &str| is_file(&dir.join(name)).unwrap_or(true);
    present(CONFIG) && names().any(present)
}

/// Whether there is a file at a path.
///
/// # Errors
/// If there is something else, or it cannot be told.
pub(super) fn is_file(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(_) => Err(StoreError::NotAFile { path: path.to_owned() }),
        Err(error) => absent(path, error).map(|()| false),
    }
}

/// Whether there is a folder at a path.
///
/// # Errors
/// If it cannot be told.
pub(super) fn is_dir(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(error) => absent(path, error).map(|()| false),
    }
}

/// Nothing if the error says that there is nothing at the path. A link to nothing is something.
fn absent(path: &Path, error: io::Error) -> Result<(), StoreError> {
    match error.kind() {
        io::ErrorKind::NotADirectory => Ok(()),
        io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => Err(StoreError::DanglingLink { link: path.to_owned(), target }),
            Err(_) => Ok(()),
        },
        _ => Err(StoreError::Io { path: path.to_owned(), source: error }),
    }
}

/// The names of files of weights and of indices, the preferred ones first.
fn names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().flat_map(|form| [form.whole, form.index])
}

fn weights_in(dir: &Path) -> Result<WeightFiles, StoreError> {
    for form in FORMS {
        let whole = dir.join(form.whole);
        if is_file(&whole)? {
            return Ok((form.files)(vec![whole]));
        }
        let index = dir.join(form.index);
        if is_file(&index)? {
            return shards(&index, form.suffix).map(form.files);
        }
    }
    Err(match foreign::find(dir, false) {
        Some((path, format)) => StoreError::Foreign { path, format },
        None => StoreError::NoWeights { dir: dir.to_owned(), looked_for: names().collect() },
    })
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
    let text = json::text(&text).map_err(|source| bad(source.into()))?;
    let parsed: Index = serde_json::from_str(&text).map_err(|source| bad(source.into()))?;
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
        if !is_file(&file)? {
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
    let mut steps = Vec::new();
    for (name, path) in entries(dir)? {
        let label = name.strip_prefix("step").and_then(|_| name.parse().ok());
        steps.extend(label.filter(|&step| keep(step, &path)));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The entries of a folder whose names are text, with their paths; none if there is no such folder.
pub(super) fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let io = |source| StoreError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        found.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    Ok(found)
}
