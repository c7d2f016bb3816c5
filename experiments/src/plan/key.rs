//! The configuration that determines the bytes of a results file, its key, and the metadata of the file.

use std::collections::BTreeMap;

use pythia_core::suite::Step;
use pythia_probes::ProbeSpec;
use serde_json::{Value, json};

use crate::config::TableOf;
use crate::files::json::canonical;
use crate::files::table::TABLE_VERSION;
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::Counts;

/// Key of the metadata entry that holds the hash of the configuration: the cell's key.
pub(crate) const KEY: &str = "config_hash";

/// Key of the metadata entry that holds the hash of the weights.
pub(crate) const WEIGHTS_HASH: &str = "weights_hash";

/// Key of the metadata entry that holds the hashes of parts of the weights.
pub(crate) const TENSOR_HASHES: &str = "tensor_hashes";

/// Key of the metadata entry that holds the hashes of the weights of the other checkpoints that were read.
pub(crate) const SOURCE_WEIGHTS_HASH: &str = "source_weights_hash";

/// The parts of an experiment that reach a results file. Settings that only say where files are or how many cells there
/// are (output folder, list of steps, names of folders) are left out, so that an extended sweep keeps its results.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CellConfig {
    json: Value,
}

impl CellConfig {
    /// The configuration of a table on one checkpoint of the model that the results call `label`.
    pub(crate) fn new(resolved: &ResolvedExperiment, table: TableOf<'_>, label: &str, step: Option<Step>) -> Self {
        let (experiment, probe) = (&resolved.experiment, table.probe);
        let machine = &experiment.machine;
        let mut json = json!({
            "table_version": TABLE_VERSION,
            "probe": probe_json(&probe.spec),
            "seed": experiment.seed,
            "prepend_bos": experiment.prepend_bos,
            "model": label,
            "step": step.map(Step::label),
            "device": resolved.backend.name(),
            "dtype": machine.dtype,
            "weights": machine.weights.name(),
        });
        // The entries below are left out where they do not apply, so that they change no other key.
        if !table.name.is_empty() {
            json["table"] = json!(table.name);
        }
        if let Some(hashes) = resolved.inputs.hashes_of(&probe.spec.files()) {
            json["files"] = hashes;
        }
        // A defect that becomes known changes the key: the column `checkpoint_status` of older results says `ok`.
        let model = resolved.models.iter().find(|model| model.label == label);
        if let Some(verdict) = model.and_then(|model| model.listed(&resolved.known, step)) {
            json["known_bad"] = json!(verdict.to_string());
        }
        // Results of a branch that has moved since are not reused.
        if let Some(hashes) = model.and_then(|model| model.pinned_weights(step)) {
            json["weights_files"] = json!(hashes);
        }
        Self { json }
    }

    pub(crate) fn text(&self) -> String {
        canonical(&self.json)
    }

    /// The cell's key: a hash of the canonical JSON.
    pub(crate) fn key(&self) -> String {
        blake3::hash(self.text().as_bytes()).to_hex().to_string()
    }

    /// The metadata of the file: the provenance of its table, equal for identical runs.
    pub(crate) fn metadata(&self, ran_on: &RanOn) -> BTreeMap<String, String> {
        let mut metadata: BTreeMap<String, String> = [
            ("config", self.text()),
            (KEY, self.key()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            (TENSOR_HASHES, ran_on.tensor_hashes.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        // Repeated one by one for readers without a JSON parser.
        for key in ["table_version", "seed", "prepend_bos", "device", "dtype", "weights"] {
            let value = &self.json[key];
            metadata.insert(key.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        metadata.insert("kind".to_owned(), self.json["probe"]["kind"].as_str().unwrap_or_default().to_owned());
        let optional = [
            (WEIGHTS_HASH, &ran_on.weights_hash),
            ("device_name", &ran_on.device_name),
            ("tokenizer_hash", &ran_on.tokenizer_hash),
            (SOURCE_WEIGHTS_HASH, &ran_on.source_weights_hash),
            ("pairs_used", &ran_on.pairs.map(|counts| counts.used.to_string())),
            ("positions", &ran_on.positions),
            ("pairs_dropped", &ran_on.pairs.map(|counts| counts.dropped.to_string())),
        ];
        let present = optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        metadata.extend(present);
        metadata
    }
}

/// What a table was computed on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RanOn {
    /// Hash of the weights, where all of them were read.
    pub(crate) weights_hash: Option<String>,
    /// Hashes of the embedding, each block, the final norm and the unembedding, a JSON object: a shard of another step
    /// shows in them. If only some tensors of a group were read, they are listed by their own names.
    pub(crate) tensor_hashes: String,
    /// Name of the device, if it is a GPU: the last digits may differ from card to card.
    pub(crate) device_name: Option<String>,
    /// Hash of the tokenizer's file, where the model has one.
    pub(crate) tokenizer_hash: Option<String>,
    /// Hashes of the weights of the other checkpoints that the probe read, a JSON object by step, where it read some.
    pub(crate) source_weights_hash: Option<String>,
    /// How many pairs of prompts the probe used and left out, where it reads pairs.
    pub(crate) pairs: Option<Counts>,
    /// Texts of the positions of its pairs, a JSON list, if they are the same in all pairs.
    pub(crate) positions: Option<String>,
}

/// `{"kind": ..., every field with its default}`.
///
/// # Panics
/// Never: a probe is an enum of plain data, which serializes to its fields under its kind.
fn probe_json(spec: &ProbeSpec) -> Value {
    let mut json = serde_json::to_value(spec).expect("a probe is plain data");
    let mut fields = json.get_mut(spec.kind()).map(Value::take).expect("a probe serializes under its kind");
    fields["kind"] = json!(spec.kind());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::integrity::KnownDefects;
    use crate::resolved::inputs::Inputs;
    use pythia_core::device::Backend;

    const FILE: &str = "name = 't'\nseed = 3\nprepend_bos = true\nmodels = ['./nano']\nsteps = 'all'\n\
                        [[probe]]\nkind = 'head_scores'";

    fn resolved(overrides: &[&str]) -> ResolvedExperiment {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let experiment = parse("t.toml", FILE, &overrides).expect("good");
        ResolvedExperiment {
            experiment,
            models: Vec::new(),
            inputs: Inputs::default(),
            known: KnownDefects::default(),
            backend: Backend::Cpu,
        }
    }

    fn config(resolved: &ResolvedExperiment, table: &'static str, step: Option<u32>) -> CellConfig {
        let table = TableOf { probe: &resolved.experiment.probes[0], index: 0, name: table };
        CellConfig::new(resolved, table, "nano", step.map(Step::from_label))
    }

    fn key(overrides: &[&str], step: u32) -> String {
        config(&resolved(overrides), "", Some(step)).key()
    }

    #[test]
    fn a_key_changes_only_with_the_version_of_the_tables() {
        assert_eq!(TABLE_VERSION, 4);
        let before = "078252178a2bc8fead46bb2fa327957b10dca46b970771a7dce8d994403f8cb9";
        assert_eq!(key(&["probe.0.prompts.half_len=20"], 512), before);
        assert_ne!(config(&resolved(&[]), "examples", Some(512)).key(), key(&[], 512));
    }

    #[test]
    fn the_key_follows_what_determines_the_result_and_nothing_else() {
        let base = key(&[], 512);
        for same in
            [&["steps=[512]"][..], &["name=other"], &["out=elsewhere"], &["probe.0.name=x"], &["probe.0.prompts.n=8"]]
        {
            assert_eq!(key(same, 512), base, "{same:?}");
        }
        for other in ["seed=4", "prepend_bos=false", "dtype=f64", "weights=tl2", "probe.0.prompts.n=9"] {
            assert_ne!(key(&[other], 512), base, "{other}");
        }
        assert_ne!(key(&[], 513), base);
    }

    #[test]
    fn metadata_says_how_the_table_came_to_be() {
        let config = config(&resolved(&[]), "", None);
        let ran_on = RanOn { weights_hash: Some("w".into()), ..RanOn::default() };
        let metadata = config.metadata(&ran_on);
        assert_eq!(metadata[WEIGHTS_HASH], "w");
        let parts = RanOn { weights_hash: None, tensor_hashes: "{}".into(), ..ran_on.clone() };
        assert!(!config.metadata(&parts).contains_key(WEIGHTS_HASH));
        assert_eq!(config.metadata(&parts)[TENSOR_HASHES], "{}");
        assert_eq!(metadata["seed"], "3");
        assert_eq!(metadata["dtype"], "f32");
        assert_eq!(metadata["kind"], "head_scores");
        assert_eq!(metadata[KEY], config.key());
        assert!(metadata["config"].contains("\"half_len\":50"), "{}", metadata["config"]);
        assert!(!metadata.contains_key("tokenizer_hash") && !metadata.contains_key(SOURCE_WEIGHTS_HASH));
        let ran_on = RanOn { source_weights_hash: Some("{\"0\":\"d\"}".into()), ..ran_on };
        assert_eq!(config.metadata(&ran_on)["source_weights_hash"], "{\"0\":\"d\"}");
    }
}
