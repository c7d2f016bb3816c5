//! Files of different steps that are equal by their published hashes: known before a byte is fetched.

use std::collections::{BTreeMap, BTreeSet};

use pythia_core::suite::Step;
use pythia_hub::{FileHash, RemoteFile};

use super::{Status, Verdict, are_expected_duplicates};

/// Which steps of one model list which weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duplicates(BTreeMap<FileHash, BTreeSet<Step>>);

impl Duplicates {
    /// Gathers the weights of a model's steps; other files (the tokenizer) are the same everywhere and say nothing.
    pub(crate) fn of<'a>(steps: impl IntoIterator<Item = (Step, &'a [RemoteFile])>) -> Self {
        let mut owners: BTreeMap<FileHash, BTreeSet<Step>> = BTreeMap::new();
        for (step, files) in steps {
            for file in files.iter().filter(|file| file.is_weights()) {
                owners.entry(file.hash.clone()).or_default().insert(step);
            }
        }
        Self(owners)
    }

    /// The hashes that more than one step lists, expected duplicates aside.
    pub(crate) fn shared(&self) -> BTreeSet<FileHash> {
        let shared = |steps: &BTreeSet<Step>| steps.iter().any(|&step| duplicate(steps, step).is_some());
        self.0.iter().filter(|(_, steps)| shared(steps)).map(|(hash, _)| hash.clone()).collect()
    }

    /// The steps that have the same weights as this one, itself among them: all files of them, of which `files` are its own.
    pub(crate) fn family(&self, files: &[&RemoteFile]) -> BTreeSet<Step> {
        let owners = files.iter().filter(|file| file.is_weights()).filter_map(|file| self.0.get(&file.hash).cloned());
        owners.reduce(|all, more| &all & &more).unwrap_or_default()
    }

    /// The verdict on a step that is to be read from these files: `None` where no other step has any of them.
    pub(crate) fn verdict(&self, step: Step, files: &[&RemoteFile]) -> Option<Verdict> {
        let weights: Vec<&&RemoteFile> = files.iter().filter(|file| file.is_weights()).collect();
        let duplicates: Vec<(&str, Step)> = weights
            .iter()
            .filter_map(|file| Some((file.name.as_str(), duplicate(self.0.get(&file.hash)?, step)?)))
            .collect();
        let &(name, other) = duplicates.first()?;
        if duplicates.len() == weights.len() {
            return Some(Verdict::duplicate(other));
        }
        Some(Verdict::because(Status::DuplicateOf(other), format!("its {name} is that of {other}")))
    }
}

/// The first other step that is no expected duplicate.
fn duplicate(steps: &BTreeSet<Step>, step: Step) -> Option<Step> {
    steps.iter().copied().find(|&other| other != step && !are_expected_duplicates(other, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: u8) -> RemoteFile {
        let hash = format!("{content:02x}").repeat(32).parse().expect("a hash");
        RemoteFile { name: name.parse().expect("a name"), size: 1, hash }
    }

    fn step(label: u32) -> Step {
        Step::from_label(label)
    }

    fn verdict(steps: &[(u32, Vec<RemoteFile>)], at: usize) -> Option<String> {
        let duplicates = Duplicates::of(steps.iter().map(|(label, files)| (step(*label), &files[..])));
        let files: Vec<&RemoteFile> = steps[at].1.iter().collect();
        duplicates.verdict(step(steps[at].0), &files).map(|verdict| format!("{}: {verdict}", verdict.status))
    }

    #[test]
    fn equal_weights_of_two_steps_are_found_in_both() {
        let of = |content| vec![file("config.json", 9), file("model.safetensors", content)];
        let steps = [(0, of(1)), (1, of(1)), (512, of(2)), (1000, of(3)), (2000, of(2))];
        assert_eq!(verdict(&steps, 0), None, "steps 0 and 1 are expected to be equal");
        assert_eq!(verdict(&steps, 3), None);
        assert_eq!(
            verdict(&steps, 2),
            Some("duplicate_of:2000: its weights are those of step2000, so one of the two is wrong".into())
        );
        assert_eq!(
            verdict(&steps, 4),
            Some("duplicate_of:512: its weights are those of step512, so one of the two is wrong".into())
        );
        let duplicates = Duplicates::of(steps.iter().map(|(label, files)| (step(*label), &files[..])));
        assert_eq!(duplicates.shared(), BTreeSet::from([file("x", 2).hash]));
    }

    #[test]
    fn one_shard_of_another_step_is_named() {
        let of = |a, b| vec![file("model-1.safetensors", a), file("model-2.safetensors", b)];
        let steps = [(1000, of(1, 2)), (2000, of(1, 3))];
        let expected = "duplicate_of:2000: its model-1.safetensors is that of step2000";
        assert_eq!(verdict(&steps, 0), Some(expected.into()));
    }
}
