//! Tables of another version of this program, which are never mixed with those of this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::sink::{self, SinkError};
use crate::files::table::TABLE_VERSION;

/// A table of one model that another version made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error(
    "{} was made by another version: table `{table}` is of version {found} there and {TABLE_VERSION} here",
    path.display()
)]
pub(crate) struct OtherVersion {
    pub(crate) table: String,
    pub(crate) model: String,
    /// The file that was read.
    pub(crate) path: PathBuf,
    /// The version in its metadata, or `none`.
    pub(crate) found: String,
}

impl OtherVersion {
    /// Refuses the metadata of another version. A file without any of this program's keys is of another program, and
    /// has no version.
    pub(crate) fn check(
        (table, model): (&str, &str),
        path: &Path,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Self> {
        if metadata.is_empty() || is_current(metadata) {
            return Ok(());
        }
        let found = metadata.get("table_version").map_or("none", String::as_str).to_owned();
        Err(Self { table: table.to_owned(), model: model.to_owned(), path: path.to_owned(), found })
    }

    /// The tables of other versions in a folder of tables: `TABLE/MODEL/*.parquet`, or `TABLE/MODEL.parquet` where they
    /// are merged. Only the first readable file of each table and model is looked at, and of that only the footer.
    ///
    /// # Errors
    /// [`SinkError::Open`]: a folder that cannot be listed, a path that cannot be looked at.
    pub(crate) fn all_in(folder: &Path) -> Result<Vec<Self>, SinkError> {
        let mut others = Vec::new();
        for table in entries(folder)? {
            for model in entries(&table)? {
                let files = if is_dir(&model)? { entries(&model)? } else { vec![model.clone()] };
                let read = |path: PathBuf| Some((sink::metadata(&path).ok().flatten()?, path));
                let Some((metadata, path)) = files.into_iter().find_map(read) else { continue };
                others.extend(Self::check((&name(&table)?, &name(&model)?), &path, &metadata).err());
            }
        }
        Ok(others)
    }
}

/// Whether metadata is that of a table of this version.
pub(crate) fn is_current(metadata: &BTreeMap<String, String>) -> bool {
    metadata.get("table_version").is_some_and(|version| *version == TABLE_VERSION.to_string())
}

/// The name of a table or model: that of its folder, or of its file without the extension.
fn name(path: &Path) -> Result<String, SinkError> {
    let name = if is_dir(path)? { path.file_name() } else { path.file_stem() };
    Ok(name.unwrap_or_default().to_string_lossy().into_owned())
}

fn is_dir(path: &Path) -> Result<bool, SinkError> {
    let failed = |source| SinkError::Open { path: path.into(), source };
    Ok(pythia_files::found(path).map_err(failed)?.is_some_and(|found| found.is_dir()))
}

/// The paths in a folder, sorted; none where there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let failed = |source| SinkError::Open { path: folder.into(), source };
    if !is_dir(folder)? {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sink::Stamp;
    use crate::testing::Scratch;

    fn write(path: &Path, metadata: &[(&str, &str)]) {
        let stamp = Stamp { model: "m".into(), step: None, tokens_seen: None, checkpoint_status: "ok".into() };
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        fs::create_dir_all(path.parent().expect("inside")).expect("create");
        fs::write(path, sink::encode(&stamp, 1, Vec::new(), &metadata).expect("encode")).expect("write");
    }

    #[test]
    fn tables_of_other_versions_are_found_among_parts_and_merged_tables() {
        let scratch = Scratch::new("versions");
        let current = TABLE_VERSION.to_string();
        let version = |number| [("table_version", number)];
        write(&scratch.0.join("checkpoints/nano/step000000.parquet"), &version("3"));
        write(&scratch.0.join("loss/nano/step000512.parquet"), &version(&current));
        write(&scratch.0.join("loss/one.parquet"), &[("config", "{}")]);
        write(&scratch.0.join("of_another_program/nano/model.parquet"), &[]);
        write(&scratch.0.join("scores/nano/step000512.parquet"), &version("2"));
        fs::write(scratch.0.join("scores/nano/step000001.parquet"), b"cut").expect("write");
        fs::write(scratch.0.join("scores/note"), b"text").expect("write");
        let found = OtherVersion::all_in(&scratch.0).expect("lists");
        let names: Vec<String> = found.iter().map(|one| format!("{} {} {}", one.table, one.model, one.found)).collect();
        assert_eq!(names, ["checkpoints nano 3", "loss one none", "scores nano 2"]);
        let text = found[2].to_string();
        assert!(text.contains("step000512.parquet was made by another version"), "{text}");
        assert!(text.ends_with(&format!("table `scores` is of version 2 there and {current} here")), "{text}");
        assert_eq!(OtherVersion::all_in(&scratch.0.join("none")).expect("nothing there"), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_leads_nowhere_is_named() {
        let scratch = Scratch::new("versions-dangling");
        fs::create_dir_all(scratch.0.join("loss")).expect("create");
        std::os::unix::fs::symlink("nowhere", scratch.0.join("loss/nano")).expect("link");
        let error = OtherVersion::all_in(&scratch.0).expect_err("must say so").to_string();
        assert!(error.ends_with("loss/nano: it is a link to nowhere, which is not there"), "{error}");
    }
}
