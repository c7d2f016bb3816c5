//! The cache of the hub's client: several processes at once, kills, a full disk, a small budget, and the Python client.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pythia_hub::{Budget, Lock, LruCache, LruError};
use pythia_tests::command::wait_until;
use pythia_tests::hub::setup::{HubSetup, WEIGHTS, commit, files, repo, weights, weights_body};
use pythia_tests::hub::{Fault, MockRepo, commit_of};
use pythia_tests::suite::PATIENCE;

const HELPER: &str = env!("CARGO_BIN_EXE_mock-hub");
const AT_CDN: &str = "model.safetensors?X-";

fn start(setup: &HubSetup) -> Child {
    let mut command = setup.command(HELPER, &["fetch", "org/model", "step0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Bytes in unfinished files.
fn unfinished_bytes(setup: &HubSetup) -> u64 {
    let blobs = setup.cache().join("models--org--model/blobs");
    let entries = fs::read_dir(blobs).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    parts.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn processes_that_fetch_the_same_do_it_once() {
    for count in [2, 8] {
        let setup = HubSetup::new(&format!("hub-processes-{count}"));
        // Slow enough that all of them meet.
        setup.mock.fault(AT_CDN, usize::MAX, Fault::Drip(1 << 18, Duration::from_millis(30)));
        let children: Vec<Child> = (0..count).map(|_| start(&setup)).collect();
        children.into_iter().for_each(|child| succeed(&child.wait_with_output().unwrap()));
        assert_eq!((setup.blobs(), setup.unfinished(), setup.mock.count(AT_CDN)), (3, 0, 1), "{count}");
        setup.assert_clean();
    }
}

#[test]
fn processes_are_right_without_locks() {
    let setup = HubSetup::new("hub-lockless");
    // A folder in the place of the lock file: no process can lock it.
    let lock = setup.cache().join(format!(".locks/models--org--model/{}.lock", weights("step0").hash));
    fs::create_dir_all(&lock).unwrap();
    // The first download takes seconds, so another process starts its own meanwhile.
    setup.mock.fault(AT_CDN, 1, Fault::Drip(1 << 16, Duration::from_millis(50)));
    let children: Vec<Child> = (0..8).map(|_| start(&setup)).collect();
    children.into_iter().for_each(|child| succeed(&child.wait_with_output().unwrap()));
    assert!(setup.mock.count(AT_CDN) > 1, "this test is about processes that do the same twice");
    assert_eq!((setup.blobs(), setup.unfinished()), (3, 0));
    setup.assert_clean();
}

#[test]
fn a_killed_fetch_continues_where_it_stopped() {
    let setup = HubSetup::new("hub-killed");
    setup.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let mut child = start(&setup);
    wait_until("a megabyte arrives", PATIENCE, || unfinished_bytes(&setup) > 1 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    setup.assert_clean();
    assert_eq!(setup.unfinished(), 1);
    let kept = unfinished_bytes(&setup);
    succeed(&start(&setup).wait_with_output().unwrap());
    let asked: Vec<String> = setup.mock.seen().iter().filter_map(|seen| seen.headers.get("range").cloned()).collect();
    assert_eq!(asked, vec![format!("bytes={kept}-{}", WEIGHTS - 1); 2], "once at the hub, once where it redirects to");
    assert_eq!((setup.blobs(), setup.unfinished()), (3, 0));
    setup.assert_clean();
}

#[test]
fn a_killed_fetch_whose_bytes_were_damaged_begins_again() {
    let setup = HubSetup::new("hub-killed-damaged");
    setup.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let mut child = start(&setup);
    wait_until("something arrives", PATIENCE, || unfinished_bytes(&setup) > 1 << 18);
    child.kill().unwrap();
    child.wait().unwrap();
    let blobs = setup.cache().join("models--org--model/blobs");
    let entries = fs::read_dir(blobs).unwrap().flatten();
    let part =
        entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "part")).unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    fs::write(&part, bytes).unwrap();
    setup.fetch().unwrap();
    setup.assert_clean();
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_sweep_is_resumed() {
    let steps: Vec<String> = (0..20).map(|step| format!("step{step}")).collect();
    let model = steps.iter().fold(MockRepo::new("org/model"), |repo, step| repo.branch(step, files(step)));
    let setup = HubSetup::with("hub-sweep", vec![model]);
    let hub = setup.hub();
    let pins = Lock::resolve(&hub, &repo(), &steps, &|_, _| ()).unwrap();
    setup.mock.die_after(25);
    let sweep = || {
        for pin in pins.values() {
            for file in pin.needed(&BTreeSet::new()).unwrap() {
                hub.fetch(&repo(), &pin.commit, file, &|_| ())?;
            }
        }
        Ok::<(), pythia_hub::HubError>(())
    };
    let error = sweep().unwrap_err();
    assert!(error.is_temporary(), "{error}");
    setup.assert_clean();
    setup.mock.heal();
    sweep().unwrap();
    setup.assert_clean();
    // Every content arrived once: 20 weights, and the files that all steps share.
    let distinct: BTreeSet<String> =
        pins.values().flat_map(|pin| &pin.files).map(|file| file.hash.to_string()).collect();
    assert_eq!(setup.blobs(), distinct.len());
}

#[test]
fn a_full_disk_is_a_clean_error() {
    // A limit on the size of files fails in the middle of a write, as a full disk does, and needs no privileges.
    for (name, kilobytes) in [("late", 2000), ("early", 64)] {
        let setup = HubSetup::new(&format!("hub-full-{name}"));
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", HELPER, "fetch", "org/model", "step0"]).env_clear();
        command.env("HF_ENDPOINT", setup.mock.endpoint()).env("HF_HUB_CACHE", setup.cache()).env("HOME", &setup.dir);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("too large") && said.contains("ulimit") && !said.contains("panicked"), "{said}");
        setup.assert_clean();
        assert_eq!(setup.unfinished(), 0, "what cannot be finished must not fill the disk");
        setup.fetch().unwrap();
        setup.assert_clean();
    }
}

#[test]
#[ignore = "needs the right to mount a file system"]
fn a_small_disk_is_a_clean_error() {
    let setup = HubSetup::new("hub-small-disk");
    fs::create_dir_all(setup.cache()).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"];
    succeed(&Command::new("mount").args(mount).arg(setup.cache()).output().unwrap());
    let fetched = setup.fetch();
    let reserved = LruCache::open(&setup.cache(), Budget::default()).reserve(WEIGHTS);
    let unfinished = setup.unfinished();
    assert!(Command::new("umount").arg(setup.cache()).status().unwrap().success());
    let error = fetched.unwrap_err();
    assert!(!error.is_temporary() && error.remedy().contains("make room"), "{error}: {}", error.remedy());
    assert!(matches!(reserved, Err(LruError::Disk { needed: WEIGHTS, .. })), "{reserved:?}");
    assert_eq!(unfinished, 0);
}

#[test]
fn a_cache_with_room_for_two_steps_serves_a_model_of_many() {
    let steps: Vec<String> = (0..10).map(|step| format!("step{step}")).collect();
    let model = steps.iter().fold(MockRepo::new("org/model"), |repo, step| repo.branch(step, files(step)));
    let setup = HubSetup::with("hub-cache", vec![model]);
    let hub = setup.hub();
    let cache = LruCache::open(&setup.cache(), Budget { max: Some(2 * WEIGHTS + 10_000), min_free: 0 });
    for step in &steps {
        let reservation = cache.reserve(WEIGHTS + 1000).unwrap();
        let path = hub.fetch(&repo(), &commit(step), &weights(step), &|_| ()).unwrap();
        let hold = cache.hold(std::slice::from_ref(&path)).unwrap();
        drop(reservation);
        assert!(cache.usage().unwrap().ours <= 2 * WEIGHTS + 10_000);
        assert_eq!(fs::read(&path).unwrap(), weights_body(step).bytes());
        drop(hold);
    }
    let left: Vec<_> = cache.entries().unwrap();
    assert!((1..=2).contains(&left.len()), "{left:?}");
    assert!(left.iter().any(|entry| entry.commit == Some(commit("step9"))));
    setup.assert_clean();
}

#[test]
fn a_process_does_not_evict_what_another_uses() {
    let setup = HubSetup::new("hub-holder");
    let hub = setup.hub();
    let budget = Budget { max: Some(WEIGHTS + 10_000), min_free: 0 };
    let path = hub.fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    // Two handles in one process behave as in two: they share nothing but the files in the cache.
    let (one, two) = (LruCache::open(&setup.cache(), budget), LruCache::open(&setup.cache(), budget));
    let hold = one.hold(std::slice::from_ref(&path)).unwrap();
    let error = two.reserve(WEIGHTS).unwrap_err();
    assert!(matches!(error, LruError::Budget { held: WEIGHTS, .. }), "{error}");
    let mut open = fs::File::open(&path).unwrap();
    drop(hold);
    let _room = two.reserve(WEIGHTS).unwrap();
    assert!(!path.exists());
    // A file that is open can still be read.
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut bytes).unwrap();
    assert_eq!(bytes, weights_body("step0").bytes());
    assert!(matches!(one.hold(std::slice::from_ref(&path)), Err(LruError::Vanished { .. })));
    assert_eq!(hub.fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap(), path);
    setup.assert_clean();
}

#[test]
fn an_eviction_that_was_killed_costs_no_second_fetch() {
    let setup = HubSetup::new("hub-evict-killed");
    let path = setup.fetch().unwrap();
    let blob = fs::canonicalize(&path).unwrap();
    // The state after a kill in the first step of `evict`: the content was renamed to a name that marks it as free.
    let name = format!("{}.free-0123456789abcdef-1-1-0.part", weights("step0").hash);
    fs::rename(&blob, blob.with_file_name(name)).unwrap();
    let before = setup.mock.seen().len();
    setup.fetch().unwrap();
    assert_eq!(setup.mock.seen().len(), before);
    assert_eq!((setup.blobs(), setup.unfinished()), (1, 0));
    setup.assert_clean();
}

/// What the Python with the hub's client, which `PYTHIA_PYTHON` names, prints.
fn python(setup: &HubSetup, script: &str) -> String {
    let python = std::env::var_os("PYTHIA_PYTHON").expect("set PYTHIA_PYTHON to a Python with huggingface_hub");
    let mut command = Command::new(python);
    command.args(["-c", script]).env("HF_ENDPOINT", setup.mock.endpoint()).env("HF_HUB_CACHE", setup.cache());
    command
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HOME", &setup.dir)
        .env("HF_HUB_DISABLE_UPDATE_CHECK", "1");
    let output = command.output().unwrap();
    succeed(&output);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs PYTHIA_PYTHON, a Python with huggingface_hub"]
fn the_python_client_opens_our_cache() {
    let setup = HubSetup::new("hub-python-reads");
    for branch in ["step0", "step1"] {
        succeed(&setup.command(HELPER, &["fetch", "org/model", branch]).output().unwrap());
    }
    let before = setup.mock.accepted();
    let script = "
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir
print(hf_hub_download('org/model', 'model.safetensors', revision='step0', local_files_only=True))
print(snapshot_download('org/model', revision='step1', local_files_only=True))
info = scan_cache_dir()
[repo] = info.repos
print(repo.repo_id, len(repo.revisions), repo.size_on_disk, sorted(repo.refs))
";
    let said = python(&setup, script);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(fs::read(said[0]).unwrap(), weights_body("step0").bytes());
    assert!(Path::new(said[1]).ends_with(commit("step1").as_str()));
    assert_eq!(said[2], format!("org/model 2 {} ['step0', 'step1']", 2 * WEIGHTS + 18 + 2));
    assert_eq!(setup.mock.accepted(), before);
    // An eviction leaves a cache that Python can still list.
    let cache = LruCache::open(&setup.cache(), Budget::default());
    cache.prune(false, &|entry| entry.branches == ["step0"]).unwrap();
    let script = "
from huggingface_hub import scan_cache_dir
[repo] = scan_cache_dir().repos
print(sorted(repo.refs))
";
    assert_eq!(python(&setup, script).trim(), "['step1']");
}

#[test]
#[ignore = "needs PYTHIA_PYTHON, a Python with huggingface_hub"]
fn we_open_the_python_clients_cache() {
    let setup = HubSetup::new("hub-python-writes");
    let script = "
from huggingface_hub import hf_hub_download
for name in ['config.json', 'model.safetensors', 'tokenizer.json']:
    print(hf_hub_download('org/model', name, revision='step0'))
";
    let output = python(&setup, script);
    let before = setup.mock.count("model.safetensors");
    let path = setup.fetch().unwrap();
    assert_eq!(path.canonicalize().unwrap(), Path::new(output.lines().nth(1).unwrap()).canonicalize().unwrap());
    assert_eq!(setup.mock.count("model.safetensors"), before, "what Python fetched is hashed, not fetched again");
    let cache = LruCache::open(&setup.cache(), Budget { max: Some(1), min_free: 0 });
    let [entry] = &cache.entries().unwrap()[..] else { panic!("one commit") };
    assert_eq!(
        (entry.branches.as_slice(), entry.files.iter().any(|file| file.ours)),
        (&["step0".to_owned()][..], false)
    );
    assert_eq!(entry.commit.as_ref().map(|c| c.as_str()), Some(commit_of("org/model", "step0").as_str()));
    assert!(matches!(cache.reserve(2), Err(LruError::Budget { .. })));
    cache.prune(false, &|_| true).unwrap();
    assert!(path.exists(), "what other tools fetched stays");
    cache.prune(true, &|_| true).unwrap();
    assert!(!path.exists());
}
