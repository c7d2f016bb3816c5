use super::*;
use crate::config::{self, ConfigErrors};
use crate::files::sink;
use crate::testing::{self, Scratch};
use pythia_core::params::Param;
use pythia_core::weights::to_safetensors;
use pythia_hub::Lock;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const STEPS: [u32; 4] = [0, 1, 512, 1000];

/// A suite with an experiment over it.
struct Setting {
    scratch: Scratch,
}

impl Setting {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        testing::suite(&scratch.0.join("tiny"), &STEPS);
        Self { scratch }
    }

    fn resolved(&self, overrides: &[&str]) -> Result<ResolvedExperiment, ConfigErrors> {
        let text = format!(
            "name = 't'\nseed = 3\nprepend_bos = true\nmodels = ['{}/tiny']\nsteps = 'all'\n\
             [[probe]]\nkind = 'head_scores'\nprompts = {{ n = 2, half_len = 6 }}\n\
             [[probe]]\nkind = 'induction_loss'\nprompts = {{ n = 2, half_len = 6 }}\n",
            self.scratch.0.display()
        );
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        ResolvedExperiment::open(
            config::parse("t.toml", &text, &overrides).expect("right"),
            &Lock::default(),
            &self.scratch.0,
        )
    }

    fn disk(&self, out: &str) -> Disk {
        Disk { out: self.scratch.0.join(out), offline: true }
    }

    fn sweep(&self, out: &str, overrides: &[&str]) -> Result<Outcome, Failure> {
        self.sweep_from(out, overrides, false)
    }

    fn sweep_from(&self, out: &str, overrides: &[&str], fresh: bool) -> Result<Outcome, Failure> {
        let resolved = self.resolved(overrides)?;
        let hub = HubAccess::open(&resolved.experiment, &self.scratch.0.join("t.toml"), true)?;
        sweep(&resolved, &self.disk(out), &hub, None, fresh)
    }

    /// Every table of a probe under results/ by its path, with its bytes.
    fn results(&self, out: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.all_results(out);
        files.retain(|path, _| !path.starts_with("results/checkpoints"));
        files
    }

    /// Every file under results/ by its path, with its bytes.
    fn all_results(&self, out: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.disk(out).out.join("results"), &mut files);
        let base = self.disk(out).out;
        let relative = |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(&base).expect("inside").into(), bytes);
        files.into_iter().map(relative).collect()
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).expect("read"));
        }
    }
}

#[test]
fn a_sweep_leaves_one_file_per_probe_and_checkpoint() {
    let setting = Setting::new("sweep");
    let outcome = setting.sweep("out", &[]).expect("runs");
    assert_eq!((outcome.done, outcome.failed.len()), (4, 0));
    let names: Vec<String> = setting.results("out").keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names.len(), 8);
    assert_eq!(names[0], "results/head_scores/tiny/step000000.parquet");
    assert_eq!(names[7], "results/induction_loss/tiny/step001000.parquet");
    let metadata = sink::metadata(&setting.disk("out").out.join(&names[0])).expect("read").expect("there");
    assert_eq!((metadata["seed"].as_str(), metadata["weights_hash"].len()), ("3", 64));
    assert!(setting.disk("out").out.join("state/t.json").is_file());
    let rows = setting.all_results("out").len() - names.len();
    assert_eq!(rows, 4, "the table of checkpoints has a row for each");
}

#[test]
fn resuming_gives_the_bytes_of_an_uninterrupted_run() {
    let setting = Setting::new("resume");
    setting.sweep("whole", &[]).expect("runs");
    setting.sweep("cut", &[]).expect("runs");
    for lost in ["head_scores/tiny/step000001.parquet", "induction_loss/tiny/step001000.parquet"] {
        fs::remove_file(setting.disk("cut").out.join("results").join(lost)).expect("remove");
    }
    fs::write(setting.disk("cut").out.join("state/journal.jsonl"), b"cut").expect("write");
    let outcome = setting.sweep("cut", &[]).expect("resumes");
    assert_eq!(outcome.done, 2);
    assert_eq!(setting.results("cut"), setting.results("whole"));
    assert_eq!(setting.sweep("cut", &[]).expect("idle").done, 0);
}

#[test]
fn a_longer_list_of_steps_keeps_what_is_done() {
    let setting = Setting::new("longer");
    assert_eq!(setting.sweep("out", &["steps=[0, 512]"]).expect("runs").done, 2);
    assert_eq!(setting.sweep("out", &[]).expect("extends").done, 2);
    setting.sweep("whole", &[]).expect("runs");
    assert_eq!(setting.results("out"), setting.results("whole"));
}

#[test]
fn results_of_other_settings_are_refused_until_a_fresh_start() {
    let setting = Setting::new("foreign");
    setting.sweep("out", &["steps=[0, 512]"]).expect("runs");
    // Also where the plan itself does not meet the old files.
    let refused = setting.sweep("out", &["seed=4", "steps=[1]"]).expect_err("must refuse");
    assert_eq!(refused.exit(), Exit::BadInput);
    let report = refused.report(false);
    assert!(report.contains("--fresh") && report.contains("seed is 3 there and 4 here"), "{report}");
    let outcome = setting.sweep_from("out", &["seed=4", "steps=[1]"], true).expect("fresh");
    assert_eq!((outcome.done, setting.results("out").len()), (1, 2));
}

#[test]
fn a_fresh_run_that_cannot_begin_removes_nothing() {
    let setting = Setting::new("fresh-refused");
    setting.sweep("out", &[]).expect("runs");
    let before = setting.all_results("out");
    let refused = |overrides: &[&str]| {
        let failure = setting.sweep_from("out", overrides, true).expect_err("must refuse");
        assert!(setting.all_results("out") == before, "results were removed");
        failure.exit()
    };
    assert_eq!(refused(&["memory='1MiB'"]), Exit::Resources);
    let known = r#"{"known_bad": [{"models": ["tiny"], "kind": "wrong_weights", "steps": [[512, 512]],
        "problem": "copied by mistake", "source": "our log"}]}"#;
    let list = setting.scratch.0.join("known.json");
    fs::write(&list, known).expect("write");
    assert_eq!(refused(&[&format!("known_bad='{}'", list.display())]), Exit::BadInput);
    // Planned as if the results were gone: all cells are computed again.
    assert_eq!(setting.sweep_from("out", &[], true).expect("fresh").done, 4);
    assert_eq!(setting.all_results("out"), before);
}

/// Puts a file of another version in the place of every file of a table.
fn make_old(setting: &Setting, table: &str) {
    let stamp = sink::Stamp { model: "tiny".into(), step: None, tokens_seen: None, checkpoint_status: "ok".into() };
    let old = BTreeMap::from([("table_version".to_owned(), "3".to_owned())]);
    let bytes = sink::encode(&stamp, 1, Vec::new(), &old).expect("encode");
    for path in setting.all_results("out").keys().filter(|path| path.starts_with(format!("results/{table}"))) {
        fs::write(setting.disk("out").out.join(path), &bytes).expect("write");
    }
}

#[test]
fn a_folder_of_another_version_is_refused_whatever_would_be_written() {
    let setting = Setting::new("version");
    setting.sweep("out", &[]).expect("runs");
    make_old(&setting, "head_scores");
    let before = setting.all_results("out");
    let refused = |overrides: &[&str], fresh: bool| {
        let failure = setting.sweep_from("out", overrides, fresh).expect_err("must refuse");
        assert_eq!((failure.exit(), setting.all_results("out") == before), (Exit::BadInput, true));
        failure.report(false)
    };
    let report = refused(&[], false);
    assert!(report.contains("results/head_scores/tiny/step000000.parquet was made by another version"), "{report}");
    assert!(report.contains("of version 3 there and") && report.contains("with --fresh"), "{report}");
    // Other tables beside them make no folder that can be read, and a fresh run would replace only its own.
    for (overrides, fresh) in [([NORMS_ALONE], false), ([NORMS_ALONE], true)] {
        let report = refused(&overrides, fresh);
        assert!(report.contains("table `head_scores`") && !report.contains("--fresh"), "{report}");
    }
    setting.sweep_from("out", &[], true).expect("fresh");
    setting.sweep("whole", &[]).expect("runs");
    assert_eq!(setting.all_results("out"), setting.all_results("whole"));
}

#[test]
fn a_fresh_run_replaces_the_checkpoints_of_another_version() {
    let setting = Setting::new("version-rows");
    setting.sweep("out", &[NORMS_ALONE]).expect("runs");
    let whole = setting.all_results("out");
    make_old(&setting, "checkpoints");
    let report = setting.sweep("out", &[NORMS_ALONE]).expect_err("must refuse").report(false);
    assert!(report.contains("table `checkpoints`") && report.contains("--fresh"), "{report}");
    setting.sweep_from("out", &[NORMS_ALONE], true).expect("fresh");
    assert_eq!(setting.all_results("out"), whole);
    // An old row behind a new one is not seen before the run, which replaces it.
    let last = setting.disk("out").out.join("results/checkpoints/tiny/step001000.parquet");
    let row = fs::read(&last).expect("read");
    make_old(&setting, "checkpoints/tiny/step001000.parquet");
    assert_ne!(fs::read(&last).expect("read"), row);
    fs::remove_dir_all(setting.disk("out").out.join("results/weight_norms")).expect("remove");
    setting.sweep("out", &[NORMS_ALONE]).expect("runs");
    assert_eq!(setting.all_results("out"), whole);
}

#[test]
fn a_broken_checkpoint_fails_alone() {
    let setting = Setting::new("broken");
    let weights = setting.scratch.0.join("tiny/step1/model.safetensors");
    let bytes = fs::read(&weights).expect("read");
    fs::write(&weights, &bytes[..bytes.len() / 2]).expect("cut");
    let outcome = setting.sweep("out", &[]).expect("goes on");
    assert_eq!((outcome.done, outcome.failed.len()), (3, 1));
    assert_eq!(outcome.failed[0].name, "tiny step1");
    assert!(outcome.failed[0].errors[0].to_string().contains("model.safetensors"));
    let resolved = setting.resolved(&[]).expect("right");
    assert_eq!(messages::report(&resolved, &setting.disk("out"), &outcome), Exit::CellsFailed);
    fs::write(&weights, &bytes).expect("repair");
    assert_eq!(setting.sweep("out", &[]).expect("repaired").done, 1);
}

#[test]
fn changed_weights_are_noticed_and_touched_ones_are_not() {
    let setting = Setting::new("retrained");
    setting.sweep("out", &[]).expect("runs");
    let step = setting.scratch.0.join("tiny/step512");
    testing::model(&step, 512);
    assert_eq!(setting.sweep("out", &[]).expect("the same weights").done, 0);
    testing::model(&step, 77);
    let refused = setting.sweep("out", &[]).expect_err("must refuse");
    assert!(refused.to_string().contains("from other weights than those of tiny step512"), "{refused}");
}

/// A probe that reads weights alone between the two; and that one by itself.
const NORMS: &str = "probe=[{ kind = 'head_scores', prompts = { n = 2, half_len = 6 } }, \
                     { kind = 'weight_norms', params = ['embed.W_E', 'blocks.0.attn.W_K'] }, \
                     { kind = 'induction_loss', prompts = { n = 2, half_len = 6 } }]";
const NORMS_ALONE: &str = "probe=[{ kind = 'weight_norms', params = ['embed.W_E', 'blocks.0.attn.W_K'] }]";

fn metadata(setting: &Setting, out: &str, file: &str) -> BTreeMap<String, String> {
    sink::metadata(&setting.disk(out).out.join("results").join(file)).expect("read").expect("there")
}

#[test]
fn weights_alone_are_read_without_a_model_and_say_what_was_read() {
    let setting = Setting::new("norms");
    assert_eq!(setting.sweep("alone", &[NORMS_ALONE]).expect("runs").done, 4);
    let found = metadata(&setting, "alone", "weight_norms/tiny/step000512.parquet");
    assert!(!found.contains_key("weights_hash"));
    let hashes: BTreeMap<String, String> = serde_json::from_str(&found["tensor_hashes"]).expect("JSON");
    let fused = "gpt_neox.layers.0.attention.query_key_value.weight";
    assert_eq!(hashes.keys().collect::<Vec<_>>(), ["embed", fused]);
    setting.sweep("model", &[]).expect("runs");
    let whole = metadata(&setting, "model", "head_scores/tiny/step000512.parquet");
    let groups: BTreeMap<String, String> = serde_json::from_str(&whole["tensor_hashes"]).expect("JSON");
    assert_eq!((groups["embed"].as_str(), groups.len()), (hashes["embed"].as_str(), 5));
    assert_eq!(whole["weights_hash"].len(), 64);
    // All parameters are the whole checkpoint.
    setting.sweep("all", &["probe=[{ kind = 'weight_norms' }]"]).expect("runs");
    let all = metadata(&setting, "all", "weight_norms/tiny/step000512.parquet");
    assert_eq!((&all["weights_hash"], &all["tensor_hashes"]), (&whole["weights_hash"], &whole["tensor_hashes"]));
    // An infinity elsewhere is not met.
    let step = setting.scratch.0.join("tiny/step512");
    let mut params = testing::params(512);
    params.values_mut().last().expect("an unembedding").values[3] = f32::INFINITY;
    fs::write(step.join("model.safetensors"), to_safetensors(&testing::config(), &params)).expect("write");
    assert_eq!(setting.sweep("again", &[NORMS_ALONE]).expect("runs").done, 4);
    assert_eq!(setting.results("again"), setting.results("alone"));
}

#[test]
fn beside_other_probes_weights_alone_are_the_same_and_a_resumed_run_too() {
    let setting = Setting::new("norms-beside");
    setting.sweep("whole", &[NORMS]).expect("runs");
    setting.sweep("cut", &[NORMS]).expect("runs");
    for lost in ["weight_norms/tiny/step000001.parquet", "head_scores/tiny/step000512.parquet"] {
        fs::remove_file(setting.disk("cut").out.join("results").join(lost)).expect("remove");
    }
    assert_eq!(setting.sweep("cut", &[NORMS]).expect("resumes").done, 2);
    assert_eq!(setting.all_results("cut"), setting.all_results("whole"), "the table of checkpoints among them");
    setting.sweep("alone", &[NORMS_ALONE]).expect("runs");
    let norms = |out: &str| {
        let mut files = setting.results(out);
        files.retain(|path, _| path.starts_with("results/weight_norms"));
        files
    };
    assert_eq!((norms("alone"), norms("alone").len()), (norms("whole"), 4));
}

#[test]
fn a_change_counts_where_it_was_read() {
    let setting = Setting::new("norms-retrained");
    setting.sweep("out", &[NORMS_ALONE]).expect("runs");
    let change = |param: Param| {
        let mut params = testing::params(512);
        params.get_mut(&param).expect("there").values[3] += 0.25;
        let bytes = to_safetensors(&testing::config(), &params);
        fs::write(setting.scratch.0.join("tiny/step512/model.safetensors"), bytes).expect("write");
    };
    change(Param::Unembed);
    assert_eq!(setting.sweep("out", &[NORMS_ALONE]).expect("nothing that was read has changed").done, 0);
    change(Param::Embed);
    let refused = setting.sweep("out", &[NORMS_ALONE]).expect_err("must refuse");
    assert!(refused.to_string().contains("from other weights than those of tiny step512"), "{refused}");
}

#[test]
fn a_plan_counts_what_is_read_of_weights() {
    let setting = Setting::new("norms-plan");
    let plan = |overrides: &[&str]| {
        let resolved = setting.resolved(overrides).expect("right");
        Plan::make(&resolved, &setting.disk("out"), None).totals()
    };
    // The embedding, 12 × 8, and the fused projection, 24 × 8, of four bytes each, in four checkpoints.
    assert_eq!(plan(&[NORMS_ALONE]).bytes, 4 * 4 * (12 * 8 + 24 * 8));
    assert_eq!(plan(&[NORMS]).bytes, plan(&[]).bytes);
    assert!(plan(&[NORMS_ALONE]).peak_memory < plan(&[]).peak_memory);
}

#[test]
fn folded_weights_and_unknown_parameters_are_refused_with_their_places() {
    let setting = Setting::new("norms-refused");
    let errors = setting.resolved(&[NORMS, "weights=tl2"]).err().expect("must refuse").to_string();
    assert!(errors.contains("weight_norms reads weights as published") && errors.contains("tl2"), "{errors}");
    let unknown = "probe=[{ kind = 'weight_norms', params = ['embed.W_E', 'blocks.*.attn.W_k'] }]";
    let errors = setting.resolved(&[unknown]).err().expect("must refuse").to_string();
    assert!(
        errors.contains("no parameter is called `blocks.*.attn.W_k` (did you mean `blocks.*.attn.W_K`"),
        "{errors}"
    );
}

#[test]
fn a_wrong_list_of_defects_is_shown_where_it_is_named() {
    let setting = Setting::new("known-bad-place");
    let list = setting.scratch.0.join("known.json");
    let named = format!("known_bad='{}'", list.display());
    let errors = setting.resolved(&["seed=4", &named]).err().expect("must refuse");
    assert!(errors.are_about_data(), "a file that may still come: {errors}");
    assert!(errors.to_string().contains("--set:1:11") && errors.to_string().contains(&named), "{errors}");
    fs::write(&list, "{").expect("write");
    let errors = setting.resolved(&["seed=4", &named]).err().expect("must refuse");
    assert!(!errors.are_about_data() && errors.to_string().contains("--set:1:11"), "{errors}");
}

#[test]
fn a_single_model_has_no_step() {
    let setting = Setting::new("single");
    testing::model(&setting.scratch.0.join("one"), 5);
    let models = format!("models=['{}/one']", setting.scratch.0.display());
    setting.sweep("out", &[&models]).expect("runs");
    let names: Vec<PathBuf> = setting.results("out").into_keys().collect();
    assert_eq!(names[0], PathBuf::from("results/head_scores/one/model.parquet"));
}

#[test]
fn a_probe_that_does_not_fit_is_refused_before_anything_runs() {
    let setting = Setting::new("unfit");
    let errors = setting.resolved(&["probe.0.prompts.half_len=16"]).err().expect("must refuse").to_string();
    assert!(errors.contains("a prompt of 33 tokens (BOS included) does not fit a context of 32"), "{errors}");
    // The setting itself is shown where it is written, else the probe.
    let errors = setting.resolved(&["probe.0.prompts.n=0"]).err().expect("must refuse").to_string();
    assert!(errors.contains("prompts.n = 0, but it must be at least 1") && errors.contains("--set:1:1"), "{errors}");
    let errors = setting.resolved(&["probe.1.late=13"]).err().expect("must refuse").to_string();
    assert!(errors.contains("late = 13") && errors.contains("--set:1:1"), "{errors}");
    let errors = setting.resolved(&["steps=[3]"]).err().expect("must refuse").to_string();
    assert!(errors.contains("step 3 is not a checkpoint of tiny"), "{errors}");
    assert!(errors.contains("the nearest checkpoints are 1, 512"), "{errors}");
}

#[test]
fn an_output_folder_that_cannot_be_written_stops_the_run() {
    let setting = Setting::new("unwritable");
    fs::write(setting.scratch.0.join("out"), b"a file").expect("write");
    let failure = setting.sweep("out", &[]).expect_err("must stop");
    assert_eq!(failure.exit(), Exit::Resources);
    assert!(failure.report(false).contains("choose a place that can be written"));
}

#[test]
fn the_plan_knows_what_is_done() {
    let setting = Setting::new("planned");
    setting.sweep("out", &["steps=[0, 512]"]).expect("runs");
    fs::remove_file(setting.disk("out").out.join("results/head_scores/tiny/step000512.parquet")).expect("remove");
    let resolved = setting.resolved(&[]).expect("right");
    let totals = Plan::make(&resolved, &setting.disk("out"), None).totals();
    assert_eq!((totals.cells, totals.done, totals.missing), (4, 1, 0));
    let weights = setting.scratch.0.join("tiny/step1/model.safetensors");
    assert_eq!(totals.bytes, 3 * fs::metadata(weights).expect("there").len());
    assert!(totals.flops > 0 && totals.peak_memory > 0);
    assert_eq!(Plan::make(&resolved, &setting.disk("out"), Some(2)).cells.len(), 2);
}
