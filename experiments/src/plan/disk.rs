//! What is on disk: checkpoints, results, and whether results belong to the experiment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pythia_core::suite::Step;
use pythia_core::weights::PartHashes;

use crate::checkpoint::load::hashes;
use crate::checkpoint::source_models::hashes_json;
use crate::config::TableOf;
use crate::files::sink::{self, SinkError};
use crate::files::table::{file_of, step_of};
use crate::plan::key::{CellConfig, KEY, SOURCE_WEIGHTS_HASH, TENSOR_HASHES, WEIGHTS_HASH};
use crate::plan::memory::Resources;
use crate::plan::{Cell, Facts, Part, Plan, State};
use crate::resolved::weight_scope::{Location, weights_read};
use crate::resolved::{Model, ResolvedExperiment};
use crate::terminal::env;
use crate::terminal::limits::MemoryBound;

/// The stores of checkpoints and an output folder.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) out: PathBuf,
    /// Whether the hub is out of reach.
    pub(crate) offline: bool,
}

/// A folder as it will be once the results of the experiment are removed.
#[derive(Debug)]
pub(crate) struct WithoutResults<'a>(pub(crate) &'a Disk);

/// A file among the results that a run cannot add to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnusableResult {
    pub(crate) path: PathBuf,
    pub(crate) reason: Unusable,
}

/// Why a run cannot add to a results file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unusable {
    /// It is not a whole results file, for the given reason.
    Damaged(String),
    /// It cannot be opened, for the given reason.
    Unopened(String),
    /// Another configuration made it.
    Foreign {
        /// The configuration it carries.
        found: String,
        /// The configuration of this experiment for that file.
        wanted: String,
    },
}

impl Disk {
    /// The damaged files and the results of other configurations in the folders of the experiment, also those of
    /// checkpoints that are not in the plan: the parts of a table must be made alike.
    pub(crate) fn unusable(&self, resolved: &ResolvedExperiment) -> Vec<UnusableResult> {
        let mut unusable = Vec::new();
        for (table, model) in pairs(resolved) {
            let folder = file_of(&table.folder(), &model.label, None).with_file_name("");
            for name in file_names(&self.out.join(&folder)) {
                let config = CellConfig::new(resolved, table, &model.label, step_of(&name));
                let reason = match self.state(&folder.join(&name), &config.key()) {
                    State::Done | State::ToDo => continue,
                    State::Foreign(found) => Unusable::Foreign { found, wanted: config.text() },
                    State::Unreadable(problem) => Unusable::Damaged(problem),
                    State::Unopened(problem) => Unusable::Unopened(problem),
                };
                unusable.push(UnusableResult { path: self.out.join(&folder).join(&name), reason });
            }
        }
        unusable
    }
}

/// A results file that was made from other weights than those on disk now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outdated {
    pub(crate) path: PathBuf,
    /// The checkpoint whose weights have changed, for messages.
    pub(crate) cell: String,
}

impl Disk {
    /// The first finished part of the plan whose weights, or those of a source checkpoint, have changed since.
    ///
    /// Only checkpoints that are newer than their results are suspected and read again, so a resumed run costs nothing
    /// extra, and a checkpoint that was only copied is not taken for another one.
    pub(crate) fn outdated(&self, resolved: &ResolvedExperiment, plan: &Plan) -> Option<Outdated> {
        let mut hashes = Hashes::default();
        let mut parts = plan.cells.iter().flat_map(|cell| done(cell).map(move |part| (cell, part)));
        parts.find_map(|(cell, part)| {
            let cell = self.changed(resolved, cell, part, &mut hashes)?;
            Some(Outdated { path: self.out.join(&part.file), cell })
        })
    }

    /// The checkpoint whose weights have changed since a part was made, for messages.
    fn changed(&self, resolved: &ResolvedExperiment, cell: &Cell, part: &Part, hashes: &mut Hashes) -> Option<String> {
        let (model, path) = (&resolved.models[cell.model], self.out.join(&part.file));
        let newer = |step: Option<Step>| {
            newest(model, step).zip(modified(&path)).is_some_and(|(weights, results)| weights > results)
        };
        let differs = |key: &str, now: Option<String>| {
            let metadata = sink::metadata(&path).ok().flatten();
            metadata.zip(now).is_some_and(|(metadata, now)| metadata.get(key).is_some_and(|then| *then != now))
        };
        let probe = &resolved.experiment.probes[part.probe];
        if newer(cell.step) {
            // Results of some tensors carry the hashes of these alone.
            let now = hashes.of(cell.model, model, cell.step).map(|now| weights_read(&probe.spec, &model.config, &now));
            let changed = match now {
                Some(PartHashes { content: Some(content), .. }) => differs(WEIGHTS_HASH, Some(content.to_string())),
                now => differs(TENSOR_HASHES, now.map(|now| now.to_string())),
            };
            if changed {
                return Some(cell.name(resolved));
            }
        }
        let sources = probe.spec.source_checkpoints();
        let suspected = sources.iter().any(|label| newer(Some(Step::from_label(*label))));
        let changed = suspected && differs(SOURCE_WEIGHTS_HASH, hashes.of_sources(cell.model, model, &sources));
        changed.then(|| format!("{}, one of the steps {sources:?} that probe `{}` reads,", model.label, probe.name))
    }
}

/// Hashes of the weights on disk, each computed once.
#[derive(Default)]
struct Hashes(BTreeMap<(usize, Option<Step>), Option<PartHashes>>);

impl Hashes {
    /// `None` for weights that cannot be read: they do not invalidate results made before.
    fn of(&mut self, index: usize, model: &Model, step: Option<Step>) -> Option<PartHashes> {
        self.0.entry((index, step)).or_insert_with(|| hashes(model, step).ok().map(PartHashes::from)).clone()
    }

    fn of_sources(&mut self, index: usize, model: &Model, labels: &[u32]) -> Option<String> {
        let hash = |label: &u32| {
            let hashes = self.of(index, model, Some(Step::from_label(*label)))?;
            Some((*label, hashes.content?.to_string()))
        };
        let hashes: BTreeMap<u32, String> = labels.iter().map(hash).collect::<Option<_>>()?;
        hashes_json(labels, |label| hashes.get(&label).cloned())
    }
}

/// When the weights of a checkpoint were last written.
fn newest(model: &Model, step: Option<Step>) -> Option<SystemTime> {
    let files = model.store.locate(step).ok()?;
    files.weights.paths().iter().filter_map(|path| modified(path)).max()
}

fn done(cell: &Cell) -> impl Iterator<Item = &Part> {
    cell.parts.iter().filter(|part| part.state == State::Done)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Every table with every model.
pub(crate) fn pairs(resolved: &ResolvedExperiment) -> impl Iterator<Item = (TableOf<'_>, &Model)> {
    let tables = resolved.experiment.probes.iter().flat_map(|probe| probe.tables());
    tables.flat_map(|table| resolved.models.iter().map(move |model| (table, model)))
}

/// Names in a folder, sorted; none where there is no such folder.
fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Facts for Disk {
    fn resources(&self) -> Resources {
        Resources { memory: MemoryBound::of_process(), cores: env::cores() }
    }

    fn location(&self, model: &Model, step: Option<Step>) -> Location {
        let here = || {
            let files = model.store.locate(step).ok()?;
            files.weights.paths().iter().map(|path| fs::metadata(path).ok().map(|data| data.len())).sum()
        };
        let pinned = || model.pins.as_ref()?.bytes(step);
        let usual = || model.store.suite_id().map(|id| id.info().shape.file_bytes);
        match here() {
            Some(bytes) => Location::Here { bytes },
            None if self.offline => Location::Nowhere,
            // Pinned to a branch without weights.
            None if model.pins.as_ref().is_some_and(|pins| pins.pin(step).is_some() && pins.bytes(step).is_none()) => {
                Location::Nowhere
            }
            None => match (pinned(), usual()) {
                (Some(bytes), _) => Location::Hub { bytes, pinned: true },
                (None, Some(bytes)) => Location::Hub { bytes, pinned: false },
                (None, None) => Location::Nowhere,
            },
        }
    }

    fn weights_hash(&self, file: &Path) -> Option<String> {
        sink::metadata(&self.out.join(file)).ok()??.remove(WEIGHTS_HASH)
    }

    fn state(&self, file: &Path, key: &str) -> State {
        match sink::metadata(&self.out.join(file)) {
            Ok(None) => State::ToDo,
            Ok(Some(metadata)) if metadata.get(KEY).is_some_and(|found| found == key) => State::Done,
            Ok(Some(metadata)) => {
                State::Foreign(metadata.get("config").cloned().unwrap_or_else(|| "it carries no configuration".into()))
            }
            // The reasons alone: whoever shows them names the file.
            Err(SinkError::Open { source, .. }) => State::Unopened(source.to_string()),
            Err(SinkError::Damaged(part)) => State::Unreadable(part.problem),
            Err(error) => State::Unreadable(error.to_string()),
        }
    }
}

impl Facts for WithoutResults<'_> {
    fn resources(&self) -> Resources {
        self.0.resources()
    }

    fn location(&self, model: &Model, step: Option<Step>) -> Location {
        self.0.location(model, step)
    }

    fn weights_hash(&self, _: &Path) -> Option<String> {
        None
    }

    fn state(&self, _: &Path, _: &str) -> State {
        State::ToDo
    }
}
