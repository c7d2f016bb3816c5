//! One set of weights, several containers: what is read does not depend on the file's form.

use std::path::Path;

use pythia_core::{
    config::NeoxConfig,
    params::{HostParams, Param},
    store::{self, ModelRef},
    weights::{self, Profile, StoredCheckpoint, Wanted},
};
use pythia_tests::{paths, suite};

fn read(folder: &Path, unembed: bool) -> (NeoxConfig, HostParams, String) {
    let cache = paths::root().join("target/no-such-cache");
    let store = store::open(&ModelRef::Folder(folder.to_path_buf()), &cache).expect("a model lies there");
    let files = store.locate(None).expect("its files are whole");
    let text = std::fs::read_to_string(&files.config).expect("its configuration can be read");
    let config = NeoxConfig::from_json(&text).expect("its configuration is right");
    let wanted = Wanted { unembed, profile: Profile::AsPublished };
    let (params, hashes) = StoredCheckpoint::open(&config, &files.weights)
        .and_then(|stored| stored.params(&wanted))
        .expect("its weights are right");
    (config, params, hashes.content.to_string())
}

#[test]
fn every_container_sharding_and_spelling_gives_the_same_weights() {
    for (one, other) in [("parallel", "parallel-bin"), ("sequential", "sequential-bin")] {
        let one = read(&paths::fixtures().join(one), true);
        let other = read(&paths::fixtures().join(other), true);
        assert_eq!(one, other);
        assert_eq!(one.1.keys().copied().collect::<Vec<_>>(), Param::all(&one.0));
    }
}

#[test]
fn parameters_that_are_not_wanted_are_left_out_and_change_no_hash() {
    let (_, all, hash) = read(&paths::fixtures().join("parallel"), true);
    let (_, some, same) = read(&paths::fixtures().join("parallel"), false);
    assert_eq!(hash, same);
    assert!(!some.contains_key(&Param::Unembed));
    assert_eq!(some.len() + 1, all.len());
}

#[test]
fn written_weights_are_read_back() {
    for (fixture, name) in [("parallel", "a"), ("sequential", "b"), ("tied", "c")] {
        let (config, params, _) = read(&paths::fixtures().join(fixture), true);
        let folder = paths::scratch(&format!("written-{name}"));
        let bytes = weights::to_safetensors(&config, &params);
        assert_eq!(bytes, weights::to_safetensors(&config, &params));
        std::fs::write(folder.join("config.json"), config.to_json()).expect("a file can be written");
        std::fs::write(folder.join("model.safetensors"), bytes).expect("a file can be written");
        let (again, back, _) = read(&folder, true);
        assert_eq!((again, back), (config, params), "{fixture}");
    }
}

#[test]
fn one_changed_value_changes_the_hash() {
    let folder = paths::scratch("hash");
    suite::checkpoints(&folder, [0, 1]);
    let (_, _, zero) = read(&folder.join("step0"), true);
    let (_, _, one) = read(&folder.join("step1"), true);
    assert_ne!(zero, one);
    let path = folder.join("step0/model.safetensors");
    let mut bytes = std::fs::read(&path).expect("just written");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, bytes).expect("a file can be written");
    let (_, _, changed) = read(&folder.join("step0"), true);
    assert_ne!(changed, zero);
}
