//! The index of `results/`: for every table and model its parts, a file per checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pythia_core::suite::Step;

use crate::files::table::{file_of, step_of};
use crate::terminal::{Exit, Explained};

/// One table of one model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IndexedTable {
    pub(crate) table: String,
    pub(crate) model: String,
    /// The parts by their checkpoints, ascending; a model without steps has one under `None`.
    pub(crate) parts: BTreeMap<Option<Step>, PathBuf>,
}

/// The results in an output folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResultsIndex {
    /// By table and model.
    pub(crate) all: Vec<IndexedTable>,
    /// Parquet files that a run does not write: a scan of the folder would read them with the others.
    pub(crate) strays: Vec<PathBuf>,
}

/// Results that cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("{} is not an output folder of `pythia run`: it has no folder `results`", path.display())]
    NoResults { path: PathBuf },
    #[error("cannot list {}: {source}", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Explained for IndexError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoResults { .. } => Exit::Usage,
            Self::List { .. } | Self::Read { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::NoResults { .. } => Some("name the folder that the run wrote to: the one that holds results/".into()),
            Self::List { .. } => None,
            Self::Read { .. } => Some("check its permissions, or remove what leads nowhere".into()),
        }
    }
}

impl ResultsIndex {
    /// Lists the results of an output folder; nothing is opened.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(crate) fn of(out: &Path) -> Result<Self, IndexError> {
        let results = out.join("results");
        if !is(&results, fs::Metadata::is_dir)? {
            return Err(IndexError::NoResults { path: out.into() });
        }
        let mut found = Self::default();
        for (table, path) in found.folders(&results)? {
            for (model, path) in found.folders(&path)? {
                let entry = found.entry(table.clone(), model, &path)?;
                found.all.extend(Some(entry).filter(|entry| !entry.parts.is_empty()));
            }
        }
        Ok(found)
    }

    /// The path of a part, if it exists.
    pub(crate) fn part(&self, table: &str, model: &str, step: Option<Step>) -> Option<&Path> {
        let key = |entry: &IndexedTable| (entry.table.as_str(), entry.model.as_str()).cmp(&(table, model));
        let at = self.all.binary_search_by(key).ok()?;
        self.all[at].parts.get(&step).map(PathBuf::as_path)
    }

    pub(crate) fn has(&self, table: &str, model: &str, step: Option<Step>) -> bool {
        self.part(table, model, step).is_some()
    }

    /// The folders in a folder, by name.
    fn folders(&mut self, folder: &Path) -> Result<BTreeMap<String, PathBuf>, IndexError> {
        let mut folders = BTreeMap::new();
        for path in entries(folder)? {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if is(&path, fs::Metadata::is_dir)? => drop(folders.insert(name.to_owned(), path)),
                _ => self.note_stray(path),
            }
        }
        Ok(folders)
    }

    fn entry(&mut self, table: String, model: String, folder: &Path) -> Result<IndexedTable, IndexError> {
        let mut parts = BTreeMap::new();
        for path in entries(folder)? {
            match checkpoint_of(&path) {
                Some(step) if is(&path, fs::Metadata::is_file)? => drop(parts.insert(step, path)),
                _ => self.note_stray(path),
            }
        }
        Ok(IndexedTable { table, model, parts })
    }

    fn note_stray(&mut self, path: PathBuf) {
        if path.extension().is_some_and(|extension| extension == "parquet") {
            self.strays.push(path);
        }
    }
}

/// Whether there is something of that kind.
fn is(path: &Path, kind: fn(&fs::Metadata) -> bool) -> Result<bool, IndexError> {
    let failed = |source| IndexError::Read { path: path.into(), source };
    Ok(pythia_files::found(path).map_err(failed)?.is_some_and(|found| kind(&found)))
}

/// The paths in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, IndexError> {
    let failed = |source| IndexError::List { path: folder.into(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// The checkpoint of a part, by the name that a run gives it and no other spelling: `step000512.parquet`,
/// `model.parquet`.
fn checkpoint_of(path: &Path) -> Option<Option<Step>> {
    let step = step_of(path.file_name()?.to_str()?);
    (file_of("t", "m", step).file_name() == path.file_name()).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn parts_are_found_in_the_order_of_their_steps() {
        let scratch = Scratch::new("index");
        let results = scratch.0.join("results");
        let files = [
            "loss/nano/step000512.parquet",
            "loss/nano/step000001.parquet",
            "loss/nano/step1000000.parquet",
            "loss/nano/step0001.parquet",
            "loss/nano/.DS_Store",
            "loss/nano/stepx.parquet",
            "a/one/model.parquet",
            "b.parquet",
        ];
        for file in files {
            let path = results.join(file);
            fs::create_dir_all(path.parent().expect("inside")).expect("create");
            fs::write(path, b"").expect("write");
        }
        fs::create_dir_all(results.join("loss/empty")).expect("create");
        let found = ResultsIndex::of(&scratch.0).expect("lists");
        let names: Vec<String> = found.all.iter().map(|entry| format!("{}/{}", entry.table, entry.model)).collect();
        assert_eq!(names, ["a/one", "loss/nano"]);
        assert_eq!(found.all[0].parts.keys().collect::<Vec<_>>(), [&None]);
        let steps: Vec<u32> = found.all[1].parts.keys().flatten().map(|step| step.label()).collect();
        assert_eq!(steps, [1, 512, 1_000_000]);
        let strays: Vec<_> = found.strays.iter().map(|path| path.strip_prefix(&results).expect("inside")).collect();
        assert_eq!(strays, ["b.parquet", "loss/nano/step0001.parquet", "loss/nano/stepx.parquet"].map(Path::new));
        assert!(found.has("loss", "nano", Some(Step::from_label(512))) && found.has("a", "one", None));
        assert!(!found.has("loss", "nano", None) && !found.has("loss", "one", None));
    }

    #[cfg(unix)]
    #[test]
    fn a_part_that_leads_nowhere_is_named() {
        let scratch = Scratch::new("index-dangling");
        let folder = scratch.0.join("results/loss/nano");
        fs::create_dir_all(&folder).expect("create");
        std::os::unix::fs::symlink("nowhere", folder.join("step000512.parquet")).expect("link");
        let error = ResultsIndex::of(&scratch.0).expect_err("must say so").to_string();
        assert!(error.ends_with("step000512.parquet: it is a link to nowhere, which is not there"), "{error}");
    }

    #[test]
    fn a_folder_without_results_is_said_to_be_none() {
        let scratch = Scratch::new("index-none");
        let error = ResultsIndex::of(&scratch.0).expect_err("must refuse").to_string();
        assert!(error.ends_with("is not an output folder of `pythia run`: it has no folder `results`"), "{error}");
    }
}
