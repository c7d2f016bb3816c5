use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::testing::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn id(name: &str) -> ModelId {
    name.parse().unwrap()
}

fn step(label: u32) -> Option<Step> {
    Some(Step::from_label(label))
}

fn folder(dir: &Path) -> Result<FolderStore, StoreError> {
    FolderStore::open(dir)
}

#[test]
fn references_are_names_or_paths() {
    assert_eq!("pythia-70m".parse(), Ok(ModelRef::Suite(id("pythia-70m"))));
    for path in ["/a/b", "./a", "../a", "~/a", ".", "..", "~"] {
        assert_eq!(path.parse(), Ok(ModelRef::Folder(PathBuf::from(path))));
    }
    let error = "pythia-70n".parse::<ModelRef>().unwrap_err().to_string();
    assert!(error.contains("pythia-70m") && error.contains("./pythia-70n"), "{error}");
}

#[test]
fn a_folder_of_steps_is_listed_in_order() {
    let dir = TempDir::new();
    for name in ["step1000", "step2", "step0", "step16"] {
        dir.write(&format!("{name}/config.json"), "{}");
        dir.write(&format!("{name}/model.safetensors"), "");
    }
    // Without weights, without anything, and with another name.
    dir.write("step4/config.json", "{}");
    fs::create_dir(dir.path().join("step5")).unwrap();
    dir.write("step08/config.json", "{}");
    dir.write("notes/step5/config.json", "{}");
    dir.write("tokenizer.json", "{}");
    dir.write("suite.json", r#"{"model": "nano", "tokens_per_step": 2048, "more": 1}"#);
    let store = folder(dir.path()).unwrap();
    let labels: Vec<u32> = store.steps().unwrap().into_iter().map(Step::label).collect();
    assert_eq!(labels, [0, 2, 4, 5, 16, 1000]);
    assert_eq!((store.model(), store.tokens_per_step(), store.suite_id()), ("nano", Some(2048), None));
    let files = store.locate(step(16)).unwrap();
    let at = dir.path().join("step16");
    assert_eq!(files.config, at.join("config.json"));
    assert_eq!(files.weights, WeightFiles::Safetensors(vec![at.join("model.safetensors")]));
    assert_eq!(files.tokenizer, Some(dir.path().join("tokenizer.json")));
    let error = store.locate(step(3)).unwrap_err().to_string();
    assert!(error.contains("has no step3; 6 steps from step0 to step1000 are there"), "{error}");
    let error = store.locate(step(4)).unwrap_err().to_string();
    assert!(error.contains("no weights: looked for model.safetensors, model.safetensors.index.json"), "{error}");
    assert!(matches!(store.locate(None), Err(StoreError::NoSuchStep { step: None, .. })));
}

#[test]
fn a_single_model_has_no_steps() {
    let dir = TempDir::new();
    dir.write("config.json", "{}");
    dir.write("pytorch_model.bin", "");
    let store = folder(&dir.path().join(".")).unwrap();
    assert_eq!(store.steps().unwrap(), []);
    assert_eq!(store.model(), dir.path().file_name().unwrap().to_str().unwrap());
    let files = store.locate(None).unwrap();
    assert_eq!(files.weights.paths(), [dir.path().join("./pytorch_model.bin")]);
    assert_eq!(files.tokenizer, None);
}

#[test]
fn what_is_not_a_model_is_said_to_be_none() {
    let dir = TempDir::new();
    assert!(matches!(folder(&dir.path().join("absent")), Err(StoreError::NoFolder { .. })));
    assert!(matches!(folder(dir.path()), Err(StoreError::NotAModel { .. })));
    let file = dir.write("config.json/inner", "");
    assert!(matches!(folder(&file), Err(StoreError::NoFolder { .. })));
    let broken = TempDir::new();
    broken.write("suite.json", "{");
    assert!(matches!(folder(broken.path()), Err(StoreError::BadDescription { .. })));
}

#[test]
fn safetensors_come_before_bin_and_whole_files_before_shards() {
    let dir = TempDir::new();
    dir.write("config.json", "{}");
    let weights = || folder(dir.path()).unwrap().locate(None).unwrap().weights;
    dir.write("pytorch_model.bin.index.json", r#"{"weight_map": {"a": "pytorch_model-1.bin"}}"#);
    dir.write("pytorch_model-1.bin", "");
    assert_eq!(weights(), WeightFiles::Pytorch(vec![dir.path().join("pytorch_model-1.bin")]));
    dir.write("pytorch_model.bin", "");
    assert_eq!(weights(), WeightFiles::Pytorch(vec![dir.path().join("pytorch_model.bin")]));
    let index =
        r#"{"metadata": {}, "weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
    dir.write("model.safetensors.index.json", index);
    dir.write("m-1.safetensors", "");
    let error = folder(dir.path()).unwrap().locate(None).unwrap_err().to_string();
    assert!(error.contains("lists m-2.safetensors, which is not beside it"), "{error}");
    dir.write("m-2.safetensors", "");
    let shards = ["m-1.safetensors", "m-2.safetensors"].map(|name| dir.path().join(name));
    assert_eq!(weights(), WeightFiles::Safetensors(shards.to_vec()));
}

#[test]
fn an_index_can_only_name_its_neighbours() {
    let dir = TempDir::new();
    dir.write("config.json", "{}");
    dir.write("outside.safetensors", "");
    dir.write("model/sub.safetensors", "");
    let names = [
        "../outside.safetensors",
        "/etc/x.safetensors",
        "model/sub.safetensors",
        "model\\\\sub.safetensors",
        ".hidden.safetensors",
        "passwd",
        "C:x.safetensors",
        "a\\u0000.safetensors",
        "",
    ];
    for name in names {
        dir.write("model.safetensors.index.json", format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#));
        let error = folder(dir.path()).unwrap().locate(None).unwrap_err();
        let expected =
            matches!(&error, StoreError::BadIndex { problem: error::IndexProblem::NotAPlainName { .. }, .. });
        assert!(expected, "{name}: {error}");
    }
    for text in ["", "[]", "{}", r#"{"weight_map": {}}"#, r#"{"weight_map": {"a": 1}}"#] {
        dir.write("model.safetensors.index.json", text);
        assert!(matches!(folder(dir.path()).unwrap().locate(None), Err(StoreError::BadIndex { .. })), "{text}");
    }
}

/// A cache with one snapshot, whose files are links into `blobs` as the hub's client makes them.
fn cache(model: &str, revision: &str) -> TempDir {
    let dir = TempDir::new();
    let root = format!("models--EleutherAI--{model}");
    dir.write(&format!("{root}/refs/{revision}"), COMMIT);
    for name in ["config.json", "pytorch_model.bin", "tokenizer.json"] {
        let blob = dir.write(&format!("{root}/blobs/{name}-blob"), "{}");
        let snapshot = dir.path().join(&root).join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(blob, snapshot.join(name)).unwrap();
        #[cfg(not(unix))]
        fs::copy(blob, snapshot.join(name)).unwrap();
    }
    dir
}

#[test]
fn the_hubs_cache_is_read_where_it_lies() {
    let dir = cache("pythia-70m", "step512");
    let store = open(&"pythia-70m".parse().unwrap(), dir.path()).unwrap();
    assert_eq!(store.steps().unwrap(), [Step::from_label(512)]);
    assert_eq!((store.model(), store.tokens_per_step()), ("pythia-70m", Some(2_097_152)));
    assert_eq!(store.suite_id(), Some(id("pythia-70m")));
    let files = store.locate(step(512)).unwrap();
    let snapshot = dir.path().join("models--EleutherAI--pythia-70m/snapshots").join(COMMIT);
    assert_eq!(files.weights, WeightFiles::Pytorch(vec![snapshot.join("pytorch_model.bin")]));
    assert_eq!(files.tokenizer, Some(snapshot.join("tokenizer.json")));
    let error = store.locate(step(1)).unwrap_err().to_string();
    assert!(error.contains("revision step1 of pythia-70m") && error.contains("only step512 is there"), "{error}");
    let error = store.locate(step(3)).unwrap_err().to_string();
    assert_eq!(error, "pythia-70m has no step3; nearest: step2, step4");
    let error = store.locate(None).unwrap_err().to_string();
    assert!(error.contains("revision main"), "{error}");
}

#[test]
fn a_branch_without_tokenizer_takes_that_of_main() {
    let dir = cache("pythia-70m", "main");
    let other = "f".repeat(40);
    let root = "models--EleutherAI--pythia-70m";
    dir.write(&format!("{root}/refs/step0"), format!("{other}\n"));
    dir.write(&format!("{root}/snapshots/{other}/config.json"), "{}");
    dir.write(&format!("{root}/snapshots/{other}/model.safetensors"), "");
    let store = HubCacheStore::open(id("pythia-70m"), dir.path()).unwrap();
    let tokenizer = store.locate(step(0)).unwrap().tokenizer.unwrap();
    assert!(tokenizer.parent().unwrap().ends_with(COMMIT));
    assert!(store.locate(None).is_ok());
}

#[test]
fn a_cache_that_lacks_or_distorts_things_says_so() {
    let dir = cache("pythia-70m-seed1", "main");
    assert!(matches!(HubCacheStore::open(id("pythia-14m"), dir.path()), Err(StoreError::NotCached { .. })));
    let store = HubCacheStore::open(id("pythia-70m-seed1"), dir.path()).unwrap();
    assert!(matches!(store.locate(None), Err(StoreError::StepRequired { .. })));
    let reference = "models--EleutherAI--pythia-70m-seed1/refs/step1";
    let shouted = COMMIT.to_uppercase();
    let long = "a".repeat(100_000);
    for text in ["", "main", "../../../etc", &shouted, &COMMIT[1..], &format!("{COMMIT}/.."), &long] {
        dir.write(reference, text);
        let error = store.locate(step(1)).unwrap_err();
        let expected = matches!(error, StoreError::BadReference { .. } | StoreError::TooLarge { .. });
        assert!(expected, "{text:.60}: {error}");
        assert_eq!(store.steps().unwrap(), []);
    }
    // The commit is well formed, but its snapshot was never downloaded.
    dir.write(reference, "b".repeat(40));
    assert!(matches!(store.locate(step(1)), Err(StoreError::RevisionNotCached { .. })));
    assert_eq!(store.steps().unwrap(), []);
}

#[test]
fn pins_come_before_references() {
    let dir = cache("pythia-70m", "step512");
    let other = "d".repeat(40);
    let root = "models--EleutherAI--pythia-70m";
    let pins = [("step512", other.clone()), ("step8", COMMIT.to_owned()), ("main", other)];
    let pins = pins.map(|(branch, commit)| (branch.to_owned(), commit)).into();
    let store = HubCacheStore::open_pinned(id("pythia-70m"), dir.path(), pins).unwrap();
    // The reference says that step512 is there, but as another commit than the pinned one.
    assert_eq!(store.steps().unwrap(), [Step::from_label(8)]);
    let error = store.locate(step(512)).unwrap_err();
    let StoreError::RevisionNotCached { path, .. } = error else { panic!("{error}") };
    assert!(path.ends_with("d".repeat(40)));
    assert!(store.locate(step(8)).unwrap().config.parent().unwrap().ends_with(COMMIT));
    dir.write(&format!("{root}/snapshots/{}/config.json", "d".repeat(40)), "{}");
    dir.write(&format!("{root}/snapshots/{}/model.safetensors", "d".repeat(40)), "");
    assert!(store.locate(step(512)).unwrap().config.parent().unwrap().ends_with("d".repeat(40)));
    assert_eq!(store.steps().unwrap(), [Step::from_label(8), Step::from_label(512)]);
}

#[test]
fn a_pinned_model_need_not_be_in_the_cache_yet() {
    let dir = TempDir::new();
    let pins = BTreeMap::from([("step1".to_owned(), COMMIT.to_owned())]);
    let store = HubCacheStore::open_pinned(id("pythia-70m"), &dir.path().join("absent"), pins).unwrap();
    assert_eq!(store.steps().unwrap(), []);
    assert!(matches!(store.locate(step(1)), Err(StoreError::RevisionNotCached { .. })));
    assert!(matches!(store.locate(step(2)), Err(StoreError::RevisionNotCached { .. })));
}

#[test]
fn a_pin_that_is_no_commit_never_becomes_part_of_a_path() {
    for found in ["", "../../etc", "main", &COMMIT.to_uppercase()] {
        let pins = BTreeMap::from([("step1".to_owned(), found.to_owned())]);
        let error = HubCacheStore::open_pinned(id("pythia-70m"), Path::new("cache"), pins).unwrap_err();
        assert!(matches!(error, StoreError::BadPin { .. }), "{error}");
    }
}

#[test]
fn names_that_are_nearly_right_are_listed() {
    let dir = TempDir::new();
    for name in ["step7", "step07", "checkpoint-16", "2024", "notes", "step3.bak"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    dir.write("32/config.json", "{}");
    dir.write("32/model.safetensors", "");
    dir.write("step9", "a file");
    dir.write("checkpoint-8.log", "");
    let store = folder(dir.path()).unwrap();
    assert_eq!(store.steps().unwrap(), [Step::from_label(7)]);
    let listed: Vec<(String, NameProblem)> = store
        .misnamed()
        .unwrap()
        .into_iter()
        .map(|entry| {
            assert!(entry.to_string().starts_with(&entry.path.display().to_string()), "{entry}");
            (entry.path.file_name().unwrap().to_string_lossy().into_owned(), entry.problem)
        })
        .collect();
    let expected = [
        ("32", NameProblem::Spelling(Step::from_label(32))),
        ("checkpoint-16", NameProblem::Spelling(Step::from_label(16))),
        ("step07", NameProblem::Taken(Step::from_label(7))),
        ("step3.bak", NameProblem::NoNumber),
        ("step9", NameProblem::NotAFolder),
    ];
    assert_eq!(listed, expected.map(|(name, problem)| (name.to_owned(), problem)));

    let other = TempDir::new();
    fs::create_dir(other.path().join("global_step512")).unwrap();
    let error = folder(other.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotAModel { .. }));
    assert!(error.to_string().contains("global_step512 is not read as a step: rename it to step512"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_is_broken_is_not_called_absent() {
    use std::os::unix::fs::symlink;
    let dir = TempDir::new();
    symlink("/nowhere/step1", dir.path().join("step1")).unwrap();
    // A link to itself stands for all that the system will not look at, such as what it has no permission for.
    symlink("step2", dir.path().join("step2")).unwrap();
    for name in ["step3", "step4", "step5", "step6"] {
        dir.write(&format!("{name}/config.json"), "{}");
    }
    symlink("../blobs/gone", dir.path().join("step3/model.safetensors")).unwrap();
    dir.write("step3/pytorch_model.bin", "the other form is not read instead");
    symlink("pytorch_model.bin", dir.path().join("step4/pytorch_model.bin")).unwrap();
    fs::create_dir(dir.path().join("step5/model.safetensors")).unwrap();
    dir.write("step6/model.safetensors", "");
    symlink("gone.json", dir.path().join("step6/tokenizer.json")).unwrap();
    let store = folder(dir.path()).unwrap();
    assert_eq!(store.steps().unwrap(), [1, 2, 3, 4, 5, 6].map(Step::from_label));
    let error = |label| store.locate(step(label)).unwrap_err();
    for (label, link) in [(1, "step1"), (3, "step3/model.safetensors"), (6, "step6/tokenizer.json")] {
        let expected = dir.path().join(link);
        assert!(matches!(error(label), StoreError::DanglingLink { link, .. } if link == expected), "{label}");
    }
    for label in [2, 4] {
        assert!(matches!(error(label), StoreError::Io { .. }), "{}", error(label));
    }
    assert!(matches!(error(5), StoreError::NotAFile { .. }));
    assert!(matches!(folder(&dir.path().join("step1")), Err(StoreError::DanglingLink { .. })));
    let found = find(dir.path().join("step2")).err().expect("it cannot be looked at");
    assert!(matches!(found, StoreError::Io { .. }), "{found}");
    let denied = StoreError::Io { path: "x".into(), source: std::io::ErrorKind::PermissionDenied.into() };
    assert!(denied.to_string().contains("permission denied") && denied.remedy().unwrap().contains("chmod"));
}

#[cfg(unix)]
#[test]
fn a_broken_cache_is_not_called_empty() {
    use std::os::unix::fs::symlink;
    let dir = cache("pythia-70m", "step512");
    let root = dir.path().join("models--EleutherAI--pythia-70m");
    fs::remove_file(root.join("blobs/pytorch_model.bin-blob")).unwrap();
    symlink("step1", root.join("refs/step1")).unwrap();
    let store = HubCacheStore::open(id("pythia-70m"), dir.path()).unwrap();
    assert!(matches!(store.locate(step(512)), Err(StoreError::DanglingLink { .. })));
    assert!(matches!(store.locate(step(1)), Err(StoreError::Io { .. })));
    symlink("main", root.join("refs/main")).unwrap();
    assert!(matches!(store.describe(step(512)), Err(StoreError::Io { .. })), "the tokenizer of main may be wanted");
    symlink("loop", dir.path().join("loop")).unwrap();
    let closed = HubCacheStore::open(id("pythia-70m"), &dir.path().join("loop"));
    assert!(matches!(closed, Err(StoreError::Io { .. })));
}

#[test]
fn other_forms_of_weights_are_named() {
    let cases = [
        (&["adapter_config.json", "adapter_model.safetensors"][..], ForeignFormat::Adapter, "merge_and_unload"),
        (
            &["layer_00-model_00-model_states.pt", "mp_rank_00_model_states.pt"],
            ForeignFormat::NeoxNative,
            "convert_neox",
        ),
        (&["mp_rank_00_model_states.pt", "zero_to_fp32.py"], ForeignFormat::DeepSpeed, "zero_to_fp32.py"),
        (&["__0_0.distcp"], ForeignFormat::Distributed, "dcp_to_torch"),
    ];
    for (files, format, words) in cases {
        for config in [false, true] {
            let dir = TempDir::new();
            files.iter().for_each(|file| drop(dir.write(file, "")));
            if config {
                dir.write("config.json", "{}");
            }
            let error = folder(dir.path()).and_then(|store| store.locate(None)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(matches!(error, StoreError::Foreign { format: found, .. } if found == format), "{error}");
        }
    }
    for (file, format) in [
        ("model.q8.gguf", ForeignFormat::Gguf),
        ("tf_model.h5", ForeignFormat::OtherFramework),
        ("model-00001-of-00002.safetensors", ForeignFormat::NoIndex),
        ("last.ckpt", ForeignFormat::OtherName),
    ] {
        let dir = TempDir::new();
        dir.write("config.json", "{}");
        dir.write("optimizer.pt", "");
        let located = || folder(dir.path()).unwrap().locate(None).unwrap_err();
        assert!(matches!(located(), StoreError::NoWeights { .. }));
        dir.write(file, "");
        assert!(matches!(located(), StoreError::Foreign { format: found, .. } if found == format), "{file}");
    }
}

#[test]
fn descriptions_and_indices_are_read_as_python_writes_them() {
    let dir = TempDir::new();
    dir.write("config.json", "{}");
    dir.write("suite.json", "\u{feff}{\"model\": \"mine\", \"loss\": NaN}");
    dir.write(
        "model.safetensors.index.json",
        "\u{feff}{\"metadata\": {\"x\": -Infinity}, \"weight_map\": {\"a\": \"m.safetensors\"}}",
    );
    dir.write("m.safetensors", "");
    let store = folder(dir.path()).unwrap();
    assert_eq!((store.model(), store.locate(None).unwrap().weights.paths().len()), ("mine", 1));
    dir.write("suite.json", "version https://git-lfs.github.com/spec/v1\n");
    assert!(matches!(folder(dir.path()), Err(StoreError::Content { .. })));
}
