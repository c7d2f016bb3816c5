//! Reads the journal from its beginning, and keeps a bounded part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::StatusError;
use crate::files::table::cell_name;
use crate::results::manifest::Manifest;

/// Times of done cells that are kept.
const TIMES: usize = 1024;

/// Failures that are kept.
const ERRORS: usize = 5;

/// Processes that are kept: killed ones have no last line in the journal.
const RUNS: usize = 1024;

/// Bytes of a line that are read; a longer one is left out.
const LONGEST_LINE: u64 = 1 << 20;

/// A process by its machine, where the journal names it, and its number.
type ProcessKey = (Option<String>, u32);

/// What the journal says of every experiment.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// In the order of the manifests.
    pub(crate) histories: Vec<History>,
    /// The experiment that each process works on.
    at_work: BTreeMap<ProcessKey, usize>,
    /// Starts that were read.
    starts: u64,
}

/// What the journal says of one experiment.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Cells whose last event was a failure.
    pub(crate) failed: BTreeSet<String>,
    /// Cells that were left out.
    pub(crate) left_out: BTreeSet<String>,
    /// The last failures: cell, time and reason.
    pub(crate) errors: VecDeque<((String, u64), String)>,
    /// The last times at which cells were done.
    pub(crate) done: VecDeque<u64>,
    /// The cell that was done last, and when.
    pub(crate) last: Option<(String, u64)>,
    /// Processes that have begun and not ended.
    pub(crate) runs: BTreeMap<ProcessKey, Run>,
    /// The cells that there are.
    cells: BTreeSet<String>,
}

/// When a process began, and the time of its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(crate) began: u64,
    pub(crate) heard: u64,
    /// Starts that stand in the journal before its own.
    pub(crate) line: u64,
}

/// The fields that are read. Older lines lack the host.
#[derive(Deserialize)]
struct Line {
    time: u64,
    host: Option<String>,
    pid: u32,
    event: EventLine,
}

/// The fields of an event that are read. Older starts lack the name.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventLine {
    Started { name: Option<String>, experiment: String },
    Done { cell: String },
    LeftOut { cell: String },
    Failed { cell: String, error: String },
    Finished {},
    Withdrawn {},
}

impl Log {
    /// Reads a journal; a missing one is empty.
    pub(crate) fn read(path: &Path, manifests: &[Manifest]) -> Result<Self, StatusError> {
        let mut log = Self::new(manifests);
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(log),
            file => file.and_then(|file| log.read_from(BufReader::new(file), manifests)),
        }
        .map_err(|source| StatusError::Journal { path: path.into(), source })?;
        Ok(log)
    }

    fn new(manifests: &[Manifest]) -> Self {
        let history = |manifest: &Manifest| History {
            cells: manifest.cells().map(|(model, step)| cell_name(model, step)).collect(),
            ..History::default()
        };
        Self { histories: manifests.iter().map(history).collect(), ..Self::default() }
    }

    /// Broken lines, such as one that is being written, are skipped.
    fn read_from(&mut self, mut lines: impl BufRead, manifests: &[Manifest]) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
            match bytes.last() {
                None => return Ok(()),
                Some(b'\n') => drop(serde_json::from_slice(&bytes).map(|line| self.note(line, manifests))),
                Some(_) => lines.skip_until(b'\n').map(drop)?,
            }
        }
    }

    fn note(&mut self, Line { time, host, pid, event }: Line, manifests: &[Manifest]) {
        let who = (host, pid);
        if let EventLine::Started { name, experiment } = &event {
            self.begin(who, time, name.as_deref(), experiment, manifests);
            return;
        }
        let Some(history) = self.at_work.get(&who).and_then(|at| self.histories.get_mut(*at)) else { return };
        if let Some(run) = history.runs.get_mut(&who) {
            run.heard = time;
        }
        match event {
            EventLine::Started { .. } => {}
            EventLine::Done { cell } => history.done(cell, time),
            EventLine::LeftOut { cell } => history.left_out(cell),
            EventLine::Failed { cell, error } => history.failed(cell, time, error),
            EventLine::Finished {} | EventLine::Withdrawn {} => {
                history.runs.remove(&who);
                self.at_work.remove(&who);
            }
        }
    }

    /// A process begins with an experiment: by its name, or in older journals by the hash of its manifest.
    fn begin(&mut self, who: ProcessKey, time: u64, name: Option<&str>, hash: &str, manifests: &[Manifest]) {
        let of = |manifest: &Manifest| name.map_or(manifest.hash == hash, |name| manifest.name == name);
        if let Some(before) = self.at_work.remove(&who) {
            self.histories[before].runs.remove(&who);
        }
        let Some(at) = manifests.iter().position(of) else { return };
        if self.at_work.len() >= RUNS {
            self.forget_oldest();
        }
        self.histories[at].runs.insert(who.clone(), Run { began: time, heard: time, line: self.starts });
        self.starts += 1;
        self.at_work.insert(who, at);
    }

    fn forget_oldest(&mut self) {
        let runs = self.histories.iter().flat_map(|history| &history.runs);
        let oldest = runs.min_by_key(|(_, run)| run.heard).map(|(who, _)| who.clone());
        if let Some(who) = oldest
            && let Some(at) = self.at_work.remove(&who)
        {
            self.histories[at].runs.remove(&who);
        }
    }
}

impl History {
    fn done(&mut self, cell: String, time: u64) {
        self.failed.remove(&cell);
        self.left_out.remove(&cell);
        if self.is_full() {
            self.done.pop_front();
        }
        self.done.push_back(time);
        self.last = Some((cell, time));
    }

    fn left_out(&mut self, cell: String) {
        if self.cells.contains(&cell) {
            self.failed.remove(&cell);
            self.left_out.insert(cell);
        }
    }

    fn failed(&mut self, cell: String, time: u64, error: String) {
        if !self.cells.contains(&cell) {
            return;
        }
        self.failed.insert(cell.clone());
        if self.errors.len() >= ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(((cell, time), error));
    }

    /// Whether times of done cells were dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.done.len() >= TIMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::manifest::ManifestModel;
    use pythia_core::suite::Step;

    fn manifest(name: &str, hash: &str, steps: u32) -> Manifest {
        let steps = (0..steps).map(|step| Some(Step::from_label(step))).collect();
        let models = vec![ManifestModel { label: "nano".into(), steps }];
        Manifest {
            name: name.into(),
            hash: hash.into(),
            models,
            tables: vec![name.into()],
            skips_bad: false,
            notes: vec![],
        }
    }

    fn read(text: &str) -> Log {
        let manifests = [manifest("a", "h1", 9), manifest("b", "h2", 9)];
        let mut log = Log::new(&manifests);
        log.read_from(text.as_bytes(), &manifests).expect("memory can be read");
        log
    }

    fn line(time: u64, who: &str, event: &str) -> String {
        format!("{{\"time\":{time},{who},\"event\":{event}}}\n")
    }

    const NEW: &str = "\"host\":\"x\",\"pid\":7";
    const OLD: &str = "\"pid\":7";

    #[test]
    fn events_go_to_the_experiment_that_their_process_works_on() {
        let text = [
            line(10, NEW, r#"{"started":{"name":"b","version":"0","experiment":"gone","cells":9,"done":0}}"#),
            line(11, OLD, r#"{"started":{"version":"0","experiment":"h1","cells":9,"done":0}}"#),
            line(12, NEW, r#"{"failed":{"cell":"nano step1","error":"why"}}"#),
            line(13, OLD, r#"{"done":{"cell":"nano step1","seconds":0.1,"weights":null}}"#),
            line(14, NEW, r#"{"left_out":{"cell":"nano step2","reason":"bad"}}"#),
            line(15, NEW, r#"{"unheard_of":{}}"#),
            line(16, OLD, r#"{"finished":{"failed":0,"seconds":3}}"#),
            line(17, "\"pid\":8", r#"{"done":{"cell":"nano step3","seconds":0.1}}"#),
            line(18, NEW, r#"{"failed":{"cell":"nano step77","error":"is in no manifest"}}"#),
        ];
        let log = read(&text.concat());
        let [a, b] = &log.histories[..] else { panic!("two") };
        assert_eq!((a.last.clone(), a.runs.len(), a.failed.len()), (Some(("nano step1".into(), 13)), 0, 0));
        assert_eq!((b.failed.len(), b.left_out.len(), b.errors.len(), b.last.clone()), (1, 1, 1, None));
        assert_eq!(b.errors[0], (("nano step1".into(), 12), "why".into()));
        assert_eq!(b.runs[&(Some("x".into()), 7)], Run { began: 10, heard: 18, line: 0 });
    }

    #[test]
    fn a_cell_that_succeeds_later_has_not_failed() {
        let start = line(1, NEW, r#"{"started":{"name":"a","experiment":"h"}}"#);
        let failed = line(2, NEW, r#"{"failed":{"cell":"nano step1","error":"why"}}"#);
        let done = line(3, NEW, r#"{"done":{"cell":"nano step1"}}"#);
        assert_eq!(read(&[start.clone(), failed.clone(), done.clone()].concat()).histories[0].failed.len(), 0);
        assert_eq!(read(&[start, done, failed].concat()).histories[0].failed.len(), 1);
    }

    #[test]
    fn what_is_no_line_is_left_out_and_memory_is_bounded() {
        let start = line(1, NEW, r#"{"started":{"name":"a","experiment":"h"}}"#);
        let long = format!("{{\"time\":{}\n", "1".repeat(3 << 20));
        let done: String = (0..3000).map(|time| line(time, NEW, r#"{"done":{"cell":"nano step1"}}"#)).collect();
        let text =
            [start.as_str(), "\u{0}\u{1}rubbish\n", &long, "\n", &done, "{\"time\":9999,\"pid\":7,\"ev"].concat();
        let log = read(&text);
        assert_eq!(log.histories[0].done.len(), TIMES);
        assert_eq!(log.histories[0].last, Some(("nano step1".into(), 2999)));
        let starts: String = (0..5000)
            .map(|pid| line(pid, &format!("\"pid\":{pid}"), r#"{"started":{"name":"a","experiment":"h"}}"#))
            .collect();
        let log = read(&starts);
        assert_eq!((log.at_work.len(), log.histories[0].runs.len()), (RUNS, RUNS));
        assert!(log.histories[0].runs.contains_key(&(None, 4999)));
    }
}
