//! Lists of branches and files, pins, what works offline, and ranges of files.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use pythia_hub::{AnswerProblem, HubError, Lock, LockError};
use pythia_tests::hub::setup::{HubSetup, WEIGHTS, commit, files, listed, repo, weights, weights_body};
use pythia_tests::hub::{Fault, MockRepo, commit_of};

use super::{AT_CDN, ranges};

#[test]
fn a_model_is_listed_and_fetched() {
    let setup = HubSetup::new("hub-plain");
    let hub = setup.hub();
    let branches = hub.branches(&repo()).unwrap();
    assert_eq!(branches.into_iter().collect::<Vec<_>>(), ["step0", "step1"].map(|b| (b.to_owned(), commit(b))));
    let expected: Vec<_> = files("step0").iter().map(listed).collect();
    let found = hub.files(&repo(), &commit("step0")).unwrap();
    assert_eq!(found, expected);
    for file in &found {
        let told = AtomicU64::new(0);
        let watch = |bytes| _ = told.fetch_add(bytes, Ordering::Relaxed);
        let path = hub.fetch(&repo(), &commit("step0"), file, &watch).unwrap();
        assert_eq!(path, hub.snapshot_path(&repo(), &commit("step0"), file));
        assert_eq!(told.into_inner(), file.size);
        assert!(hub.has(&repo(), &commit("step0"), file));
    }
    // The second time nothing is asked.
    let before = setup.mock.seen().len();
    setup.fetch().unwrap();
    assert_eq!(setup.mock.seen().len(), before);
    // The configuration and the tokenizer of the other step are the same: they are not fetched again.
    for file in &hub.files(&repo(), &commit("step1")).unwrap() {
        hub.fetch(&repo(), &commit("step1"), file, &|_| ()).unwrap();
    }
    assert_eq!(setup.mock.count("config.json"), 1);
    assert_eq!(setup.blobs(), 4);
    setup.assert_clean();
}

#[test]
fn a_list_may_have_many_pages_but_not_endless_ones() {
    let setup = HubSetup::new("hub-pages");
    setup.mock.page(1);
    assert_eq!(setup.hub().files(&repo(), &commit("step0")).unwrap().len(), 3);
    // A page that always names itself as the next.
    let link = ("Link".to_owned(), "<http://x.invalid/?cursor=3>; rel=\"next\"".to_owned());
    setup.mock.page(1000);
    setup.mock.fault("/tree/", usize::MAX, Fault::Headers(vec![link]));
    let error = setup.hub().files(&repo(), &commit("step0")).unwrap_err();
    assert!(matches!(error, HubError::Answer { problem: AnswerProblem::TooManyPages { .. }, .. }), "{error}");
    assert!(setup.mock.seen().len() < 120);
}

#[test]
fn lists_are_bounded_and_checked() {
    let setup = HubSetup::new("hub-lists");
    for text in ["", "[", "{}", "nonsense", "[{\"type\": \"file\"}]"] {
        setup.mock.heal();
        setup.mock.fault("/tree/", usize::MAX, Fault::Text(text.into()));
        let error = setup.hub().files(&repo(), &commit("step0")).unwrap_err();
        assert!(matches!(error, HubError::Answer { problem: AnswerProblem::Json(_), .. }), "{text}: {error}");
    }
    setup.mock.heal();
    setup.mock.fault("/refs", 1, Fault::Text(" ".repeat(17 << 20)));
    let error = setup.hub().branches(&repo()).unwrap_err();
    assert!(matches!(error, HubError::Answer { problem: AnswerProblem::TooLarge { .. }, .. }), "{error}");
    // A list that breaks off is asked for again.
    setup.mock.fault("/refs", 2, Fault::Truncate(20));
    assert_eq!(setup.hub().branches(&repo()).unwrap().len(), 2);
}

#[test]
fn a_branch_that_moves_between_list_and_fetch_changes_nothing() {
    let setup = HubSetup::new("hub-moved");
    let hub = setup.hub();
    let lock = Lock::resolve(&hub, &repo(), &["step0".to_owned()], &|_, _| ()).unwrap();
    setup.mock.move_branch("org/model", "step0", &commit_of("org/model", "step1"));
    let pin = &lock["step0"];
    for file in pin.needed(&BTreeSet::new()).unwrap() {
        hub.fetch(&repo(), &pin.commit, file, &|_| ()).unwrap();
    }
    let path = hub.snapshot_path(&repo(), &pin.commit, pin.file("model.safetensors").unwrap());
    assert_eq!(std::fs::read(path).unwrap(), weights_body("step0").bytes());
    // Asked again, the branch is another commit.
    assert_eq!(hub.branches(&repo()).unwrap()["step0"], commit("step1"));
    setup.assert_clean();
}

#[test]
fn equal_content_of_many_branches_is_fetched_once() {
    let steps: Vec<String> = (0..77).map(|step| format!("step{step}")).collect();
    let add = |repo: MockRepo, step: &String| repo.branch(step, files("step0"));
    let setup = HubSetup::with("hub-duplicates", vec![steps.iter().fold(MockRepo::new("org/model"), add)]);
    let hub = setup.hub();
    let lock = Lock::resolve(&hub, &repo(), &steps, &|_, _| ()).unwrap();
    assert_eq!((lock.len(), setup.mock.count("/refs"), setup.mock.count("/tree/")), (77, 1, 77));
    for pin in lock.values() {
        for file in pin.needed(&BTreeSet::new()).unwrap() {
            hub.fetch(&repo(), &pin.commit, file, &|_| ()).unwrap();
        }
    }
    assert_eq!((setup.mock.count(AT_CDN), setup.blobs()), (1, 3));
    setup.assert_clean();
}

#[test]
fn a_lock_asks_once_for_commits_that_several_branches_share() {
    let mut shared = MockRepo::new("org/model").branch("step0", files("step0"));
    shared.branches.insert("main".to_owned(), commit_of("org/model", "step0"));
    let setup = HubSetup::with("hub-lock", vec![shared]);
    let hub = setup.hub();
    let names = ["main", "step0"].map(str::to_owned);
    let pins = Lock::resolve(&hub, &repo(), &names, &|_, _| ()).unwrap();
    assert_eq!((pins["main"] == pins["step0"], setup.mock.count("/tree/")), (true, 1));
    let lock = Lock { repos: [(repo(), pins)].into() };
    assert_eq!(Lock::from_json(lock.to_json().as_bytes()).unwrap(), lock);
    let error = Lock::resolve(&hub, &repo(), &["step5".to_owned()], &|_, _| ()).unwrap_err();
    assert!(matches!(error, LockError::NoBranch { .. }), "{error}");
    setup.mock.fault("/tree/", usize::MAX, Fault::Status(404, Vec::new()));
    assert!(matches!(Lock::resolve(&hub, &repo(), &names, &|_, _| ()), Err(LockError::Hub(HubError::Status { .. }))));
}

#[test]
fn offline_opens_no_connection() {
    let setup = HubSetup::new("hub-offline");
    let mut settings = setup.settings();
    settings.offline = true;
    let hub = setup.hub_with(settings);
    let (commit, file) = (commit("step0"), weights("step0"));
    assert!(matches!(hub.branches(&repo()), Err(HubError::Offline { .. })));
    assert!(matches!(hub.files(&repo(), &commit), Err(HubError::Offline { .. })));
    assert!(matches!(hub.fetch(&repo(), &commit, &file, &|_| ()), Err(HubError::Offline { .. })));
    assert!(matches!(hub.read_range(&repo(), &commit, &file, 0..5), Err(HubError::Offline { .. })));
    assert_eq!(setup.mock.accepted(), 0);
    // Cached content can be used offline.
    setup.fetch().unwrap();
    let before = setup.mock.accepted();
    hub.fetch(&repo(), &commit, &file, &|_| ()).unwrap();
    assert_eq!(hub.read_range(&repo(), &commit, &file, 5..9).unwrap(), weights_body("step0").bytes()[5..9]);
    assert_eq!(setup.mock.accepted(), before);
}

#[test]
fn ranges_are_exact_or_an_error() {
    let setup = HubSetup::new("hub-ranges");
    let hub = setup.hub();
    let (commit, file, bytes) = (commit("step0"), weights("step0"), weights_body("step0").bytes());
    let read = |range: std::ops::Range<u64>| hub.read_range(&repo(), &commit, &file, range);
    for range in [0..1, 1000..1000, 1_000_000..3_000_000, WEIGHTS - 1..WEIGHTS, 0..WEIGHTS] {
        assert_eq!(read(range.clone()).unwrap(), bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges)]
    for range in [0..WEIGHTS + 1, 5..4, u64::MAX - 1..u64::MAX] {
        assert!(matches!(read(range.clone()), Err(HubError::Range { .. })), "{range:?}");
    }
    setup.mock.fault(AT_CDN, 1, Fault::Truncate(500_000));
    assert_eq!(read(100..2_000_000).unwrap(), bytes[100..2_000_000]);
    assert!(ranges(&setup).contains(&"bytes=500100-1999999".to_owned()));
    for fault in [Fault::IgnoreRange, Fault::WrongRange] {
        setup.mock.fault(AT_CDN, 1, fault);
        assert!(matches!(read(100..200), Err(HubError::Range { .. })));
    }
    // Ranges are not cached. A file in the cache is read from there.
    assert_eq!(setup.blobs() + setup.unfinished(), 0);
    setup.fetch().unwrap();
    let before = setup.mock.seen().len();
    assert_eq!(read(7..77).unwrap(), bytes[7..77]);
    assert_eq!(setup.mock.seen().len(), before);
}
