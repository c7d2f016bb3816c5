use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::digest::hash_of;
use crate::testing::TempDir;
use pythia_files::Owner;

const REPO: &str = "a/b";
/// Bytes that the disk of these tests has for contents.
const DISK: u64 = 1_000;

fn cache(dir: &TempDir, max: Option<u64>, min_free: u64) -> LruCache {
    LruCache::on_disk(dir.path(), Budget { max, min_free }, free)
}

fn free(root: &Path) -> io::Result<u64> {
    let contents = layout::entries(&root.join("models--a--b/blobs"))?;
    Ok(DISK - contents.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>())
}

fn repo() -> Repo {
    REPO.parse().unwrap()
}

fn commit(step: u64) -> Commit {
    format!("{step:040}").parse().unwrap()
}

/// Puts a file into the cache: content, whose it is, when it was used (seconds after 1970), which commits have it under
/// which name.
fn put(dir: &TempDir, text: &str, ours: bool, used: u64, at: &[(u64, &str)]) -> FileHash {
    let layout = Layout::new(dir.path());
    let hash = hash_of(&dir.write("text", text), &"0".repeat(64).parse().unwrap()).unwrap();
    let blob = dir.write(&format!("models--a--b/blobs/{hash}"), text);
    for &(step, name) in at {
        let name: RemoteName = name.parse().unwrap();
        layout::link(&blob, &hash, &layout.snapshot(&repo(), &commit(step), &name), &name).unwrap();
        dir.write(&format!("models--a--b/refs/step{step}"), commit(step).as_str());
    }
    if ours {
        let stamp = Stamp::of(&fs::metadata(&blob).unwrap()).unwrap();
        Records(&layout).write(&Record::new(&repo(), &hash, true, Some(stamp))).unwrap();
        let record =
            fs::File::options().write(true).open(layout.records(&repo()).join(format!("{hash}.json"))).unwrap();
        record.set_modified(UNIX_EPOCH + Duration::from_secs(used)).unwrap();
    }
    hash
}

/// A checkpoint of `size` bytes of weights and a configuration that all share.
fn checkpoint(dir: &TempDir, step: u64, used: u64, size: usize) -> PathBuf {
    let digit = (b'a' + step as u8) as char;
    put(dir, &String::from(digit).repeat(size), true, used, &[(step, "model.safetensors")]);
    put(dir, "{}", true, 1_000_000, &[(step, "config.json")]);
    weights(dir, step)
}

fn weights(dir: &TempDir, step: u64) -> PathBuf {
    Layout::new(dir.path()).snapshot(&repo(), &commit(step), &"model.safetensors".parse().unwrap())
}

/// The steps that are whole.
fn steps(dir: &TempDir) -> Vec<u64> {
    (0..10).filter(|&step| weights(dir, step).exists()).collect()
}

#[test]
fn the_oldest_go_first_and_only_as_many_as_must() {
    let dir = TempDir::new();
    for (step, used) in [(0, 30), (1, 10), (2, 20)] {
        checkpoint(&dir, step, used, 100);
    }
    let cache = cache(&dir, Some(402), 0);
    drop(cache.reserve(100).unwrap());
    assert_eq!(steps(&dir), [0, 1, 2]);
    let first = cache.reserve(101).unwrap();
    assert_eq!(steps(&dir), [0, 2]);
    // The other reservation still counts.
    let _second = cache.reserve(101).unwrap();
    assert_eq!(steps(&dir), [0]);
    let error = cache.reserve(300).unwrap_err();
    assert!(matches!(error, LruError::Budget { needed: 300, max: 402, reserved: 202, .. }), "{error}");
    assert_eq!(steps(&dir), [0], "nothing goes when that would not be enough");
    drop(first);
    drop(cache.reserve(199).unwrap());
    assert_eq!(steps(&dir), [0]);
    // What went leaves nothing behind: no record, no folder, no branch that leads nowhere.
    let layout = Layout::new(dir.path());
    assert_eq!(layout::entries(&layout.records(&repo())).unwrap().len(), 2);
    assert_eq!(layout::entries(&layout.snapshots(&repo())).unwrap().len(), 1);
    assert_eq!(layout::entries(&layout.refs(&repo())).unwrap(), [layout.refs(&repo()).join("step0")]);
}

#[test]
fn what_is_in_use_stays() {
    let dir = TempDir::new();
    let path = checkpoint(&dir, 0, 10, 100);
    checkpoint(&dir, 1, 20, 100);
    let cache = cache(&dir, Some(202), 0);
    let hold = cache.hold(&[path.clone(), dir.path().join("text")]).unwrap();
    let _room = cache.reserve(100).unwrap();
    assert_eq!(steps(&dir), [0]);
    let error = cache.reserve(1).unwrap_err();
    assert!(matches!(error, LruError::Budget { held: 100, reserved: 100, .. }), "{error}");
    assert!(error.remedy().contains("--cache-max"));
    assert_eq!(cache.prune(true, &|_| true).unwrap().files, 0);
    drop(hold);
    let _more = cache.reserve(50).unwrap();
    assert_eq!(steps(&dir), Vec::<u64>::new());
    assert!(matches!(cache.hold(&[path]), Err(LruError::Vanished { .. })));
}

#[test]
fn a_checkpoint_that_was_used_is_evicted_last() {
    let dir = TempDir::new();
    let path = checkpoint(&dir, 0, 10, 100);
    checkpoint(&dir, 1, 20, 100);
    let cache = cache(&dir, Some(202), 0);
    drop(cache.hold(&[path]).unwrap());
    let _room = cache.reserve(10).unwrap();
    assert_eq!(steps(&dir), [0]);
}

#[test]
fn what_others_fetched_is_never_touched_unless_said() {
    let dir = TempDir::new();
    put(&dir, &"x".repeat(500), false, 0, &[(7, "model.safetensors")]);
    checkpoint(&dir, 0, 10, 100);
    // Others' bytes do not count for the budget; for the disk they do, and still they stay.
    let cache = cache(&dir, Some(120), 300);
    let _room = cache.reserve(10).unwrap();
    let error = cache.reserve(200).unwrap_err();
    assert!(matches!(error, LruError::Budget { reserved: 10, .. }), "{error}");
    let error = self::cache(&dir, None, 300).reserve(200).unwrap_err();
    assert!(matches!(error, LruError::Disk { foreign: 500, free: 398, reserved: 10, .. }), "{error}");
    assert_eq!(steps(&dir), [0, 7]);
    assert_eq!(cache.prune(false, &|_| true).unwrap(), Pruned { files: 2, bytes: 102 });
    assert_eq!(steps(&dir), [7]);
    assert_eq!(cache.prune(true, &|entry| entry.branches == ["step1"]).unwrap(), Pruned::default());
    assert_eq!(cache.prune(true, &|entry| entry.branches == ["step7"]).unwrap(), Pruned { files: 1, bytes: 500 });
    assert_eq!(steps(&dir), Vec::<u64>::new());
}

#[test]
fn free_space_counts_as_the_budget_does() {
    let dir = TempDir::new();
    for step in 0..3 {
        checkpoint(&dir, step, 10 + step, 100);
    }
    let cache = cache(&dir, None, 500);
    drop(cache.reserve(198).unwrap());
    assert_eq!(steps(&dir), [0, 1, 2]);
    drop(cache.reserve(199).unwrap());
    assert_eq!(steps(&dir), [1, 2]);
    let error = cache.reserve(501).unwrap_err();
    assert!(matches!(error, LruError::Disk { needed: 501, free: 798, min_free: 500, .. }), "{error}");
    assert_eq!(steps(&dir), [1, 2]);
    drop(cache.reserve(500).unwrap());
    assert_eq!(steps(&dir), Vec::<u64>::new());
}

#[test]
fn content_that_many_commits_share_goes_with_the_last() {
    let dir = TempDir::new();
    let shared: Vec<(u64, &str)> = (0..5).map(|step| (step, "model.safetensors")).collect();
    let hash = put(&dir, &"s".repeat(100), true, 10, &shared);
    let cache = cache(&dir, Some(120), 0);
    assert_eq!(cache.usage().unwrap().ours, 100);
    let hold = cache.hold(&[weights(&dir, 3)]).unwrap();
    assert!(matches!(cache.reserve(50), Err(LruError::Budget { held: 100, .. })));
    assert_eq!(steps(&dir), [0, 1, 2, 3, 4]);
    drop(hold);
    let _room = cache.reserve(50).unwrap();
    assert!(!Layout::new(dir.path()).blob(&repo(), &hash).exists());
    assert_eq!(steps(&dir), Vec::<u64>::new());
}

#[test]
fn unfinished_files_count_and_go_when_nobody_works_on_them() {
    let dir = TempDir::new();
    let part = |maker: &str| format!("models--a--b/blobs/{}.{maker}-0.part", "f".repeat(64));
    let mine = dir.write(&part(&Owner::me().to_string()), "m".repeat(40));
    let free = dir.write(&part(&format!("free-{}", Owner::me())), "f".repeat(60));
    let cache = cache(&dir, Some(120), 0);
    assert_eq!(cache.usage().unwrap().ours, 100);
    // What is under way is part of what is reserved for it.
    drop(cache.reserve(60).unwrap());
    assert!(free.exists());
    drop(cache.reserve(61).unwrap());
    assert!(mine.exists() && !free.exists());
    assert_eq!(cache.prune(true, &|_| true).unwrap(), Pruned::default());
}

#[test]
fn a_killed_eviction_is_finished_by_the_next() {
    let dir = TempDir::new();
    let path = checkpoint(&dir, 0, 10, 100);
    let layout = Layout::new(dir.path());
    // Killed after the content lost its name.
    let blob = fs::canonicalize(&path).unwrap();
    let hash: FileHash = scan::name_of(&blob).unwrap();
    let leaving = crate::partial::free_name(&layout.blobs(&repo()), &hash);
    fs::rename(&blob, &leaving).unwrap();
    let cache = cache(&dir, Some(50), 0);
    let _room = cache.reserve(50).unwrap();
    assert!(!leaving.exists());
    assert_eq!(layout::entries(&layout.snapshots(&repo())).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(layout::entries(&layout.records(&repo())).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn verifying_finds_what_changed() {
    let dir = TempDir::new();
    let path = checkpoint(&dir, 0, 10, 100);
    put(&dir, "other", false, 0, &[(0, "README.md")]);
    let cache = cache(&dir, None, 0);
    let flags = |cache: &LruCache| -> BTreeMap<String, (bool, bool)> {
        let files = cache.entries().unwrap().remove(0).files;
        files.into_iter().map(|file| (file.name.unwrap().to_string(), (file.ours, file.verified))).collect()
    };
    assert_eq!(flags(&cache)["README.md"], (false, false));
    assert_eq!(flags(&cache)["model.safetensors"], (true, true));
    assert_eq!(cache.verify(&cache.entries().unwrap()[0]).unwrap(), []);
    assert_eq!(flags(&cache)["README.md"], (false, true));
    fs::write(fs::canonicalize(path).unwrap(), "b".repeat(100)).unwrap();
    let bad = cache.verify(&cache.entries().unwrap()[0]).unwrap();
    assert_eq!(bad.len(), 1);
    assert_eq!(flags(&cache)["model.safetensors"], (true, false));
    assert_eq!(
        cache.entries().unwrap()[0].last_used,
        Some(UNIX_EPOCH + Duration::from_secs(10)),
        "verifying a file is not a use"
    );
}

#[test]
fn entries_say_what_is_there() {
    let dir = TempDir::new();
    let path = checkpoint(&dir, 4, 10, 100);
    put(&dir, "orphan", true, 5, &[]);
    dir.write("models--a--b/snapshots/not-a-commit/x", "");
    dir.write("models--gpt2/blobs/x", "");
    dir.write("notes.txt", "");
    let cache = cache(&dir, None, 0);
    let entries = cache.entries().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0].branches, entries[0].bytes(), entries[0].held), (&vec!["step4".to_owned()], 102, false));
    assert_eq!((&entries[1].commit, entries[1].bytes()), (&None, 6));
    let _hold = cache.hold(&[path]).unwrap();
    assert!(cache.entries().unwrap()[0].held);
    assert_eq!(cache.usage().unwrap(), Usage { ours: 108, foreign: 0, held: 100, reserved: 0, free: DISK - 108 });
    assert!(LruCache::open(&dir.path().join("new"), Budget::default()).usage().unwrap().free > 0);
}

#[test]
fn a_commit_of_two_tools_loses_only_our_part() {
    let dir = TempDir::new();
    let ours = checkpoint(&dir, 0, 10, 100);
    let theirs = put(&dir, "theirs", false, 0, &[(0, "README.md")]);
    let cache = cache(&dir, None, 0);
    assert_eq!(cache.prune(false, &|_| true).unwrap(), Pruned { files: 2, bytes: 102 });
    assert!(!ours.exists() && ours.with_file_name("README.md").exists());
    assert!(Layout::new(dir.path()).blob(&repo(), &theirs).exists());
    // The commit is still there, so its branch still leads to it.
    assert_eq!(cache.entries().unwrap()[0].branches, ["step0"]);
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_looked_at_is_not_taken_for_an_absent_one() {
    let dir = TempDir::new();
    assert!(free_on_disk(&dir.path().join("not/there/yet")).is_ok_and(|free| free > 0));
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    for unseen in ["loop/hub", "dangling"] {
        assert!(free_on_disk(&dir.path().join(unseen)).is_err(), "{unseen}");
    }
    let held = cache(&dir, None, 0).hold(&[dir.path().join("loop/a")]).unwrap_err();
    assert!(matches!(held, LruError::Io { .. }), "{held}");
    let gone = cache(&dir, None, 0).hold(&[dir.path().join("a")]).unwrap_err();
    assert!(matches!(gone, LruError::Vanished { .. }), "{gone}");
}
