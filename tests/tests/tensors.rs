//! Probes of weights alone over a hub: they fetch the tensors they name and little else.

use std::path::{Path, PathBuf};

use pythia_core::weights;
use pythia_tests::{
    command::{self, Finished},
    hub::{Body, Fault, MockFile, MockHub, MockRepo},
    paths, random, suite, tables,
};

const MODEL: &str = "EleutherAI/pythia-14m";
const STEPS: [u32; 3] = [0, 512, 1000];

/// Bytes of a tensor of 61 × 32 values: the embedding, and the unembedding.
const EMBED: u64 = 61 * 32 * 4;

/// The embeddings of the suite's tiny shape.
const EXPERIMENT: &str = r#"
name = "norms"
seed = 0
prepend_bos = false
models = ["pythia-14m"]
steps = [0, 512, 1000]

[[probe]]
kind = "weight_norms"
params = ["embed.W_E", "unembed.W_U"]
"#;

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> MockFile {
    MockFile::new(name, Body::Bytes(bytes.into()))
}

fn weights_of(step: u32) -> Vec<u8> {
    let config = suite::config();
    weights::to_safetensors(&config, &random::params(&config, u64::from(step) + 1))
}

/// A model whose steps have these files for weights.
fn model(files: impl Fn(u32) -> Vec<MockFile>) -> MockRepo {
    STEPS.iter().fold(MockRepo::new(MODEL), |repo, &step| {
        let config = vec![file("config.json", suite::config().to_json())];
        repo.branch(&format!("step{step}"), [config, files(step)].concat())
    })
}

fn whole(step: u32) -> Vec<MockFile> {
    vec![file("model.safetensors", weights_of(step))]
}

/// The tensors of a checkpoint in two files with their index, as the large models come.
fn shards(step: u32) -> Vec<MockFile> {
    let bytes = weights_of(step);
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut views = tensors.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    let (front, back) = views.split_at(9);
    let shard = |number: usize, tensors: &[(String, safetensors::tensor::TensorView)]| {
        let tensors = tensors.iter().map(|(name, view)| (name, view.clone()));
        file(&format!("model-0000{number}-of-00002.safetensors"), safetensors::serialize(tensors, None).unwrap())
    };
    let name =
        |number, (tensor, _): &(String, _)| (tensor.clone(), format!("model-0000{number}-of-00002.safetensors").into());
    let map = front.iter().map(|view| name(1, view)).chain(back.iter().map(|view| name(2, view)));
    let index = serde_json::json!({ "metadata": {}, "weight_map": map.collect::<serde_json::Map<_, _>>() });
    vec![shard(1, front), shard(2, back), file("model.safetensors.index.json", index.to_string())]
}

fn experiment(name: &str) -> PathBuf {
    let folder = paths::scratch(name);
    std::fs::write(folder.join("exp.toml"), EXPERIMENT).unwrap();
    folder
}

fn run(folder: &Path, hub: &MockHub, arguments: &[&str]) -> Finished {
    Finished::of(command::pythia_with_hub(folder, hub).args(arguments).output().unwrap())
}

/// Bytes of weights that were asked for; a question without a range asks for a whole file.
fn served(hub: &MockHub) -> u64 {
    let asked = hub.seen().into_iter().filter(|seen| seen.at_cdn);
    let bytes = asked.map(|seen| {
        let range = seen.headers.get("range").map(|range| range.trim_start_matches("bytes=").to_owned());
        let Some(range) = range.filter(|range| !range.ends_with('-')) else { return weights_of(0).len() as u64 };
        let (first, last) = range.split_once('-').unwrap();
        last.parse::<u64>().unwrap() + 1 - first.parse::<u64>().unwrap()
    });
    bytes.sum()
}

/// The numbers of the table by step and parameter, from the same checkpoints in a folder.
fn of_folder(folder: &Path) -> Vec<Option<f64>> {
    for step in STEPS {
        let at = folder.join(format!("local/step{step}"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("config.json"), suite::config().to_json()).unwrap();
        std::fs::write(at.join("model.safetensors"), weights_of(step)).unwrap();
    }
    command::run(folder, &["run", "exp.toml", "--out", "here", "--set", "models=['./local']"]).ok();
    norms(folder, "here")
}

fn norms(folder: &Path, out: &str) -> Vec<Option<f64>> {
    tables::floats(&tables::read(&folder.join(out), "weight_norms"), "norm")
}

fn checkpoints(folder: &Path, out: &str, column: &str) -> Vec<String> {
    tables::texts(&tables::read(&folder.join(out), "checkpoints"), column)
}

/// Files of fetched tensors that are left in the cache.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    paths::contents(&folder.join("cache")).into_keys().filter(|path| path.starts_with(".pythia/parts")).collect()
}

#[test]
fn a_sweep_of_embeddings_fetches_the_embeddings() {
    for (name, files) in [("tensors-whole", whole as fn(u32) -> Vec<MockFile>), ("tensors-shards", shards)] {
        let folder = experiment(name);
        let hub = MockHub::start(vec![model(files)]);
        run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
        assert_eq!(norms(&folder, "out"), of_folder(&folder), "{name}");
        let (bytes, least, all) = (served(&hub), 3 * 2 * EMBED, 3 * weights_of(0).len() as u64);
        // Headers are a few kilobytes, which counts beside tensors as small as these.
        assert!(least < bytes && bytes < least + 3 * 8000 && bytes < all / 2, "{bytes} of {all}, at least {least}");
        let blobs = paths::contents(&folder.join("cache"));
        assert!(!blobs.values().any(|bytes| bytes.len() > 8000), "no weights are in the cache: {:?}", blobs.keys());
        assert_eq!(leftovers(&folder), [""; 0].map(PathBuf::from));
        // Part of a file cannot be compared with a published hash, and unread tensors have none.
        assert_eq!(checkpoints(&folder, "out", "checkpoint_status"), ["unverified"; 3]);
        assert_eq!(checkpoints(&folder, "out", "weights_hash"), [""; 3]);
        assert_eq!(checkpoints(&folder, "out", "embed_hash"), checkpoints(&folder, "here", "embed_hash"));
        assert!(checkpoints(&folder, "out", "embed_hash").iter().all(|hash| hash.len() == 64));
        // A second run has nothing to do.
        let asked = hub.accepted();
        assert!(run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok().err.contains("0 cells done"));
        assert_eq!(hub.accepted(), asked);
    }
}

#[test]
fn files_are_fetched_whole_where_ranges_fail_or_do_not_suffice() {
    let folder = experiment("tensors-no-ranges");
    let hub = MockHub::start(vec![model(whole)]);
    hub.fault("model.safetensors", usize::MAX, Fault::IgnoreRange);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(norms(&folder, "out"), of_folder(&folder));
    assert_eq!(checkpoints(&folder, "out", "checkpoint_status"), ["ok"; 3]);
    assert_eq!(leftovers(&folder), [""; 0].map(PathBuf::from));

    // A probe that runs the model needs all weights. So does a resumed run in which only the other probe is left.
    let norms_and_losses = "probe=[{ kind = 'weight_norms', params = ['embed.W_E', 'unembed.W_U'] }, \
                            { kind = 'token_loss', prompts = { tokens = [[1, 2, 3]] } }]";
    let mixed = ["--set", norms_and_losses];
    let folder = experiment("tensors-mixed");
    let hub = MockHub::start(vec![model(whole)]);
    run(&folder, &hub, &[&["run", "exp.toml", "--out", "out"], &mixed[..]].concat()).ok();
    assert!(served(&hub) >= 3 * weights_of(0).len() as u64);
    let before = suite::all_results(&folder.join("out"));
    std::fs::remove_dir_all(folder.join("out/results/weight_norms")).unwrap();
    std::fs::remove_dir_all(folder.join("cache")).unwrap();
    run(&folder, &hub, &[&["run", "exp.toml", "--out", "out"], &mixed[..]].concat()).ok();
    assert_eq!(suite::all_results(&folder.join("out")), before);
    assert_eq!(checkpoints(&folder, "out", "checkpoint_status"), ["ok"; 3]);

    // A file in the cache is not fetched again, and its hash is checked.
    let asked = served(&hub);
    run(&folder, &hub, &["run", "exp.toml", "--out", "alone"]).ok();
    assert_eq!((served(&hub), checkpoints(&folder, "alone", "checkpoint_status")), (asked, vec!["ok".to_owned(); 3]));
}

#[test]
fn a_pytorch_file_is_fetched_whole() {
    let folder = experiment("tensors-bin");
    let read = |name: &str| std::fs::read(paths::fixtures().join("parallel-bin").join(name)).unwrap();
    let repo = MockRepo::new(MODEL).branch(
        "step512",
        vec![file("config.json", read("config.json")), file("pytorch_model.bin", read("pytorch_model.bin"))],
    );
    let hub = MockHub::start(vec![repo]);
    run(&folder, &hub, &["run", "exp.toml", "--out", "out", "--set", "steps=[512]"]).ok();
    assert_eq!(checkpoints(&folder, "out", "checkpoint_status"), ["ok"]);
    assert_eq!(norms(&folder, "out").len(), 2);
}

#[test]
fn a_wrong_header_fails_its_cell_and_leaves_no_file() {
    let folder = experiment("tensors-hostile");
    let hostile = |step: u32| {
        let mut bytes = weights_of(step);
        match step {
            // A header of 2^63 bytes, one that ends in the middle, and one of another shape.
            0 => bytes[..8].copy_from_slice(&(1u64 << 63).to_le_bytes()),
            512 => bytes.truncate(100),
            _ => {
                let at = bytes.windows(7).position(|window| window == b"[61,32]").unwrap();
                bytes[at..at + 7].copy_from_slice(b"[32,61]");
            }
        }
        vec![file("model.safetensors", bytes)]
    };
    let hub = MockHub::start(vec![model(hostile)]);
    let output =
        run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).refused(&["step0", "step512", "step1000", "[32, 61]"]);
    assert!(output.err.contains("3 failed"), "{}", output.err);
    assert_eq!(leftovers(&folder), [""; 0].map(PathBuf::from));
    assert!(served(&hub) < 3 * 2 * EMBED, "no tensor is fetched on the word of such a header");
}

#[test]
fn a_plan_counts_tensors_where_they_can_be_fetched() {
    let folder = experiment("tensors-plan");
    let hub = MockHub::start(vec![model(whole)]);
    // A first run pins the steps and fetches the configuration: this model has another shape than the published one
    // of its name.
    run(&folder, &hub, &["run", "exp.toml", "--limit", "1", "--out", "one"]).ok();
    let output = run(&folder, &hub, &["plan", "exp.toml", "--json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(plan["totals"]["fetch"]["bytes"], 3 * 2 * EMBED);
    assert_eq!(plan["totals"]["fetch"]["checkpoints"], 3);
}

#[test]
fn a_broken_connection_is_resumed_and_the_files_of_a_killed_run_are_removed() {
    let folder = experiment("tensors-broken");
    let hub = MockHub::start(vec![model(whole)]);
    let dead = folder.join("cache/.pythia/parts");
    std::fs::create_dir_all(&dead).unwrap();
    // The temporary file of a process of this machine that has ended.
    let me = pythia_files::Owner::me().to_string();
    let machine = me.split('-').next().unwrap();
    std::fs::write(dead.join(format!(".{machine}-4294967295-1-0.tmp")), b"half").unwrap();
    hub.fault("model.safetensors", 2, Fault::Status(503, vec![]));
    run(&folder, &hub, &["run", "exp.toml", "--out", "out"]).ok();
    assert_eq!(norms(&folder, "out"), of_folder(&folder));
    assert_eq!(leftovers(&folder), [""; 0].map(PathBuf::from));
}
