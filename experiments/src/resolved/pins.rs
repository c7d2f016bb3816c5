//! The pins of one model: the commit of each branch, its files, and which of them other steps share.

use std::collections::{BTreeMap, BTreeSet};

use pythia_core::suite::{ModelId, Step};
use pythia_hub::{Commit, FileHash, Lock, LockError, Pin, RemoteFile, Repo};

use crate::integrity::{Duplicates, Status, Verdict};

/// The pinned branches of one model.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    pub(crate) repo: Repo,
    branches: BTreeMap<String, Pin>,
    duplicates: Duplicates,
    /// Hashes of weights that several steps have.
    shared: BTreeSet<FileHash>,
    /// The last step, where the main branch, which should be the same, has other weights.
    unlike_main: Option<Step>,
}

impl Pins {
    /// What a lock says of a model; `None` where it does not name the model.
    pub(crate) fn of(lock: &Lock, id: ModelId) -> Option<Self> {
        let (repo, branches) = lock.repos.iter().find(|(repo, _)| repo.as_str() == id.hub_name())?;
        let steps = branches.iter().filter_map(|(branch, pin)| Some((branch.parse().ok()?, &pin.files[..])));
        // The main branch is the last step: another step with its weights is wrong.
        let main = branches.get(&self::branch(None)).zip(id.info().grid().last());
        let duplicates = Duplicates::of(steps.chain(main.map(|(pin, last)| (*last, &pin.files[..]))));
        let differs = |(main, last): &(&Pin, &Step)| {
            branches.get(&self::branch(Some(**last))).is_some_and(|pin| have_other_weights(main, pin))
        };
        let unlike_main = main.filter(differs).map(|(_, last)| *last);
        let (repo, branches, shared) = (repo.clone(), branches.clone(), duplicates.shared());
        Some(Self { repo, branches, shared, duplicates, unlike_main })
    }

    /// The pin of a step, or of the main branch.
    pub(crate) fn pin(&self, step: Option<Step>) -> Option<&Pin> {
        self.branches.get(&branch(step))
    }

    /// Bytes of what a run on a step needs; `None` where the step is not pinned, or holds no weights.
    pub(crate) fn bytes(&self, step: Option<Step>) -> Option<u64> {
        let files = self.needed(step)?.ok()?;
        Some(files.iter().map(|file| file.size).sum())
    }

    pub(crate) fn commits(&self) -> BTreeMap<String, String> {
        self.branches.iter().map(|(branch, pin)| (branch.clone(), pin.commit.to_string())).collect()
    }

    /// The files that a run on a step needs; `None` where the step is not pinned. If there are several forms of the
    /// weights, one that no other step has is preferred.
    pub(crate) fn needed(&self, step: Option<Step>) -> Option<Result<Vec<&RemoteFile>, LockError>> {
        Some(self.pin(step)?.needed(&self.shared))
    }

    /// A bad verdict from the published hashes; `None` if they show nothing wrong, or the step is not pinned.
    pub(crate) fn verdict(&self, step: Step) -> Option<Verdict> {
        match self.needed(Some(step))? {
            Err(_) if self.pin(Some(step)).is_some_and(|pin| pin.commit == absent()) => {
                Some(Verdict::because(Status::Missing, "the hub has no such branch"))
            }
            Err(LockError::NoWeights { .. }) => Some(Verdict::because(Status::Missing, "the branch holds no weights")),
            Err(error) => Some(Verdict::because(Status::Missing, error.to_string())),
            Ok(files) => self.duplicates.verdict(step, &files),
        }
    }

    /// What there is to say of a step that should have the weights of the main branch and has others.
    pub(crate) fn unlike_main(&self, step: Step) -> Option<String> {
        (self.unlike_main == Some(step)).then(|| {
            format!("by their published hashes {step} and main, which should be equal, have different weights")
        })
    }

    /// The steps with the same weights as this one, including itself; the main branch counts as the last step.
    pub(crate) fn family(&self, step: Step) -> BTreeSet<Step> {
        self.needed(Some(step)).and_then(Result::ok).map(|files| self.duplicates.family(&files)).unwrap_or_default()
    }

    /// The verdict on a step that is published in two forms, one of which has the weights of another step, while the
    /// other one is read.
    pub(crate) fn rescue(&self, step: Step) -> Option<Verdict> {
        let files = self.needed(Some(step))?.ok()?;
        let pin = self.pin(Some(step))?;
        let bad = pin.files.iter().find(|file| self.shared.contains(&file.hash))?;
        let good = files.iter().find(|file| file.name.as_str().starts_with("pytorch_model"))?;
        let reason = format!("{} is that of another step; {}, another file, was read instead", bad.name, good.name);
        (!files.iter().any(|file| self.shared.contains(&file.hash)))
            .then(|| Verdict::because(Status::Unverified, reason))
    }
}

/// Whether two branches have weights in a common form, and equal ones in none. The same weights in two forms cannot be
/// compared by their hashes.
fn have_other_weights(one: &Pin, other: &Pin) -> bool {
    let form = |pin: &Pin, end: &str| -> BTreeSet<(String, FileHash)> {
        let files = pin.files.iter().filter(|file| file.is_weights() && file.name.as_str().ends_with(end));
        files.map(|file| (file.name.to_string(), file.hash.clone())).collect()
    };
    let forms = [".safetensors", ".bin"].map(|end| (form(one, end), form(other, end)));
    let mut common = forms.iter().filter(|(one, other)| !one.is_empty() && !other.is_empty()).peekable();
    common.peek().is_some() && common.all(|(one, other)| one != other)
}

/// Git's null commit: the pin of a branch that the hub does not have.
pub(crate) fn absent() -> Commit {
    "0".repeat(40).parse().unwrap_or_else(|_| unreachable!("forty zeros are the digits of a commit"))
}

/// The branch of a step; `main` for the model without one.
pub(crate) fn branch(step: Option<Step>) -> String {
    step.map_or("main".to_owned(), |step| step.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: u8) -> RemoteFile {
        let hash = format!("{content:02x}").repeat(32).parse().expect("a hash");
        RemoteFile { name: name.parse().expect("a name"), size: 10, hash }
    }

    /// A branch with its weights: names of files, each with what stands for its content.
    type Branch<'a> = (&'a str, &'a [(&'a str, u8)]);

    fn pins(branches: &[Branch]) -> Pins {
        let pin = |(at, (branch, files)): (usize, &Branch)| {
            let commit = format!("{at:040x}").parse().expect("a commit");
            let config = std::iter::once(file("config.json", 200));
            let files = config.chain(files.iter().map(|(name, content)| file(name, *content))).collect();
            ((*branch).to_owned(), Pin { commit, files })
        };
        let branches: BTreeMap<String, Pin> = branches.iter().enumerate().map(pin).collect();
        let repo: Repo = "EleutherAI/pythia-70m".parse().expect("a repository");
        let lock = Lock { repos: BTreeMap::from([(repo, branches)]) };
        Pins::of(&lock, "pythia-70m".parse().expect("a model")).expect("in the lock")
    }

    const SAFE: &str = "model.safetensors";
    const BIN: &str = "pytorch_model.bin";

    #[test]
    fn a_branch_without_weights_is_missing() {
        let pins = pins(&[("step512", &[]), ("step1000", &[(SAFE, 1)])]);
        let step = |label| Step::from_label(label);
        assert_eq!(pins.verdict(step(512)).expect("missing").status, Status::Missing);
        assert_eq!((pins.verdict(step(1000)), pins.verdict(step(2000))), (None, None));
        assert!(pins.needed(Some(step(2000))).is_none());
    }

    #[test]
    fn a_last_step_that_is_unlike_main_is_said_to_be() {
        let last = Step::from_label(143_000);
        let said = |main: &[(&str, u8)], step: &[(&str, u8)]| {
            let pins = pins(&[("main", main), ("step143000", step), ("step512", &[(SAFE, 9)])]);
            assert_eq!(pins.unlike_main(Step::from_label(512)), None);
            pins.unlike_main(last)
        };
        let words = "by their published hashes step143000 and main, which should be equal, have different weights";
        assert_eq!(said(&[(SAFE, 1)], &[(SAFE, 2)]).as_deref(), Some(words));
        assert_eq!(said(&[(SAFE, 1), (BIN, 3)], &[(SAFE, 2), (BIN, 4)]).as_deref(), Some(words));
        for (main, step) in [
            (&[(SAFE, 1)][..], &[(SAFE, 1)][..]),
            (&[(SAFE, 1), (BIN, 3)], &[(SAFE, 1), (BIN, 4)]),
            (&[(SAFE, 1)], &[(BIN, 2)]),
        ] {
            assert_eq!(said(main, step), None, "{main:?} {step:?}");
        }
    }

    #[test]
    fn the_form_that_no_other_step_has_is_taken() {
        let pins = pins(&[
            ("main", &[(SAFE, 1)]),
            ("step512", &[(SAFE, 1), (BIN, 2)]),
            ("step1000", &[(SAFE, 1), (BIN, 3)]),
            ("step2000", &[(SAFE, 1), (BIN, 3)]),
            ("step143000", &[(SAFE, 4)]),
        ]);
        let step = |label| Step::from_label(label);
        let names = |label| -> Vec<String> {
            let files = pins.needed(Some(step(label))).expect("pinned").expect("complete");
            files.iter().map(|file| file.name.to_string()).collect()
        };
        assert_eq!(names(512), ["config.json", BIN]);
        assert_eq!(pins.verdict(step(512)), None);
        let reason = pins.rescue(step(512)).expect("rescued").to_string();
        assert_eq!(
            reason,
            "model.safetensors is that of another step; pytorch_model.bin, another file, was read instead"
        );
        // Neither form of this one is its own.
        assert_eq!(pins.verdict(step(1000)).expect("bad").status, Status::DuplicateOf(step(512)));
        assert_eq!((pins.rescue(step(1000)), pins.rescue(step(143_000))), (None, None));
    }
}
