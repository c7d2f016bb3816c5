//! Checks all checkpoints of a model: by the hashes that the hub lists, or by reading those on disk.

use std::collections::BTreeMap;

use pythia_core::store::Checkpoints;
use pythia_core::suite::{ModelId, Step};
use pythia_core::weights::{ContentHash, Group, Hashes};
use serde_json::{Value, json};

use crate::checkpoint::load::{self, LoadError};
use crate::integrity::{Break, KnownDefects, Seen, Status, Verdict, are_expected_duplicates, breaks};
use crate::resolved::pins::Pins;
use crate::terminal::human;

/// What is known of one step.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) step: Step,
    pub(crate) verdict: Verdict,
    /// Its weights, where they were read.
    pub(crate) hashes: Option<Hashes>,
}

/// What was found of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// A finding for each step, ascending.
    pub(crate) steps: Vec<Finding>,
    /// Steps whose norm of the embedding does not fit its neighbours.
    pub(crate) breaks: Vec<Break>,
    /// Parts of the model (the embedding, a block) that two steps have in common though the rest differs.
    pub(crate) shared: Vec<SharedPart>,
    /// What else there is to say, a line each.
    pub(crate) notes: Vec<String>,
}

/// A part of a model that is the same in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedPart {
    pub(crate) group: Group,
    pub(crate) first: Step,
    pub(crate) second: Step,
}

/// What the hub's listing says of a model's steps: nothing is fetched.
pub(crate) fn by_listing(pins: &Pins, id: ModelId, known: &KnownDefects, steps: &[Step]) -> Findings {
    let finding = |step: &Step| {
        let listed = known.verdict(id.name(), Some(id), *step);
        let verdict = match (listed, pins.verdict(*step)) {
            (Some(listed), Some(hashes)) => agreed(listed, &named(pins, *step, hashes)),
            (Some(listed), None) if pins.pin(Some(*step)).is_none() => listed,
            (Some(listed), None) => doubted(listed),
            (None, Some(hashes)) => named(pins, *step, hashes),
            (None, None) if pins.pin(Some(*step)).is_none() => {
                Verdict::because(Status::Unverified, "the lock file does not pin it")
            }
            (None, None) => Verdict::plain(Status::Ok),
        };
        Finding { step: *step, verdict, hashes: None }
    };
    let notes = steps.iter().filter_map(|step| pins.unlike_main(*step)).collect();
    Findings { steps: steps.iter().map(finding).collect(), notes, ..Findings::default() }
}

/// A verdict with the same reason for all steps with the same weights, so that a report groups them.
fn named(pins: &Pins, step: Step, verdict: Verdict) -> Verdict {
    let family = pins.family(step);
    match (family.first(), family.len()) {
        (Some(first), 2..) => {
            let reason =
                format!("{} branches have the same weights by their hashes, the first is {first}", family.len());
            Verdict::because(verdict.status, reason)
        }
        _ => verdict,
    }
}

fn agreed(listed: Verdict, hashes: &Verdict) -> Verdict {
    Verdict::because(listed.status, format!("{listed}; {hashes}"))
}

/// A defect on the list that the hashes do not show: repaired since, or of another kind.
fn doubted(listed: Verdict) -> Verdict {
    let status = listed.status;
    Verdict::because(status, format!("{listed}; by the hub's hashes no other step has these weights"))
}

/// Reads every checkpoint on disk. Before each, `watch` is told how many were read and which step comes next.
pub(crate) fn by_content(
    store: &dyn Checkpoints,
    known: &KnownDefects,
    steps: &[Step],
    mut watch: impl FnMut(usize, Step),
) -> Findings {
    let mut seen = Seen::default();
    let mut findings = Vec::new();
    for (at, &step) in steps.iter().enumerate() {
        watch(at, step);
        let listed = known.verdict(store.model(), store.suite_id(), step);
        let before = listed.unwrap_or_else(|| Verdict::plain(Status::Unverified));
        let hashes = load::open(store, Some(step)).and_then(|(_, stored)| Ok(stored.hashes()?));
        let (verdict, hashes) = match hashes {
            Err(error) => (unreadable(before, &error), None),
            Ok(hashes) => {
                let content = hashes.content.to_string();
                let verdict = seen.verdict(0, Some(step), &content, &before);
                seen.note(0, step, &content);
                (verdict, Some(hashes))
            }
        };
        findings.push(Finding { step, verdict, hashes });
    }
    let norms: Vec<(Step, f64)> =
        findings.iter().filter_map(|found| Some((found.step, found.hashes.as_ref()?.embed_norm))).collect();
    Findings { breaks: breaks(&norms), shared: shared_parts(&findings), steps: findings, notes: Vec::new() }
}

/// A checkpoint that is known to be missing keeps its verdict; any other that cannot be read is bad.
fn unreadable(before: Verdict, error: &LoadError) -> Verdict {
    match before.status {
        Status::Missing => before,
        _ => Verdict::because(Status::Missing, error.to_string()),
    }
}

/// The parts that two steps share, the first of each part and pair; steps that are equal as a whole are left out.
fn shared_parts(findings: &[Finding]) -> Vec<SharedPart> {
    let mut owners: BTreeMap<(Group, String), (Step, ContentHash)> = BTreeMap::new();
    let mut shared = Vec::new();
    for (step, hashes) in findings.iter().filter_map(|found| Some((found.step, found.hashes.as_ref()?))) {
        // The final norm is left out: its weights may not have moved yet.
        for (&group, hash) in hashes.groups.iter().filter(|(group, _)| **group != Group::FinalNorm) {
            match owners.get(&(group, hash.to_string())) {
                None => drop(owners.insert((group, hash.to_string()), (step, hashes.content))),
                Some((first, content)) if *content != hashes.content && !are_expected_duplicates(*first, step) => {
                    shared.push(SharedPart { group, first: *first, second: step });
                }
                Some(_) => {}
            }
        }
    }
    shared
}

impl Findings {
    /// Whether no step is bad.
    pub(crate) fn is_clean(&self) -> bool {
        self.breaks.is_empty()
            && self.shared.is_empty()
            && !self.steps.iter().any(|found| found.verdict.status.is_bad())
    }

    /// The report for people: what is wrong, with every branch's name, then the sum.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((status, reason), steps) in self.bad_by_reason() {
            lines.push(format!("{} {status}: {reason}", steps.len()));
            lines.extend(names(&steps));
        }
        for part in &self.shared {
            lines.push(format!(
                "{} of {} and of {} are the same, the rest differs",
                part.group, part.first, part.second
            ));
        }
        for found in &self.breaks {
            let (step, norm, expected) = (found.step, found.found, found.expected);
            lines.push(format!("{step}: the embedding's norm is {norm:.3}, its neighbours say {expected:.3}"));
        }
        lines.extend(self.notes.iter().cloned());
        let count = |wanted: fn(Status) -> bool| self.steps.iter().filter(|found| wanted(found.verdict.status)).count();
        let (bad, all) = (count(Status::is_bad), self.steps.len());
        let unverified = count(|status| status == Status::Unverified);
        let against = if unverified > 0 {
            format!(", {unverified} of them not checked: no published hash")
        } else {
            String::new()
        };
        lines.push(format!(
            "{}: {} not known to be bad{against}, {bad} bad",
            human::plural(all, "checkpoint"),
            all - bad
        ));
        lines
    }

    fn bad_by_reason(&self) -> BTreeMap<(String, String), Vec<Step>> {
        let mut groups: BTreeMap<(String, String), Vec<Step>> = BTreeMap::new();
        for Finding { step, verdict, .. } in self.steps.iter().filter(|found| found.verdict.status.is_bad()) {
            let status = verdict.status.to_string();
            // One group for all duplicates; the JSON names the step of each.
            let kind = status.split(':').next().unwrap_or_default().to_owned();
            groups.entry((kind, verdict.to_string())).or_default().push(*step);
        }
        groups
    }

    /// The report for programs.
    pub(crate) fn json(&self) -> Value {
        let step = |found: &Finding| {
            json!({
                "step": found.step.label(),
                "checkpoint_status": found.verdict.status.to_string(),
                "reason": found.verdict.reason,
                "weights_hash": found.hashes.as_ref().map(|hashes| hashes.content.to_string()),
                "embed_norm": found.hashes.as_ref().map(|hashes| hashes.embed_norm),
            })
        };
        let gap = |found: &Break| {
            let step = found.step.label();
            json!({ "step": step, "embed_norm": found.found, "expected": found.expected })
        };
        let part = |part: &SharedPart| {
            let steps = [part.first.label(), part.second.label()];
            json!({ "part": part.group.to_string(), "steps": steps })
        };
        json!({
            "steps": self.steps.iter().map(step).collect::<Vec<Value>>(),
            "breaks": self.breaks.iter().map(gap).collect::<Vec<Value>>(),
            "shared_parts": self.shared.iter().map(part).collect::<Vec<Value>>(),
        })
    }
}

/// All names, several a line.
fn names(steps: &[Step]) -> Vec<String> {
    const A_LINE: usize = 10;
    let line = |steps: &[Step]| {
        let names: Vec<String> = steps.iter().map(|step| format!("{:<10}", step.to_string())).collect();
        format!("    {}", names.join(" ").trim_end())
    };
    steps.chunks(A_LINE).map(line).collect()
}
