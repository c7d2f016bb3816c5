//! The other checkpoints of a model that its probes read: loaded once, kept while the model's cells run.

use std::collections::BTreeMap;

use pythia_core::model::GptNeoX;
use pythia_core::weights::WeightError;
use pythia_probes::{ProbeSpec, SourceCheckpoints};

use crate::load::{LoadError, Loaded, RunsOn};
use crate::plan::Source;

/// A checkpoint that some open probes of a model read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Donor {
    /// Index of the model in the study.
    pub model: usize,
    /// The label of its step.
    pub label: u32,
    /// Whether one of those probes reads logits.
    pub unembed: bool,
    /// Where its weights are.
    pub source: Source,
}

/// The labels that probes ask for, each once, with whether one of the askers reads logits.
pub fn asked_for<'a>(probes: impl IntoIterator<Item = &'a ProbeSpec>) -> BTreeMap<u32, bool> {
    let mut labels = BTreeMap::new();
    for probe in probes {
        for label in probe.source_checkpoints() {
            *labels.entry(label).or_insert(false) |= probe.reads_logits();
        }
    }
    labels
}

/// The donors of one model, as far as they could be loaded.
#[derive(Debug, Default)]
pub struct Lent {
    /// The checkpoints.
    pub models: SourceCheckpoints,
    hashes: BTreeMap<u32, String>,
    failed: BTreeMap<u32, LoadError>,
}

impl Lent {
    /// Puts a checkpoint, or why there is none, with the others.
    pub fn add(&mut self, label: u32, checkpoint: Result<Loaded, LoadError>, runs_on: &RunsOn) {
        let hash =
            checkpoint.as_ref().ok().and_then(|loaded| Some(loaded.hashes.content?.to_string())).unwrap_or_default();
        match checkpoint.and_then(|loaded| Ok(loaded.model(runs_on)?)) {
            Ok(model) => {
                self.hashes.insert(label, hash);
                self.models.0.insert(label, model);
            }
            Err(error) => {
                self.failed.insert(label, error);
            }
        }
    }

    /// What went wrong while the weights of one of the donors were decoded, if something did.
    pub fn fault(&self) -> Option<WeightError> {
        self.models.0.values().find_map(GptNeoX::fault)
    }

    /// The first of these donors that could not be loaded, and why.
    pub fn missing(&self, labels: &[u32]) -> Option<(u32, &LoadError)> {
        labels.iter().find_map(|label| Some((*label, self.failed.get(label)?)))
    }

    /// The hashes of the weights of these donors, as [`hashes_json`] writes them.
    pub fn hashes(&self, labels: &[u32]) -> Option<String> {
        hashes_json(labels, |label| self.hashes.get(&label).cloned())
    }
}

/// The hashes of the weights of some donors, a JSON object by label; `None` where there are none.
pub fn hashes_json(labels: &[u32], hash: impl Fn(u32) -> Option<String>) -> Option<String> {
    let hashes: BTreeMap<u32, String> = labels.iter().filter_map(|label| Some((*label, hash(*label)?))).collect();
    let entries: Vec<String> = hashes.iter().map(|(label, hash)| format!("\"{label}\":\"{hash}\"")).collect();
    (!entries.is_empty()).then(|| format!("{{{}}}", entries.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Weights;
    use crate::supply::Brought;
    use crate::testing;
    use pythia_core::store::StoreError;
    use pythia_core::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};

    fn loaded(scratch: &testing::Scratch, seed: u32) -> Loaded {
        let folder = scratch.0.join(seed.to_string());
        testing::model(&folder, seed);
        let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
        let files = WeightFiles::Safetensors(vec![folder.join("model.safetensors")]);
        let (params, hashes) = StoredCheckpoint::open(&testing::config(), &files)
            .and_then(|stored| stored.params(&wanted))
            .expect("weights");
        let (weights, hashes) = (Some(Weights::Resident(params)), hashes.into());
        Loaded { config: testing::config(), weights, parts: None, hashes, brought: Brought::default() }
    }

    #[test]
    fn what_could_not_be_loaded_is_missed_by_those_who_ask_for_it_alone() {
        let scratch = testing::Scratch::new("donors");
        let mut lent = Lent::default();
        for label in [0, 512] {
            lent.add(label, Ok(loaded(&scratch, label)), &RunsOn::cpu());
        }
        let absent = StoreError::NoFolder { dir: "step1".into() };
        lent.add(1, Err(absent.into()), &RunsOn::cpu());
        assert_eq!(lent.models.0.len(), 2);
        assert!(lent.missing(&[0, 512]).is_none() && lent.missing(&[]).is_none());
        assert!(lent.missing(&[0, 1]).is_some_and(|(label, error)| label == 1 && error.to_string().contains("step1")));
        let hashes: BTreeMap<String, String> =
            serde_json::from_str(&lent.hashes(&[512, 0]).expect("two hashes")).expect("JSON");
        assert_eq!(hashes["0"], loaded(&scratch, 0).hashes.content.expect("all was read").to_string());
        assert_ne!(hashes["0"], hashes["512"]);
        assert_eq!(lent.hashes(&[]), None);
    }
}
