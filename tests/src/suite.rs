//! A folder of checkpoints small enough to sweep in seconds, and experiments over it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use pythia_core::{
    config::{NeoxConfig, Rotary, Variant},
    weights,
};

use crate::{command, paths, random};

/// The shape of every checkpoint of [`checkpoints`].
pub fn config() -> NeoxConfig {
    NeoxConfig {
        n_layers: 2,
        d_model: 32,
        n_heads: 4,
        d_mlp: 48,
        vocab_size: 61,
        n_ctx: 64,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 4, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

/// Training tokens per step of [`checkpoints`].
pub const TOKENS_PER_STEP: u32 = 2048;

/// Writes `steps` checkpoints of different random weights into `folder`, in the hub's form, one folder per step.
pub fn checkpoints(folder: &Path, steps: impl IntoIterator<Item = u32>) {
    let config = config();
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let facts = format!("{{\"tokens_per_step\": {TOKENS_PER_STEP}}}");
    std::fs::write(folder.join("suite.json"), facts).expect("a file can be written");
    for step in steps {
        let at = folder.join(format!("step{step}"));
        std::fs::create_dir_all(&at).expect("a folder can be made");
        std::fs::write(at.join("config.json"), config.to_json()).expect("a file can be written");
        let params = random::params(&config, u64::from(step) + 1);
        let bytes = weights::to_safetensors(&config, &params);
        std::fs::write(at.join("model.safetensors"), bytes).expect("a file can be written");
    }
}

/// A scratch folder with checkpoints at 0 to `steps` − 1 in `tiny/` and `experiment.toml` beside it.
pub fn experiment_folder(name: &str, steps: u32) -> PathBuf {
    let folder = paths::scratch(name);
    checkpoints(&folder.join("tiny"), 0..steps);
    std::fs::write(folder.join("experiment.toml"), EXPERIMENT).expect("a file can be written");
    folder
}

/// Three probes over all checkpoints of `./tiny`.
pub const EXPERIMENT: &str = r#"
name = "tiny"
seed = 7
prepend_bos = false
models = ["./tiny"]
steps = "all"

[[probe]]
kind = "head_scores"
prompts = { n = 4, half_len = 20 }

[[probe]]
kind = "induction_loss"
prompts = { n = 4, half_len = 20 }

[[probe]]
kind = "token_loss"
prompts = { tokens = [[1, 2, 3, 4, 5], [6, 7, 8]] }
"#;

/// Names of the probes in [`EXPERIMENT`], which are those of their tables, with the column of numbers in each.
pub const PROBES: [(&str, &str); 3] = [("head_scores", "value"), ("induction_loss", "value"), ("token_loss", "loss")];

/// The folder of the table that every sweep writes besides its probes' own.
pub const CHECKPOINTS: &str = "checkpoints";

/// Files in the results folder of `out`: path within it, and bytes.
pub fn all_results(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = paths::contents(&out.join("results"));
    for path in all.keys() {
        assert_eq!(path.extension().and_then(|ending| ending.to_str()), Some("parquet"), "{}", path.display());
    }
    all
}

/// [`all_results`] without the table of checkpoints.
pub fn results(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut results = all_results(out);
    results.retain(|path, _| !path.starts_with(CHECKPOINTS));
    results
}

/// Starts the sweep of `experiment.toml` three times and kills it after a quarter, a half and three quarters of the
/// results. The files after a kill must be as in `whole`. None when a sweep ended before its kill.
pub fn killed_thrice(folder: &Path, out: &str, whole: &BTreeMap<PathBuf, Vec<u8>>) -> Option<()> {
    for part in 1..4 {
        let mut child = command::start(folder, &["run", "experiment.toml", "--out", out]);
        let enough = whole.len() * part / 4;
        command::wait_until(&format!("{part}/4 of the sweep"), PATIENCE, || {
            count(&folder.join(out)) >= enough || !command::is_running(&mut child)
        });
        child.kill().expect("the child can be killed");
        let ended = command::finish(child).code;
        let left = results(&folder.join(out));
        for (path, bytes) in &left {
            assert_eq!(whole.get(path), Some(bytes), "{}", path.display());
        }
        if ended.is_some() || left.len() == whole.len() {
            return None;
        }
    }
    Some(())
}

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The files under `folder`, as a glob of `**/*.parquet` finds them at this moment.
pub fn parts(folder: &Path) -> Vec<PathBuf> {
    paths::files(folder).into_iter().map(|path| folder.join(path)).collect()
}

/// How many files [`results`] holds at this moment.
pub fn count(out: &Path) -> usize {
    let results = out.join("results");
    if !results.is_dir() {
        return 0;
    }
    paths::files(&results).iter().filter(|path| !path.starts_with(CHECKPOINTS)).count()
}
