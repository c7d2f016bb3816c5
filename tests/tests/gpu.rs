//! The `pythia` command on a GPU, or on a driver that computes on the CPU: numbers as on the CPU, equal bytes in two
//! runs, smaller batches when its memory runs out. These tests are ignored unless asked for:
//! `cargo test --release --workspace --features gpu --test gpu -- --include-ignored`.

use std::path::Path;

use pythia_tests::{
    command::{self, run},
    paths, suite, tables,
};

/// Every kind of probe that runs a model.
const PROBES: &str = r#"
[[probe]]
kind = "head_scores"
prompts = { n = 4, half_len = 20 }
exclude_bos = true
[[probe]]
kind = "induction_loss"
prompts = { n = 4, half_len = 20 }
[[probe]]
kind = "token_loss"
prompts = { tokens = [[1, 2, 3, 4, 5], [6, 7, 8]] }
[[probe]]
kind = "attention_patterns"
prompts = { n = 2, half_len = 6 }
[[probe]]
kind = "logit_lens"
prompts = { n = 2, half_len = 6 }
[[probe]]
kind = "activation_patching"
pairs = { task = "induction", n = 3, half_len = 5 }
hooks = ["resid_pre", "z", "mlp_out"]
[[probe]]
kind = "path_patching"
pairs = { task = "induction", n = 3, half_len = 5 }
[[probe]]
kind = "ablation"
pairs = { task = "induction", n = 3, half_len = 5 }
metrics = ["logit_diff", "loss", "kl"]
[[probe]]
kind = "cross_checkpoint"
pairs = { task = "induction", n = 3, half_len = 5 }
source_step = 0
weights = ["heads", "mlps", "blocks"]
[[probe]]
kind = "steering"
pairs = { task = "induction", n = 3, half_len = 5 }
[[probe]]
kind = "interventions"
pairs = { task = "induction", n = 3, half_len = 5 }
runs = { quiet = [{ hook = "z.1", edit = "zero" }] }
"#;

fn experiment_folder(name: &str, probes: &str) -> std::path::PathBuf {
    let folder = suite::experiment_folder(name, 2);
    let head = "name = \"tiny\"\nseed = 7\nprepend_bos = true\nmodels = [\"./tiny\"]\nsteps = [1]\n";
    std::fs::write(folder.join("experiment.toml"), head.to_owned() + probes).expect("a file can be written");
    folder
}

fn sweep(folder: &Path, out: &str, arguments: &[&str]) -> command::Finished {
    run(folder, &[&["run", "experiment.toml", "--no-report", "--out", out], arguments].concat()).ok()
}

/// The folders of tables of two runs, which must be the same ones.
fn folders(a: &Path, b: &Path) -> Vec<String> {
    let of = |out: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(out.join("results")).expect("there are results");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(of(a), of(b));
    of(a)
}

/// Compares every value of every table: numbers within the bound, everything else equal.
fn agree(a: &Path, b: &Path, bar: f64) {
    for folder in folders(a, b) {
        let (a, b) = (tables::read(a, &folder), tables::read(b, &folder));
        assert_eq!((tables::names(&a), a.height()), (tables::names(&b), b.height()), "{folder}");
        let numbers = tables::numbers(&a);
        // Effects are ratios of other columns. In an untrained model their denominators are near zero.
        for name in tables::names(&a).into_iter().filter(|name| !name.starts_with("effect")) {
            if !numbers.contains(&name) {
                assert_eq!(tables::texts(&a, &name), tables::texts(&b, &name), "{folder}: {name}");
                continue;
            }
            for (row, (ours, expected)) in tables::floats(&b, &name).iter().zip(tables::floats(&a, &name)).enumerate() {
                let close = match (ours, expected) {
                    (Some(ours), Some(expected)) => (ours - expected).abs() <= bar * expected.abs().max(1.0),
                    (ours, expected) => ours.is_none() && expected.is_none(),
                };
                assert!(close, "{folder}: {name}, row {row}: {ours:?}, on the CPU {expected:?}");
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU, or a driver that stands in for one"]
fn gpu_sweeps_have_the_numbers_of_the_cpu_and_the_same_bytes_twice() {
    let folder = experiment_folder("gpu", PROBES);
    sweep(&folder, "cpu", &[]);
    let output = sweep(&folder, "gpu", &["--device", "gpu"]);
    assert!(output.err.contains("computing on "), "{}", output.err);
    agree(&folder.join("cpu"), &folder.join("gpu"), 1e-4);
    sweep(&folder, "again", &["--device", "wgpu:0"]);
    assert_eq!(suite::all_results(&folder.join("gpu")), suite::all_results(&folder.join("again")));
    // Results of two backends are not mixed in one folder.
    run(&folder, &["run", "experiment.toml", "--out", "cpu", "--device", "gpu"]).refused(&["device", "--out DIR"]);
}

#[test]
#[ignore = "needs a GPU, or a driver that stands in for one"]
fn gpu_memory_that_runs_out_makes_batches_smaller() {
    // Patterns of 2400 x 4 x 62 x 62 numbers are 148 MB, and the scores beside them as many: more than the 128 MiB that
    // a driver that stands in for a GPU gives to one tensor.
    let folder = experiment_folder(
        "gpu-memory",
        "[[probe]]\nkind = \"head_scores\"\nprompts = { n = 2400, half_len = 31, prepend_bos = false }\n",
    );
    sweep(&folder, "cpu", &[]);
    sweep(&folder, "gpu", &["--device", "gpu"]);
    agree(&folder.join("cpu"), &folder.join("gpu"), 1e-4);
}

#[test]
fn devices_are_listed_and_those_that_are_not_there_are_refused() {
    let folder = paths::scratch("devices");
    let listed = run(&folder, &["list", "devices", "--json"]).ok();
    let devices: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(devices[0]["device"], "cpu");
    assert_eq!(devices[0]["dtypes"], serde_json::json!(["f32", "f64", "f16", "bf16"]));
    assert!(run(&folder, &["list", "devices"]).ok().out.starts_with("cpu "));
    let folder = experiment_folder("devices-refused", PROBES);
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = run(&folder, &[&["run", "experiment.toml"], arguments].concat()).refused(words);
        assert!(!folder.join("out/results").exists(), "{}", output.err);
        output.code
    };
    assert_eq!(refused(&["--device", "tpu"], &["`tpu` is no device", "cuda[:n]"]), Some(2));
    assert_eq!(refused(&["--set", "device=tpu"], &["`tpu` is no device", "--set:1:8"]), Some(2));
    let has = |backend: &str| {
        let mut all = devices.as_array().expect("a list").iter();
        !all.any(|device| device["backend"] == backend && device["built"] == false)
    };
    match has("wgpu") {
        true => assert_eq!(refused(&["--device", "wgpu:99"], &["no device wgpu:99", "pythia list devices"]), Some(4)),
        false => {
            let words = ["built without wgpu", "--features gpu`", "released binary"];
            assert_eq!(refused(&["--device", "wgpu"], &words), Some(2));
        }
    }
    if !has("cuda") {
        assert_eq!(refused(&["--device", "cuda"], &["built without cuda", "--features cuda`"]), Some(2));
    }
    if !has("wgpu") && !has("cuda") {
        assert_eq!(refused(&["--device", "gpu:1"], &["the device gpu:1 needs", "--features gpu`"]), Some(2));
    }
}

/// Messages name Cargo features. They are those of the package that has the command, and of the workspace's tests, so
/// that `cargo build` and `cargo test` take them in the root folder.
#[test]
fn the_features_that_messages_name_are_those_of_the_packages() {
    for manifest in ["experiments/Cargo.toml", "tests/Cargo.toml"] {
        let text = std::fs::read_to_string(paths::root().join(manifest)).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let features = manifest["features"].as_table().expect("features");
        assert!(!features.contains_key("default"), "a GPU backend is not in the default build");
        for backend in pythia_core::device::Backend::ALL {
            assert!(backend.feature().is_none_or(|feature| features.contains_key(feature)), "{backend}");
        }
    }
}
