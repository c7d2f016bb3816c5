//! Which tables a folder holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{DamagedPart, Origin, ResultsError, Table};

/// The tables under `results/`, else those under `merged/`, and the parts that are damaged.
pub(super) fn tables(root: &Path) -> Result<(BTreeMap<String, Table>, Vec<DamagedPart>), ResultsError> {
    let (mut tables, mut damaged) = (BTreeMap::new(), Vec::new());
    for place in ["results", "merged"] {
        let folder = root.join(place);
        if folder.is_dir() && tables.is_empty() {
            for (name, path) in folders(&folder)? {
                if let Some(table) = table(&name, place, &path, &mut damaged)? {
                    tables.insert(name, table);
                }
            }
        }
    }
    // A run that has not finished any part yet has an empty folder of results.
    let begun = root.join("results").is_dir() || root.join("merged").is_dir();
    if begun { Ok((tables, damaged)) } else { Err(ResultsError::NotResults { root: root.into() }) }
}

/// The table in one folder; none where it has no part that can be read.
fn table(
    name: &str,
    place: &'static str,
    path: &Path,
    damaged: &mut Vec<DamagedPart>,
) -> Result<Option<Table>, ResultsError> {
    let mut parts: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (model, folder) in folders(path)? {
        let files = parquet_files(&folder)?;
        if !files.is_empty() {
            parts.insert(model, files);
        }
    }
    for file in parquet_files(path)? {
        let model = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        parts.entry(model).or_insert_with(|| vec![file]);
    }
    let mut origin = None;
    for files in parts.values_mut() {
        let mut good = Vec::new();
        for file in std::mem::take(files) {
            // Parts that were made by different versions are never mixed, so every part is checked.
            match Origin::checked(&file, name) {
                Err(ResultsError::Damaged { parts }) => damaged.extend(parts),
                checked => {
                    origin = origin.or(Some(checked?));
                    good.push(file);
                }
            }
        }
        *files = good;
    }
    parts.retain(|_, files| !files.is_empty());
    let Some(origin) = origin else { return Ok(None) };
    Ok(Some(Table { name: name.into(), folder: place, origin, parts }))
}

/// The folders in a folder, sorted.
fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>, ResultsError> {
    let mut folders: Vec<(String, PathBuf)> =
        entries(path)?.into_iter().filter(|path| path.is_dir()).filter_map(named).collect();
    folders.sort();
    Ok(folders)
}

fn named(path: PathBuf) -> Option<(String, PathBuf)> {
    // Names that are no text cannot be those of tables or models.
    path.file_name()?.to_str().map(str::to_owned).map(|name| (name, path))
}

fn parquet_files(path: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let is_part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet") && path.is_file();
    let mut files: Vec<PathBuf> = entries(path)?.into_iter().filter(is_part).collect();
    files.sort();
    Ok(files)
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let failed = |source| ResultsError::Io { path: path.into(), source };
    fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}
