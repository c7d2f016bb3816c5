//! How many pairs of prompts each probe uses, and why others are dropped.

use std::collections::BTreeMap;

use pythia_probes::pairs::{Dropped, reasons};
use serde_json::{Value, json};

use crate::resolved::{ResolvedExperiment, answer_spaces, positions};

/// How many pairs a probe uses and leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Pairs that are run.
    pub(crate) used: usize,
    /// Pairs that cannot be run.
    pub(crate) dropped: usize,
}

/// The pairs of one probe on one model.
#[derive(Clone, Debug)]
struct ProbePairs {
    used: usize,
    dropped: Vec<Dropped>,
    /// The text of each position, where it is the same in all pairs.
    positions: Option<Vec<String>>,
}

/// The pairs of every probe that reads pairs, by the indices of model and probe. Models differ in their tokenizers, and
/// so in the pairs that they can use.
#[derive(Clone, Debug, Default)]
pub(crate) struct PairCounts(BTreeMap<(usize, usize), ProbePairs>);

impl PairCounts {
    /// Counts the pairs of a checked experiment: pairs that cannot be made are an error of the check.
    pub(crate) fn of(resolved: &ResolvedExperiment) -> Self {
        let mut pair_counts = BTreeMap::new();
        for (at, model) in resolved.models.iter().enumerate() {
            let context = model.context(&resolved.experiment, &resolved.inputs.contents);
            for (index, probe) in resolved.experiment.probes.iter().enumerate() {
                if let Some(Ok(pairs)) = probe.spec.pairs(&context) {
                    let positions = positions::of(&pairs.list, model.tokenizer.as_ref(), context.bos);
                    let pairs_of_probe = ProbePairs { used: pairs.list.len(), dropped: pairs.dropped, positions };
                    pair_counts.insert((at, index), pairs_of_probe);
                }
            }
        }
        Self(pair_counts)
    }

    /// How many pairs a probe uses on a model; `None` for a probe without pairs.
    pub(crate) fn counts(&self, model: usize, probe: usize) -> Option<Counts> {
        self.0
            .get(&(model, probe))
            .map(|pairs_of_probe| Counts { used: pairs_of_probe.used, dropped: pairs_of_probe.dropped.len() })
    }

    /// The texts of the positions of a probe's pairs on a model, a JSON list; `None` if they differ between pairs.
    pub(crate) fn positions(&self, model: usize, probe: usize) -> Option<String> {
        let positions = self.0.get(&(model, probe))?.positions.as_ref()?;
        Some(json!(positions).to_string())
    }

    /// A line per probe that leaves pairs out, where models differ in it a line for each of them; and a line per probe
    /// with answers that do not fit each other.
    pub(crate) fn notes(&self, resolved: &ResolvedExperiment) -> Vec<String> {
        let probes = resolved.experiment.probes.iter().enumerate();
        let dropped = probes.flat_map(|(index, probe)| self.notes_of(index, &probe.name, resolved));
        dropped.chain(answer_spaces::notes(resolved)).collect()
    }

    fn notes_of(&self, index: usize, probe: &str, resolved: &ResolvedExperiment) -> Vec<String> {
        let note = |at| self.0.get(&(at, index)).and_then(ProbePairs::note);
        let notes: Vec<Option<String>> = (0..resolved.models.len()).map(note).collect();
        if notes.windows(2).all(|two| two[0] == two[1]) {
            let note = notes.into_iter().next().flatten();
            return note.map(|note| format!("probe `{probe}`: {note}")).into_iter().collect();
        }
        let models = resolved.models.iter().map(|model| &model.label);
        models.zip(notes).filter_map(|(model, note)| Some(format!("probe `{probe}` on {model}: {}", note?))).collect()
    }

    /// Everything, for machines: per probe and model the pairs used, and those left out with their lines and reasons.
    pub(crate) fn json(&self, resolved: &ResolvedExperiment) -> Value {
        let row = |((model, probe), pairs_of_probe): (&(usize, usize), &ProbePairs)| {
            let left_out = |one: &Dropped| json!({ "line": one.source, "reason": one.reason.to_string() });
            json!({
                "model": resolved.models[*model].label,
                "probe": resolved.experiment.probes[*probe].name,
                "used": pairs_of_probe.used,
                "dropped": pairs_of_probe.dropped.iter().map(left_out).collect::<Vec<_>>(),
            })
        };
        Value::Array(self.0.iter().map(row).collect())
    }
}

impl ProbePairs {
    /// A message about dropped pairs; `None` where all are used.
    fn note(&self) -> Option<String> {
        let (used, all) = (self.used, self.used + self.dropped.len());
        (all > used).then(|| format!("{used} of {all} pairs used; dropped: {}", reasons(&self.dropped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::testing::{self, Scratch};
    use pythia_hub::Lock;
    use std::path::Path;

    /// An experiment of two models over pairs of which five cannot be used.
    fn resolved(scratch: &Scratch) -> ResolvedExperiment {
        testing::suite(&scratch.0.join("tiny"), &[0]);
        testing::model(&scratch.0.join("other"), 3);
        let line =
            |id: u32| format!("{{\"clean\": [1, {id}], \"corrupt\": [2, {id}], \"answer\": [3], \"wrong\": [4]}}\n");
        let short = "{\"clean\": [1, 2], \"corrupt\": [1], \"answer\": [3]}\n";
        let text = format!("{}{short}\n{}{}{short}{short}{short}", line(5), line(6), line(12));
        let file = scratch.0.join("pairs.jsonl");
        std::fs::write(&file, text).expect("write");
        let folder = scratch.0.display();
        let text = format!(
            "name = 't'\nseed = 3\nprepend_bos = true\nmodels = ['{folder}/tiny', '{folder}/other']\nsteps = 'all'\n\
             [[probe]]\nkind = 'head_scores'\nprompts = {{ n = 2, half_len = 6 }}\n\
             [[probe]]\nkind = 'ablation'\npairs = {{ file = '{}' }}\n\
             [[probe]]\nkind = 'steering'\npairs = {{ task = 'induction', n = 2, half_len = 4 }}\n",
            file.display()
        );
        let experiment = config::parse("t.toml", &text, &[]).expect("right");
        ResolvedExperiment::open(experiment, &Lock::default(), Path::new("none"))
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn pairs_left_out_are_counted_and_listed() {
        let scratch = Scratch::new("pair-counts");
        let resolved = resolved(&scratch);
        let pair_counts = PairCounts::of(&resolved);
        assert_eq!(pair_counts.counts(0, 0), None);
        assert_eq!(pair_counts.counts(1, 1), Some(Counts { used: 2, dropped: 5 }));
        assert_eq!(pair_counts.counts(0, 2), Some(Counts { used: 2, dropped: 0 }));
        // Both models leave out the same pairs, so there is one note; a probe that leaves none out has no note.
        let [note] = &pair_counts.notes(&resolved)[..] else { panic!("{:?}", pair_counts.notes(&resolved)) };
        let lengths = "clean has 2 tokens and corrupt 1, but they must have equally many";
        let id = "clean has the id 12, but the vocabulary has the ids 0 to 11";
        let told = format!("dropped: line 2: {lengths}; line 5: {id}; line 6: {lengths}; and 2 more");
        assert_eq!(*note, format!("probe `ablation`: 2 of 7 pairs used; {told}"));
        let json = pair_counts.json(&resolved);
        assert_eq!((json[0]["used"].as_u64(), json[0]["dropped"].as_array().map(Vec::len)), (Some(2), Some(5)));
        assert_eq!((json[0]["dropped"][4]["line"].as_u64(), json[0]["model"].as_str()), (Some(8), Some("tiny")));
    }

    #[test]
    fn models_that_differ_are_told_apart() {
        let scratch = Scratch::new("pair-counts-models");
        let resolved = resolved(&scratch);
        let mut pair_counts = PairCounts::of(&resolved);
        if let Some(pairs_of_probe) = pair_counts.0.get_mut(&(0, 1)) {
            pairs_of_probe.dropped.clear();
        }
        let notes = pair_counts.notes(&resolved);
        assert!(
            matches!(&notes[..], [one] if one.starts_with("probe `ablation` on other: 2 of 7 pairs used")),
            "{notes:?}"
        );
    }
}
