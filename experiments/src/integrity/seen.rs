//! Weights that a sweep has read: equal hashes of different steps show a checkpoint that is not what its name says.

use std::collections::BTreeMap;

use pythia_core::suite::Step;

use super::{Status, Verdict, are_expected_duplicates};

/// The steps met so far, by model and hash of the weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(BTreeMap<(usize, String), Vec<Step>>);

impl Seen {
    /// Notes the weights of a step of the model with this index in the experiment.
    pub(crate) fn note(&mut self, model: usize, step: Step, weights_hash: &str) {
        let steps = self.0.entry((model, weights_hash.to_owned())).or_default();
        if !steps.contains(&step) {
            steps.push(step);
        }
    }

    /// The first other step with these weights that is not an expected duplicate.
    pub(crate) fn duplicate(&self, model: usize, step: Step, weights_hash: &str) -> Option<Step> {
        let steps = self.0.get(&(model, weights_hash.to_owned()))?;
        steps.iter().copied().find(|&other| other != step && !are_expected_duplicates(other, step))
    }

    /// The verdict after the weights were read: what was known before, unless they are those of another step.
    pub(crate) fn verdict(&self, model: usize, step: Option<Step>, weights_hash: &str, before: &Verdict) -> Verdict {
        match step.and_then(|step| self.duplicate(model, step, weights_hash)) {
            Some(duplicate) if matches!(before.status, Status::Ok | Status::Unverified) => {
                Verdict::duplicate(duplicate)
            }
            _ => before.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(label: u32) -> Step {
        Step::from_label(label)
    }

    #[test]
    fn the_later_of_two_equal_checkpoints_is_the_duplicate() {
        let mut seen = Seen::default();
        seen.note(0, step(512), "a");
        let unverified = Verdict::plain(Status::Unverified);
        assert_eq!(seen.verdict(0, Some(step(512)), "a", &unverified), unverified);
        assert_eq!(seen.verdict(0, Some(step(1000)), "a", &unverified).status, Status::DuplicateOf(step(512)));
        assert_eq!(seen.verdict(0, Some(step(1000)), "b", &unverified), unverified);
        assert_eq!(seen.verdict(1, Some(step(1000)), "a", &unverified), unverified, "another model");
        assert_eq!(seen.verdict(0, None, "a", &unverified), unverified);
        let bad = Verdict::because(Status::KnownBad, "listed");
        assert_eq!(seen.verdict(0, Some(step(1000)), "a", &bad), bad, "what is known says more");
    }

    #[test]
    fn the_first_two_steps_may_be_equal_and_a_third_may_not() {
        let mut seen = Seen::default();
        seen.note(0, step(0), "a");
        assert_eq!(seen.duplicate(0, step(1), "a"), None);
        seen.note(0, step(1), "a");
        assert_eq!(seen.duplicate(0, step(2), "a"), Some(step(0)));
    }
}
