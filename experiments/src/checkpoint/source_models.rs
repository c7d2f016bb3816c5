//! The source checkpoints of a model: loaded once, kept while the model's cells run.

use std::collections::BTreeMap;

use pythia_core::model::GptNeoX;
use pythia_core::weights::WeightError;
use pythia_probes::SourceCheckpoints;

use crate::checkpoint::load::{LoadError, Loaded, RunsOn};

/// The source checkpoints of one model, as far as they could be loaded.
#[derive(Debug, Default)]
pub(crate) struct SourceModels {
    pub(crate) models: SourceCheckpoints,
    hashes: BTreeMap<u32, String>,
    failed: BTreeMap<u32, LoadError>,
}

impl SourceModels {
    /// Adds a checkpoint, or the error that kept it from being loaded.
    pub(crate) fn add(&mut self, label: u32, checkpoint: Result<Loaded, LoadError>, runs_on: &RunsOn) {
        let model = checkpoint.and_then(|loaded| Ok((loaded.hashes.content, loaded.model(runs_on)?)));
        match model {
            Ok((hash, model)) => {
                self.hashes.extend(hash.map(|hash| (label, hash.to_string())));
                self.models.0.insert(label, model);
            }
            Err(error) => {
                self.failed.insert(label, error);
            }
        }
    }

    /// The first error of decoding the weights of a source.
    pub(crate) fn fault(&self) -> Option<WeightError> {
        self.models.0.values().find_map(GptNeoX::fault)
    }

    /// The first of these sources that could not be loaded, and why.
    pub(crate) fn missing(&self, labels: &[u32]) -> Option<(u32, &LoadError)> {
        labels.iter().find_map(|label| Some((*label, self.failed.get(label)?)))
    }

    /// The hashes of the weights of these sources, as [`hashes_json`] writes them.
    pub(crate) fn hashes(&self, labels: &[u32]) -> Option<String> {
        hashes_json(labels, |label| self.hashes.get(&label).cloned())
    }
}

/// The hashes of the weights of some sources, a JSON object by label; `None` where there are none.
pub(crate) fn hashes_json(labels: &[u32], hash: impl Fn(u32) -> Option<String>) -> Option<String> {
    let hashes: BTreeMap<u32, String> = labels.iter().filter_map(|label| Some((*label, hash(*label)?))).collect();
    // A map of numbers and texts always serializes.
    (!hashes.is_empty()).then(|| serde_json::to_string(&hashes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::fetch::Fetched;
    use crate::checkpoint::load::LoadedWeights;
    use crate::testing;
    use pythia_core::store::StoreError;
    use pythia_core::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};

    fn loaded(scratch: &testing::Scratch, seed: u32) -> Loaded {
        let folder = scratch.0.join(seed.to_string());
        testing::model(&folder, seed);
        let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
        let files = WeightFiles::Safetensors(vec![folder.join("model.safetensors")]);
        let stored = StoredCheckpoint::open(&testing::config(), &files);
        let (params, hashes) = stored.and_then(|stored| stored.params(&wanted)).expect("weights");
        let (weights, hashes) = (Some(LoadedWeights::Resident(params)), hashes.into());
        Loaded { config: testing::config(), weights, parts: None, hashes, fetched: Fetched::default() }
    }

    #[test]
    fn what_could_not_be_loaded_is_missed_by_those_who_ask_for_it_alone() {
        let scratch = testing::Scratch::new("sources");
        let mut sources = SourceModels::default();
        for label in [0, 512] {
            sources.add(label, Ok(loaded(&scratch, label)), &RunsOn::cpu());
        }
        let absent = StoreError::NoFolder { dir: "step1".into() };
        sources.add(1, Err(absent.into()), &RunsOn::cpu());
        assert_eq!(sources.models.0.len(), 2);
        assert!(sources.missing(&[0, 512]).is_none() && sources.missing(&[]).is_none());
        assert!(
            sources.missing(&[0, 1]).is_some_and(|(label, error)| label == 1 && error.to_string().contains("step1"))
        );
        let hashes: BTreeMap<String, String> =
            serde_json::from_str(&sources.hashes(&[512, 0]).expect("two hashes")).expect("JSON");
        assert_eq!(hashes["0"], loaded(&scratch, 0).hashes.content.expect("all was read").to_string());
        assert_ne!(hashes["0"], hashes["512"]);
        assert_eq!(sources.hashes(&[]), None);
        // A hash that is not known is left out.
        let mut unhashed = loaded(&scratch, 2);
        unhashed.hashes.content = None;
        sources.add(2, Ok(unhashed), &RunsOn::cpu());
        assert_eq!((sources.models.0.len(), sources.hashes(&[2])), (3, None));
    }
}
