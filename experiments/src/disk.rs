//! What lies on the disk, for the plan.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pythia_core::suite::Step;
use pythia_core::weights::{Profile, Wanted};

use crate::cell::{CellConfig, KEY, WEIGHTS_HASH, file_of};
use crate::config::ProbeEntry;
use crate::load::{Job, load};
use crate::plan::{Cell, Facts, Part, Plan, State};
use crate::sink;
use crate::study::{Model, Study};

/// The checkpoints where the stores say, and an output folder.
#[derive(Debug)]
pub struct Disk {
    /// The output folder.
    pub out: PathBuf,
}

/// A results file that another configuration made.
#[derive(Clone, Debug, PartialEq)]
pub struct Stranger {
    /// The file.
    pub path: PathBuf,
    /// The configuration it carries.
    pub found: String,
    /// The configuration that this experiment has in its place.
    pub wanted: String,
}

impl Disk {
    /// The files in the folders of this study's probes and models that something else made, also for checkpoints that are
    /// not in the plan: a table whose parts were made differently is no table.
    pub fn strangers(&self, study: &Study) -> Vec<Stranger> {
        let stranger = |(path, state, wanted)| match state {
            State::Foreign(found) => Some(Stranger { path, found, wanted }),
            _ => None,
        };
        self.files(study).into_iter().filter_map(stranger).collect()
    }

    /// The first file in those folders that is no whole results file, and what is wrong with it.
    pub fn damaged(&self, study: &Study) -> Option<(PathBuf, String)> {
        self.files(study).into_iter().find_map(|(path, state, _)| match state {
            State::Unreadable(problem) => Some((path, problem)),
            _ => None,
        })
    }

    /// Every file in the folders of this study's probes and models, with the configuration that belongs in its place.
    fn files(&self, study: &Study) -> Vec<(PathBuf, State, String)> {
        let mut files = Vec::new();
        for (probe, model) in pairs(study) {
            let folder = file_of(&probe.name, &model.label, None).with_file_name("");
            for name in file_names(&self.out.join(&folder)) {
                let config = CellConfig::new(&study.experiment, probe, &model.label, step_of(&name));
                let state = self.state(&folder.join(&name), &config.key());
                files.push((self.out.join(&folder).join(&name), state, config.text()));
            }
        }
        files
    }
}

/// A results file that was made from other weights than those that lie there now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outdated {
    /// The file.
    pub path: PathBuf,
    /// The cell in a person's words.
    pub cell: String,
}

impl Disk {
    /// The first file of the plan's finished parts whose weights have changed since.
    ///
    /// Only checkpoints that are newer than their results are suspected and read again, so a resumed run costs nothing
    /// extra, and a checkpoint that was merely copied is not taken for another one.
    pub fn outdated(&self, study: &Study, plan: &Plan) -> Option<Outdated> {
        let suspects = plan.cells.iter().filter(|cell| self.is_suspect(study, cell));
        suspects.filter_map(|cell| self.outdated_part(study, cell)).next()
    }

    fn is_suspect(&self, study: &Study, cell: &Cell) -> bool {
        let files = study.models[cell.model].store.locate(cell.step);
        let weights = files.iter().flat_map(|files| files.weights.paths()).filter_map(|path| modified(path)).max();
        let results = done(cell).filter_map(|part| modified(&self.out.join(&part.file))).min();
        weights.zip(results).is_some_and(|(weights, results)| weights > results)
    }

    fn outdated_part(&self, study: &Study, cell: &Cell) -> Option<Outdated> {
        let wanted = Wanted { unembed: false, profile: Profile::AsPublished };
        let job = Job { model: &study.models[cell.model], step: cell.step, wanted };
        // Weights that cannot be read prove nothing against results that were made when they could.
        let now = load(&job).ok()?.hash.to_string();
        let differs = |part: &&Part| {
            let metadata = sink::metadata(&self.out.join(&part.file)).ok().flatten();
            metadata.is_some_and(|metadata| metadata.get(WEIGHTS_HASH).is_some_and(|then| *then != now))
        };
        let part = done(cell).find(differs)?;
        Some(Outdated { path: self.out.join(&part.file), cell: cell.name(study) })
    }
}

fn done(cell: &Cell) -> impl Iterator<Item = &Part> {
    cell.parts.iter().filter(|part| part.state == State::Done)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Every probe with every model.
pub fn pairs(study: &Study) -> impl Iterator<Item = (&ProbeEntry, &Model)> {
    study.experiment.probes.iter().flat_map(|probe| study.models.iter().map(move |model| (probe, model)))
}

/// Names in a folder, sorted; none where there is no such folder.
fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn step_of(name: &str) -> Option<Step> {
    let digits = name.strip_prefix("step")?.strip_suffix(".parquet")?;
    digits.parse().ok().map(Step::from_label)
}

impl Facts for Disk {
    fn bytes(&self, model: &Model, step: Option<Step>) -> Option<u64> {
        let files = model.store.locate(step).ok()?;
        files.weights.paths().iter().map(|path| fs::metadata(path).ok().map(|data| data.len())).sum()
    }

    fn state(&self, file: &Path, key: &str) -> State {
        match sink::metadata(&self.out.join(file)) {
            Ok(None) => State::ToDo,
            Ok(Some(metadata)) if metadata.get(KEY).is_some_and(|found| found == key) => State::Done,
            Ok(Some(metadata)) => {
                State::Foreign(metadata.get("config").cloned().unwrap_or_else(|| "it carries no configuration".into()))
            }
            Err(error) => State::Unreadable(error.to_string()),
        }
    }
}
