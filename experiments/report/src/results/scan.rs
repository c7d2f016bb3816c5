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
        if is(&folder, fs::Metadata::is_dir)? && tables.is_empty() {
            for (name, path) in folders(&folder)? {
                if let Some(table) = table(&name, place, &path, &mut damaged)? {
                    tables.insert(name, table);
                }
            }
        }
    }
    // A run that has not finished any part yet has an empty folder of results.
    let begun = is(&root.join("results"), fs::Metadata::is_dir)? || is(&root.join("merged"), fs::Metadata::is_dir)?;
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
    let mut folders = Vec::new();
    for path in entries(path)? {
        if is(&path, fs::Metadata::is_dir)? {
            folders.extend(named(path));
        }
    }
    folders.sort();
    Ok(folders)
}

fn named(path: PathBuf) -> Option<(String, PathBuf)> {
    // Names that are no text cannot be those of tables or models.
    path.file_name()?.to_str().map(str::to_owned).map(|name| (name, path))
}

fn parquet_files(path: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let mut files = Vec::new();
    for path in entries(path)? {
        if path.extension().is_some_and(|extension| extension == "parquet") && is(&path, fs::Metadata::is_file)? {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether there is something of that kind. A link to nothing, and what cannot be looked at, is an error and no "no".
pub(super) fn is(path: &Path, kind: fn(&fs::Metadata) -> bool) -> Result<bool, ResultsError> {
    use std::io::ErrorKind;
    match fs::metadata(path) {
        Ok(found) => Ok(kind(&found)),
        // Nothing is there, not even a link.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                && fs::symlink_metadata(path).is_err() =>
        {
            Ok(false)
        }
        Err(source) => Err(ResultsError::Io { path: path.into(), source }),
    }
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let failed = |source| ResultsError::Io { path: path.into(), source };
    fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_part_that_leads_nowhere_is_named() {
        let scratch = Scratch::new("scan-dangling");
        let folder = scratch.0.join("results/loss/nano");
        fs::create_dir_all(&folder).expect("create");
        assert!(tables(&scratch.0).expect("an empty folder").0.is_empty());
        std::os::unix::fs::symlink("nowhere", folder.join("step000512.parquet")).expect("link");
        let error = tables(&scratch.0).expect_err("must say so").to_string();
        assert!(error.contains("cannot read") && error.contains("step000512.parquet"), "{error}");
    }
}
