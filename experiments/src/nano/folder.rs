//! The trained suite on disk: `DIR/step512/{config.json,model.safetensors}` and so on, and `DIR/suite.json`.
//!
//! Training works in a hidden folder beside the wanted one, which takes its name only when everything is in it. So a
//! folder of that name is always complete, an interrupted training leaves nothing that could be taken for a suite, and
//! the next one starts again over what is left.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use pythia_core::params::HostParams;
use pythia_core::weights;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::recipe::Recipe;
use super::train::{self, Diverged, Tick};
use crate::terminal::{Exit, Explained};

const DESCRIPTION: &str = "suite.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const LOCK: &str = ".lock";

/// What `suite.json` says: what any folder of checkpoints may say about itself, and the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Description {
    model: String,
    tokens_per_step: u64,
    recipe: Recipe,
}

/// How [`ensure`] came by the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was trained now.
    Trained,
    /// It was there already.
    Reused,
}

/// Why there is no suite.
#[derive(Debug, Error)]
pub(crate) enum NanoError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} cannot name a new folder", path.display())]
    NoName { path: PathBuf },
    #[error("{} is not empty and holds no finished suite; name another folder", path.display())]
    Occupied { path: PathBuf },
    #[error(
        "{} holds a suite of another recipe (seed {}); name another folder, or remove this one",
        path.display(),
        found.seed
    )]
    OtherRecipe {
        path: PathBuf,
        /// The recipe of the suite that is there.
        found: Box<Recipe>,
    },
    #[error("{} does not describe a trained suite: {source}", path.display())]
    BadDescription { path: PathBuf, source: serde_json::Error },
    #[error("{} is missing from a finished suite; remove the suite's folder to train it again", path.display())]
    Missing { path: PathBuf },
    #[error("another process is training in {}; wait for it, or name another folder", path.display())]
    Busy {
        /// Where that process works.
        path: PathBuf,
    },
    #[error(transparent)]
    Diverged(#[from] Diverged),
}

impl Explained for NanoError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::Resources,
            Self::NoName { .. } => Exit::Usage,
            Self::Occupied { .. }
            | Self::OtherRecipe { .. }
            | Self::BadDescription { .. }
            | Self::Missing { .. }
            | Self::Busy { .. }
            | Self::Diverged(_) => Exit::BadInput,
        }
    }
}

/// Makes sure that `out` holds the suite of `recipe`: trains it, or finds it there, whole and of the same recipe.
///
/// # Errors
/// [`NanoError`]; then `out` is as it was.
pub(crate) fn ensure(
    out: &Path,
    recipe: &Recipe,
    device: &Device,
    progress: &mut dyn FnMut(Tick),
) -> Result<Outcome, NanoError> {
    if finished(out, recipe)? {
        return Ok(Outcome::Reused);
    }
    let work = WorkFolder::open(out)?;
    // The process that held the lock before may have finished the same suite.
    if finished(out, recipe)? {
        work.clear()?;
        return Ok(Outcome::Reused);
    }
    match fill(&work, recipe, device, progress) {
        Ok(()) => work.publish(out).map(|()| Outcome::Trained),
        Err(error) => {
            // The error that stopped the training is the one to report, whatever tidying up says.
            let _ = work.clear();
            Err(error)
        }
    }
}

/// Whether `out` holds the whole suite of this recipe; an error if it holds anything else.
fn finished(out: &Path, recipe: &Recipe) -> Result<bool, NanoError> {
    let path = out.join(DESCRIPTION);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return vacant(out).map(|()| false),
        Err(source) => return Err(NanoError::Io { action: "read", path, source }),
    };
    let found: Description =
        serde_json::from_str(&text).map_err(|source| NanoError::BadDescription { path, source })?;
    if found.recipe != *recipe {
        return Err(NanoError::OtherRecipe { path: out.to_owned(), found: Box::new(found.recipe) });
    }
    for step in recipe.steps() {
        for name in [CONFIG, WEIGHTS] {
            let path = step_folder(out, step).join(name);
            if !attempt("read", &path, pythia_files::found)?.is_some_and(|found| found.is_file()) {
                return Err(NanoError::Missing { path });
            }
        }
    }
    Ok(true)
}

/// An error unless `out` is absent or an empty folder.
fn vacant(out: &Path) -> Result<(), NanoError> {
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(NanoError::Occupied { path: out.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(NanoError::Io { action: "read", path: out.to_owned(), source }),
    }
}

fn step_folder(out: &Path, step: u32) -> PathBuf {
    out.join(format!("step{step}"))
}

/// Trains, writing every checkpoint into the work, the description last.
fn fill(work: &WorkFolder, recipe: &Recipe, device: &Device, progress: &mut dyn FnMut(Tick)) -> Result<(), NanoError> {
    let config = recipe.config();
    let keep = |step: u32, params: &HostParams| {
        let folder = step_folder(&work.path, step);
        attempt("create", &folder, |path| fs::create_dir(path))?;
        attempt("write", &folder.join(CONFIG), |path| fs::write(path, config.to_json()))?;
        attempt("write", &folder.join(WEIGHTS), |path| fs::write(path, weights::to_safetensors(&config, params)))
    };
    train::train(recipe, device, keep, progress)?;
    let description =
        Description { model: "nano".to_owned(), tokens_per_step: recipe.tokens_per_step(), recipe: recipe.clone() };
    let path = work.path.join(DESCRIPTION);
    let mut text = serde_json::to_string_pretty(&description)
        .map_err(|source| NanoError::BadDescription { path: path.clone(), source })?;
    text.push('\n');
    attempt("write", &path, |path| fs::write(path, text))
}

/// The hidden folder beside the wanted one, held by one process.
struct WorkFolder {
    path: PathBuf,
    /// The system gives the lock up when the process ends, however it ends.
    _lock: File,
}

impl WorkFolder {
    /// Takes the work of `out` and removes what an interrupted training left there.
    fn open(out: &Path) -> Result<Self, NanoError> {
        let path = hidden_sibling(out)?;
        attempt("create", &path, |path| fs::create_dir_all(path))?;
        let lock = attempt("create", &path.join(LOCK), |path| File::create(path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NanoError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(NanoError::Io { action: "lock", path, source }),
        }
        for entry in attempt("read", &path, |path| fs::read_dir(path))? {
            let entry = entry.map_err(|source| NanoError::Io { action: "read", path: path.clone(), source })?.path();
            if attempt("read", &entry, |path| fs::symlink_metadata(path))?.is_dir() {
                attempt("remove", &entry, |path| fs::remove_dir_all(path))?;
            } else if !entry.ends_with(LOCK) {
                attempt("remove", &entry, |path| fs::remove_file(path))?;
            }
        }
        Ok(Self { path, _lock: lock })
    }

    /// Gives the work the name of the finished suite.
    fn publish(self, out: &Path) -> Result<(), NanoError> {
        attempt("remove", &self.path.join(LOCK), |path| fs::remove_file(path))?;
        if attempt("read", out, pythia_files::found)?.is_some_and(|found| found.is_dir()) {
            // Only an empty folder can be removed this way, and not every system renames over one.
            attempt("replace", out, |path| fs::remove_dir(path))?;
        }
        attempt("rename to its final name", &self.path, |path| {
            pythia_files::rename_synced(&File::open(path)?, path, out)
        })
    }

    fn clear(self) -> Result<(), NanoError> {
        attempt("remove", &self.path, |path| fs::remove_dir_all(path))
    }
}

fn hidden_sibling(out: &Path) -> Result<PathBuf, NanoError> {
    let Some(name) = out.file_name() else {
        return Err(NanoError::NoName { path: out.to_owned() });
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".partial");
    Ok(out.with_file_name(hidden))
}

fn attempt<T>(action: &'static str, path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, NanoError> {
    act(path).map_err(|source| NanoError::Io { action, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::recipe::Shape;
    use crate::nano::task::Task;
    use crate::testing::Scratch;
    use pythia_core::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};

    /// All 154 checkpoints in as little time as possible.
    fn tiny() -> Recipe {
        Recipe {
            shape: Shape { layers: 1, d_model: 4, heads: 1, d_mlp: 4, context: 8 },
            task: Task { vocab: 8, length: 6, periods: (2, 3), triggers: 1, ..Task::default() },
            batch: 1,
            every: 1,
            ..Recipe::default()
        }
    }

    fn make(out: &Path, recipe: &Recipe) -> Result<Outcome, NanoError> {
        ensure(out, recipe, &Device::flex(), &mut |_| {})
    }

    /// Names below a folder with the bytes of each file, sorted.
    fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).expect("below it").to_owned();
                    files.push((name, fs::read(path).expect("a file")));
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn a_suite_is_trained_whole_reused_and_the_same_every_time() {
        let scratch = Scratch::new("nano-whole");
        let (first, second) = (scratch.0.join("a"), scratch.0.join("deep/er/b"));
        assert_eq!(make(&first, &tiny()).expect("trains"), Outcome::Trained);
        assert_eq!(make(&first, &tiny()).expect("reuses"), Outcome::Reused);
        // What an interrupted training left behind is neither taken for a suite nor kept.
        let left = scratch.0.join("deep/er/.b.partial");
        fs::create_dir_all(left.join("step0")).expect("a left-over folder");
        fs::write(left.join("step0/model.safetensors"), "half").expect("a left-over file");
        fs::write(left.join(DESCRIPTION), "half").expect("a left-over file");
        assert_eq!(make(&second, &tiny()).expect("trains"), Outcome::Trained);
        let files = contents(&first);
        assert_eq!(files.len(), 2 * 154 + 1);
        assert!(files == contents(&second), "two trainings of one recipe differ");
        assert!(!left.exists());
    }

    #[test]
    fn checkpoints_can_be_read_and_differ() {
        let scratch = Scratch::new("nano-read");
        let out = scratch.0.join("nano");
        make(&out, &tiny()).expect("trains");
        let read = |step: u32| {
            let files = WeightFiles::Safetensors(vec![step_folder(&out, step).join(WEIGHTS)]);
            let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
            StoredCheckpoint::open(&tiny().config(), &files).and_then(|stored| stored.params(&wanted)).expect("reads")
        };
        assert_eq!(read(0).0, crate::nano::init::initial(&tiny().config(), tiny().seed));
        assert_ne!(read(0).1.content, read(1).1.content);
    }

    #[test]
    fn what_is_in_the_way_is_named_and_left_alone() {
        let scratch = Scratch::new("nano-way");
        let out = scratch.0.join("nano");
        fs::create_dir(&out).expect("a folder");
        fs::write(out.join("thesis.tex"), "dear").expect("a file");
        assert!(matches!(make(&out, &tiny()), Err(NanoError::Occupied { .. })));
        assert_eq!(contents(&scratch.0).len(), 1);
        assert!(matches!(make(Path::new("/"), &tiny()), Err(NanoError::Occupied { .. } | NanoError::NoName { .. })));
    }

    #[test]
    fn another_recipe_and_a_missing_file_are_errors() {
        let scratch = Scratch::new("nano-other");
        let out = scratch.0.join("nano");
        make(&out, &tiny()).expect("trains");
        let other = Recipe { seed: 9, ..tiny() };
        assert!(matches!(make(&out, &other), Err(NanoError::OtherRecipe { .. })));
        fs::remove_file(out.join("step8/model.safetensors")).expect("a checkpoint");
        assert!(
            matches!(make(&out, &tiny()), Err(NanoError::Missing { path }) if path.ends_with("step8/model.safetensors"))
        );
    }

    #[test]
    fn two_processes_do_not_train_in_one_place() {
        let scratch = Scratch::new("nano-busy");
        let out = scratch.0.join("nano");
        let held = WorkFolder::open(&out).expect("free");
        assert!(matches!(make(&out, &tiny()), Err(NanoError::Busy { .. })));
        drop(held);
        assert_eq!(make(&out, &tiny()).expect("trains"), Outcome::Trained);
    }

    #[test]
    fn divergence_leaves_nothing() {
        let scratch = Scratch::new("nano-diverged");
        let mut recipe = tiny();
        recipe.optimiser.rate = 1e30;
        assert!(matches!(make(&scratch.0.join("nano"), &recipe), Err(NanoError::Diverged(_))));
        assert!(contents(&scratch.0).is_empty());
    }
}
