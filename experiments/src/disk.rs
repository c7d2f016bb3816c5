//! What lies on the disk, for the plan.

use std::fs;
use std::path::{Path, PathBuf};

use pythia_core::suite::Step;

use crate::cell::{CellConfig, KEY, file_of};
use crate::config::ProbeEntry;
use crate::plan::{Facts, State};
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
    /// The configuration it carries, or what is wrong with it.
    pub found: String,
    /// The configuration that this experiment has in its place.
    pub wanted: String,
}

impl Disk {
    /// The files in the folders of this study's probes and models that something else made, also for checkpoints that are
    /// not in the plan: a table whose parts were made differently is no table.
    pub fn strangers(&self, study: &Study) -> Vec<Stranger> {
        let mut strangers = Vec::new();
        for (probe, model) in pairs(study) {
            let folder = file_of(&probe.name, &model.label, None).with_file_name("");
            for name in file_names(&self.out.join(&folder)) {
                let config = CellConfig::new(&study.experiment, probe, &model.label, step_of(&name));
                if let State::Foreign(found) = self.state(&folder.join(&name), &config.key()) {
                    strangers.push(Stranger { path: self.out.join(&folder).join(&name), found, wanted: config.text() });
                }
            }
        }
        strangers
    }
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
            Err(error) => State::Foreign(error.to_string()),
        }
    }
}
