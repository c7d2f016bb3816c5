//! The experiment file: TOML text → [`Experiment`], or every mistake in it with its place.
//!
//! Reading goes in two phases. The document is parsed into a table with spans, the `--set` overrides are laid over it,
//! and keys are compared with the schema; only then is each table read into the struct that its `kind` names. A tagged
//! enum would read in one phase and lose the place of a mistake.

mod coerce;
mod described;
mod entry;
mod hook_names;
mod input;
mod located;
mod migrate;
mod old_keys;
mod overrides;
#[cfg(test)]
mod pages;
mod paths;
mod probes;
mod problem;
mod read;
mod reference;
mod schema;
mod sources;
mod steps;
mod words;

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use pythia_core::device::DeviceName;
use pythia_core::store::ModelRef;
use pythia_core::weights::Profile;
use pythia_probes::{Bytes, ProbeSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::files::folder;
use crate::integrity::OnBad;
use crate::terminal::{Exit, Explained};

pub(crate) use entry::{ProbeEntry, TableOf};
pub(crate) use input::{InputError, ModelInfoError, read_text};
pub(crate) use located::{ConfigErrors, Located};
pub(crate) use migrate::{Migrated, migrate};
pub(crate) use problem::Problem;
pub use reference::reference;
pub use schema::json_schema;
pub(crate) use schema::{KeyDoc, experiment_keys, probe_keys};
pub(crate) use sources::Sources;
pub(crate) use steps::{Steps, nearest};

/// A checked experiment: what to run on which checkpoints. What needs the models themselves is checked when it is
/// resolved.
#[derive(Debug)]
pub(crate) struct Experiment {
    /// The experiment's name.
    pub(crate) name: String,
    /// What every random choice is derived from.
    pub(crate) seed: u64,
    /// Whether prompts start with the BOS token.
    pub(crate) prepend_bos: bool,
    /// The models, in the order of the file; never empty.
    pub(crate) models: Vec<Spanned<ModelRef>>,
    /// The choice of checkpoints, and its place in the texts.
    pub(crate) steps: Spanned<Steps>,
    /// The probes, in the order of the file; never empty, no two write to one folder.
    pub(crate) probes: Vec<ProbeEntry>,
    /// Where results go, if the file says so.
    pub(crate) out: Option<PathBuf>,
    /// What to compute with.
    pub(crate) machine: Machine,
    /// How its checkpoints are fetched and verified.
    pub(crate) store: StorePolicy,
    /// The texts, for messages about errors found later.
    pub(crate) sources: Sources,
}

impl Experiment {
    /// The folder that a run writes to where the command line names none.
    pub(crate) fn output_folder(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| folder::default_root(&self.name))
    }
}

/// How checkpoints are fetched and verified. Of all this only known defects change the bytes of a result.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct StorePolicy {
    /// What to do with a checkpoint that is known to be wrong as published, or has the weights of another step.
    #[serde(default)]
    pub(crate) on_bad: OnBad,
    /// A JSON file of further known defects, in the form of the program's own list: {"known_bad": [...]}.
    #[schemars(with = "Option<PathBuf>")]
    pub(crate) known_bad: Option<Spanned<PathBuf>>,
    /// The file of pinned commits and hashes; the experiment file's path, ending in .lock.json, where it is left out.
    #[schemars(with = "Option<PathBuf>")]
    pub(crate) lock: Option<Spanned<PathBuf>>,
    /// Disk that fetched checkpoints may take, for example "200GB"; the least recently used go first. No bound where it
    /// is left out.
    pub(crate) cache_max: Option<Bytes>,
    /// Disk that must stay free, for example "20GB"; 1GiB where it is left out.
    pub(crate) min_free: Option<Bytes>,
}

/// What to compute with. `memory` decides how weights are held, and changes no result.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Machine {
    /// Where to compute: cpu, or a GPU by gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them.
    #[serde(default = "cpu")]
    #[schemars(with = "String", regex(pattern = DeviceName::PATTERN))]
    pub(crate) device: Spanned<DeviceName>,
    /// Precision: of everything (f32, f64), or of weights and the products with them (f16, bf16), while all else stays
    /// in 32 bits.
    #[serde(default)]
    pub(crate) dtype: Precision,
    /// How weights are prepared before they are used.
    #[serde(default, deserialize_with = "WeightProfile::deserialize")]
    #[schemars(with = "WeightProfile")]
    pub(crate) weights: Profile,
    /// Root of the hub's cache; where the hub's Python client has it, if this is left out: HF_HUB_CACHE, HF_HOME/hub,
    /// XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
    #[schemars(with = "Option<PathBuf>")]
    pub(crate) cache: Option<Spanned<PathBuf>>,
    /// Memory that the whole process may take (16GiB): weights that do not fit are used layer by layer from their
    /// files, which changes no result. What the machine has free where it is left out.
    pub(crate) memory: Option<Bytes>,
}

/// The device where the file names none: no place in the texts.
fn cpu() -> Spanned<DeviceName> {
    Spanned::new(0..0, DeviceName::default())
}

/// A weight profile by name.
#[derive(Deserialize, JsonSchema)]
#[serde(remote = "Profile", rename_all = "snake_case")]
enum WeightProfile {
    /// The numbers of the file.
    AsPublished,
    /// TransformerLens' folding of norms, centring and value biases. Hook values change as they do there.
    Tl2,
}

/// A floating-point type by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 64 bits: twice the memory and time, for checking; on the CPU alone.
    F64,
    /// float16: more digits, a smaller range. For weights and the products with them; all else stays in 32 bits.
    F16,
    /// bfloat16: fewer digits, the range of float32. For weights and the products with them; all else stays in 32 bits.
    Bf16,
}

impl Precision {
    /// The number type of weights.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// The name that other libraries use.
    pub(crate) fn long_name(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::F64 => "float64",
            Precision::F16 => "float16",
            Precision::Bf16 => "bfloat16",
        }
    }
}

/// The kind of probe that a word names, in any case.
pub(crate) fn probe_kind(word: &str) -> Result<&'static str, UnknownKind> {
    probes::known_kind(word).ok_or_else(|| UnknownKind { kind: word.to_owned() })
}

/// A word that names no kind of probe.
#[derive(Debug, thiserror::Error)]
#[error("unknown probe kind `{kind}`")]
pub(crate) struct UnknownKind {
    kind: String,
}

impl Explained for UnknownKind {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn remedy(&self) -> Option<String> {
        let kinds = || ProbeSpec::KINDS.iter().map(|row| row.name);
        let nearest = pythia_hooks::nearest(&self.kind, kinds());
        let near = nearest.first().map(|word| format!("did you mean `{word}`? ")).unwrap_or_default();
        Some(format!("{near}the kinds are {}", kinds().collect::<Vec<_>>().join(", ")))
    }
}

/// Reads an experiment: `file` is what messages call the text, and its folder is what the paths in it count from.
/// `overrides` are `--set` arguments, laid over in order.
pub(crate) fn parse(file: impl AsRef<Path>, text: &str, overrides: &[String]) -> Result<Experiment, ConfigErrors> {
    let mut sources = Sources::new(file.as_ref(), text);
    let ranges: Vec<_> = overrides.iter().map(|argument| sources.push("--set", argument)).collect();
    read::experiment(&sources, &ranges).map_err(|problems| ConfigErrors { sources, problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "t"
seed = 3
prepend_bos = true
models = ["./data/nano", "pythia-70m"]
steps = "all"
[[probe]]
kind = "head_scores"
prompts = { n = 4 }
[[probe]]
kind = "head_scores"
name = "scores_plain"
prompts = { prepend_bos = false }
"#;

    fn error(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        parse("t.toml", text, &overrides).expect_err("must be refused").to_string()
    }

    #[track_caller]
    fn contains(report: &str, parts: &[&str]) {
        for part in parts {
            assert!(report.contains(part), "{part:?} is not in\n{report}");
        }
    }

    #[test]
    fn a_good_file_is_read_whole() {
        let experiment = parse("t.toml", GOOD, &["seed=9".into(), "probe.0.prompts.n=2".into()]).expect("good");
        assert_eq!((experiment.name.as_str(), experiment.seed, experiment.prepend_bos), ("t", 9, true));
        assert_eq!(experiment.models.len(), 2);
        let names: Vec<_> = experiment.probes.iter().map(|probe| probe.name.as_str()).collect();
        assert_eq!(names, ["head_scores", "scores_plain"]);
        let spec = serde_json::to_value(&experiment.probes[0].spec).expect("JSON");
        assert_eq!(spec["head_scores"]["prompts"]["n"], 2);
        assert_eq!(experiment.steps.get_ref(), &Steps::All);
        assert_eq!(experiment.machine.dtype, Precision::F32);
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line_and_the_nearest_one() {
        let report = error(&GOOD.replacen("prompts", "promtps", 1), &[]);
        contains(
            &report,
            &[
                "error: unknown key `promtps` in probe `head_scores`",
                "t.toml:9:1",
                "9 | promtps = { n = 4 }",
                "did you mean `prompts`?",
            ],
        );
        let report = error(&GOOD.replace("seed = 3", "sede = 3"), &[]);
        contains(&report, &["unknown key `sede` in the experiment", "did you mean `seed`?", "missing key `seed`"]);
        let report = error(&GOOD.replace("n = 4", "halflen = 4"), &[]);
        contains(
            &report,
            &["unknown key `halflen` in `prompts` of probe `head_scores`", "t.toml:9:13", "did you mean `half_len`?"],
        );
        let file = GOOD.replacen("head_scores", "ablation", 1).replace("prompts = { n", "pairs = { taks = \"ioi\", n");
        contains(&error(&file, &[]), &["unknown key `taks` in `pairs` of probe `ablation`", "did you mean `task`?"]);
    }

    #[test]
    fn an_old_key_is_shown_as_it_is_written_today() {
        let report = error(&GOOD.replace("prompts = { n = 4 }", "half_len = 24\nbatch = 4"), &[]);
        let new = "write `prompts = { n = 4, half_len = 24 }`";
        contains(
            &report,
            &["`half_len` is not a key of probe `head_scores` any more", "t.toml:9:1", "t.toml:10:1", new],
        );
        contains(&report, &["`pythia migrate --write FILE` rewrites a whole file"]);
        let beside = error(&GOOD.replace("n = 4 }", "n = 4 }\nhalf_len = 24\nbatch = 4"), &[]);
        contains(&beside, &["write `prompts = { n = 4, half_len = 24 }`"]);
        let within = error(&GOOD.replace("n = 4", "batch = 3"), &[]);
        contains(
            &within,
            &["`prompts.batch` is not a key of probe `head_scores` any more", "write `prompts = { n = 3 }`"],
        );
        for (old, new) in [("half_len", "prompts.half_len"), ("prompts.batch", "prompts.n")] {
            let report = error(GOOD, &[&format!("probe.0.{old}=4")]);
            contains(&report, &["--set:1:1", &format!("write `--set probe.0.{new}=4`")]);
            assert!(!report.contains("migrate"), "{report}");
        }
        let pairs = "pairs = { task = \"induction\" }\ndonor = 512";
        let report =
            error(&GOOD.replace("prompts = { n = 4 }", pairs).replacen("head_scores", "cross_checkpoint", 1), &[]);
        contains(&report, &["`donor` is not a key of probe `cross_checkpoint` any more", "write `source_step = 512`"]);
        let report = error(&GOOD.replace("prompts = { n = 4 }", "prompts = { tokens = [[1]], n = 4 }"), &[]);
        contains(&report, &["`tokens` and `n` exclude each other", "t.toml:9:"]);
    }

    #[test]
    fn a_wrong_type_points_at_the_value() {
        let report = error(&GOOD.replace("n = 4", "n = \"four\""), &[]);
        contains(&report, &["invalid type: string \"four\", expected a whole number from 0 on", "t.toml:9:17", "^^^"]);
        contains(&error(&GOOD.replace("seed = 3", "seed = -3"), &[]), &["invalid value", "t.toml:3:8"]);
        for (value, found) in [("[2, 8]", "sequence"), ("[[1, 2]]", "sequence"), ("3", "integer `3`")] {
            let expected = format!("invalid type: {found}, expected a table: `{{ n = 4, half_len = 50 }}`");
            contains(&error(&GOOD.replace("{ n = 4 }", value), &[]), &[&expected, "t.toml:9:11"]);
        }
        let file = GOOD.replacen("head_scores", "ablation", 1).replace("prompts = { n = 4 }", "pairs = [\"ioi\"]");
        let expected = "invalid type: sequence, expected a table: `{ task = \"ioi\" }` or `{ file = \"pairs.jsonl\" }`";
        contains(&error(&file, &[]), &[expected, "t.toml:9:9"]);
        for form in ["{ texts = [\"…\"] }", "{ tokens = [[1, 2]] }", "{ file = \"prompts.jsonl\" }"] {
            contains(&error(&GOOD.replace("{ n = 4 }", "\"hello\""), &[]), &[form]);
        }
    }

    #[test]
    fn an_old_key_that_is_required_is_reported_once() {
        let pairs = "pairs = { task = \"induction\" }\ndonor = 512";
        let text = GOOD.replace("prompts = { n = 4 }", pairs).replacen("head_scores", "cross_checkpoint", 1);
        let report = error(&text, &[]);
        contains(&report, &["write `source_step = 512`"]);
        assert!(!report.contains("missing key") && report.matches("error: ").count() == 1, "{report}");
        contains(&error(&text.replace("donor = 512", ""), &[]), &["missing key `source_step`"]);
    }

    #[test]
    fn a_wrong_hook_is_reported_with_the_other_mistakes() {
        let probe = "pairs = { task = \"induction\" }\nhooks = [\"z\", \"zz\"]\npositions = [{ a = 1 }]";
        let text = GOOD.replace("prompts = { n = 4 }", probe).replacen("head_scores", "activation_patching", 1);
        let report = error(&text.replace("\"all\"", "\"al\""), &[]);
        contains(&report, &["`steps` cannot be \"al\"", "no hook point is called `zz`", "t.toml:10:1", "invalid type"]);
        let unknown = error(&text.replace("[{ a = 1 }]", "[\"end\"]").replace("positions", "postions"), &[]);
        contains(&unknown, &["unknown key `postions`", "no hook point is called `zz`"]);
        let runs = "pairs = { task = \"induction\" }\nruns = { a = [{ hook = \"blocks.*.zz\", edit = \"zero\" }] }";
        let text = GOOD.replace("prompts = { n = 4 }", runs).replacen("head_scores", "interventions", 1);
        contains(&error(&text, &[]), &["no hook point is called `blocks.*.zz`", "t.toml:10:17"]);
    }

    #[test]
    fn an_unknown_kind_lists_the_kinds() {
        let report = error(&GOOD.replacen("\"head_scores\"", "\"head_score\"", 1), &[]);
        contains(
            &report,
            &[
                "unknown probe kind `head_score`",
                "t.toml:8:8",
                "did you mean `head_scores`?",
                "allowed kinds:",
                "token_loss",
            ],
        );
    }

    #[test]
    fn names_must_differ_and_fit_a_folder() {
        contains(
            &error(&GOOD.replace("scores_plain", "head_scores"), &[]),
            &["two probes are called `head_scores`", "t.toml:12:8"],
        );
        contains(&error(&GOOD.replace("scores_plain", "../up"), &[]), &["`../up` is not a name for a probe"]);
    }

    #[test]
    fn unknown_models_and_words_are_refused() {
        contains(&error(&GOOD.replace("pythia-70m", "pythia-70n"), &[]), &["pythia-70n", "pythia-70m", "t.toml:5:26"]);
        contains(&error(&GOOD.replace("\"all\"", "\"al\""), &[]), &["`steps` cannot be \"al\"", "did you mean `all`?"]);
        contains(&error(GOOD, &["device=tpu"]), &["`tpu` is no device", "gpu[:n]", "--set:1:8", "device=tpu"]);
    }

    #[test]
    fn what_is_not_toml_is_shown_where_it_breaks() {
        contains(&error("name = ", &[]), &["t.toml:1:8"]);
        contains(&error("", &[]), &["missing key `name`", "missing key `seed`", "missing key `probe`"]);
        contains(&error(&GOOD.replace("[\"./data/nano\", \"pythia-70m\"]", "[]"), &[]), &["`models` is empty"]);
    }

    #[test]
    fn a_mistake_in_an_override_is_shown_in_the_override() {
        contains(&error(GOOD, &["probe.0.prompts.n=\"x\""]), &["--set:1:19", "invalid type: string \"x\""]);
        contains(&error(GOOD, &["probe.5.prompts.n=1"]), &["`probe` has 2 entries"]);
    }
}
