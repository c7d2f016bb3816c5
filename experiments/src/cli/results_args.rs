//! The output folder that a command reads: named, an experiment's, or the only one in `out/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::error::read_file;
use crate::cli::failure::Failure;
use crate::config;
use crate::terminal::{Exit, Explained, env, quote, say};

/// The output folder to read.
#[derive(Debug, clap::Args)]
pub(crate) struct ResultsArgs {
    /// The output folder of `pythia run`, or its experiment file [default: the only output folder in ./out]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ResultsArgs {
    /// The folder. One that was found and not named is said on stderr.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        folder(self.dir.as_deref())
    }
}

/// The folder that was named, that of the experiment whose file was named, or else the only one in `out/`.
pub(super) fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        None => {
            let found = only(Path::new(env::OUT))?;
            say!("reading {}", found.display());
            Ok(found)
        }
        Some(path) if has(path, fs::Metadata::is_file)? => of_experiment(path),
        Some(path) => Ok(named_folder(path)?),
    }
}

/// Where `pythia run FILE` writes.
fn of_experiment(file: &Path) -> Result<PathBuf, Failure> {
    let experiment = config::parse(file, &read_file(file)?, &[])?;
    Ok(experiment.output_folder())
}

/// A named folder. What it holds is for the command to judge, unless it only holds output folders.
fn named_folder(path: &Path) -> Result<PathBuf, OutputFolderError> {
    let path = path.to_owned();
    if is_output(&path)? {
        return Ok(path);
    }
    let found = within(&path)?;
    if found.is_empty() { Ok(path) } else { Err(OutputFolderError::Outer { path, found }) }
}

/// The only output folder in `place`, or `place` itself.
fn only(place: &Path) -> Result<PathBuf, OutputFolderError> {
    let itself = is_output(place)?.then(|| place.to_owned());
    let mut found: Vec<PathBuf> = itself.into_iter().chain(within(place)?).collect();
    let place = place.to_owned();
    match found.len() {
        0 => Err(OutputFolderError::Nothing { place }),
        1 => Ok(found.swap_remove(0)),
        _ => Err(OutputFolderError::Several { place, found }),
    }
}

/// The output folders in a folder, by name.
fn within(place: &Path) -> Result<Vec<PathBuf>, OutputFolderError> {
    let failed = |source| OutputFolderError::Read { path: place.into(), source };
    let entries = match fs::read_dir(place) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if is_output(&path)? {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a run or a merge has written to the folder.
fn is_output(path: &Path) -> Result<bool, OutputFolderError> {
    for part in ["results", "state", "merged"] {
        if has(&path.join(part), fs::Metadata::is_dir)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether there is something of that kind. Only "not there" is a no: a folder without permission is an error.
fn has(path: &Path, kind: fn(&fs::Metadata) -> bool) -> Result<bool, OutputFolderError> {
    match fs::metadata(path) {
        Ok(found) => Ok(kind(&found)),
        Err(error) if is_absence(&error) => Ok(false),
        Err(source) => Err(OutputFolderError::Read { path: path.into(), source }),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Why it is not known which folder is meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputFolderError {
    #[error("there are no results in {}", place.display())]
    Nothing { place: PathBuf },
    #[error("there are several output folders in {}:{}", place.display(), list(found))]
    Several { place: PathBuf, found: Vec<PathBuf> },
    #[error("{} is not an output folder itself, but holds some:{}", path.display(), list(found))]
    Outer { path: PathBuf, found: Vec<PathBuf> },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Explained for OutputFolderError {
    fn exit(&self) -> Exit {
        match self {
            Self::Nothing { .. } | Self::Several { .. } | Self::Outer { .. } => Exit::Usage,
            Self::Read { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Nothing { .. } => {
                "name the output folder or the experiment file; `pythia run FILE` makes results".into()
            }
            Self::Several { found, .. } | Self::Outer { found, .. } => {
                let first = found.first().map(quote::shell).unwrap_or_default();
                format!("name one of them, for example {first}")
            }
            Self::Read { .. } => "check the path and its permissions".into(),
        })
    }
}

/// The first few, a line each.
fn list(found: &[PathBuf]) -> String {
    const SHOWN: usize = 12;
    let lines = found.iter().take(SHOWN).map(|path| format!("\n  {}", path.display()));
    let others = found.len().saturating_sub(SHOWN);
    let others = if others > 0 { format!("\n  and {others} more") } else { String::new() };
    lines.collect::<String>() + &others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn make(scratch: &Scratch, folders: &[&str]) {
        folders.iter().for_each(|folder| fs::create_dir_all(scratch.0.join(folder)).expect("create"));
    }

    #[test]
    fn the_only_output_folder_is_found_and_several_are_listed() {
        let scratch = Scratch::new("output-folders");
        let place = scratch.0.join("out");
        assert!(matches!(only(&place), Err(OutputFolderError::Nothing { .. })));
        make(&scratch, &["out/notes", "out/demo/results"]);
        assert_eq!(only(&place).expect("one"), place.join("demo"));
        make(&scratch, &["out/a b/merged"]);
        let error = only(&place).expect_err("two");
        let report = error.report(false);
        assert!(report.contains("out/a b\n") && report.contains("out/demo"), "{report}");
        assert!(report.ends_with(&format!("for example '{}'", place.join("a b").display())), "{report}");
    }

    #[test]
    fn a_folder_of_output_folders_is_none_itself() {
        let scratch = Scratch::new("output-folder-named");
        make(&scratch, &["out/demo/state", "empty"]);
        let at = |name: &str| scratch.0.join(name);
        assert!(matches!(named_folder(&at("out")), Err(OutputFolderError::Outer { .. })));
        for path in ["out/demo", "empty", "absent"].map(at) {
            assert_eq!(named_folder(&path).expect("taken as it is"), path);
        }
    }

    #[test]
    fn an_experiment_names_the_folder_that_its_run_writes_to() {
        let scratch = Scratch::new("output-folder-experiment");
        let file = scratch.0.join("exp.toml");
        let text = "name = 'n-1'\nseed = 0\nprepend_bos = true\nmodels = ['pythia-70m']\nsteps = 'all'\n\
                    [[probe]]\nkind = 'weight_norms'\n";
        fs::write(&file, text).expect("write");
        assert_eq!(folder(Some(&file)).expect("right"), Path::new("out/n-1"));
        fs::write(&file, format!("out = 'there'\n{text}")).expect("write");
        assert_eq!(folder(Some(&file)).expect("right").file_name(), Path::new("there").file_name());
    }
}
