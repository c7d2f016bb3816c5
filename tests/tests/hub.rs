//! The hub's client against a hub that misbehaves: the cache gets no bad content, nothing is written outside it, and
//! the client either fails with a clear error or retries with success.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pythia_hub::{AnswerProblem, Hub, HubError, Lock, LockError, Settings, Token};
use pythia_tests::hub::stage::{Stage, WEIGHTS, commit, files, listed, repo, weights, weights_body};
use pythia_tests::hub::{Body, Fault, MockFile, MockRepo, Seen, commit_of};

/// Part of the path of every request to the second server, which sends the bytes of weights.
const AT_CDN: &str = "model.safetensors?X-";

fn ranges(stage: &Stage) -> Vec<String> {
    stage.mock.seen().into_iter().filter_map(|seen: Seen| seen.headers.get("range").cloned()).collect()
}

/// The weights arrive in spite of one fault.
fn arrives_after(test: &str, fault: Fault) -> Stage {
    let stage = Stage::new(test);
    stage.mock.fault(AT_CDN, 1, fault);
    let path = stage.fetch().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights_body("step0").bytes());
    stage.assert_clean();
    assert_eq!((stage.blobs(), stage.unfinished()), (1, 0));
    stage
}

/// The weights do not arrive as long as the fault lasts, and nothing of them is kept.
fn never_arrives(test: &str, fault: Fault) -> (Stage, HubError) {
    let stage = Stage::new(test);
    stage.mock.fault(AT_CDN, usize::MAX, fault);
    let error = stage.fetch().unwrap_err();
    stage.assert_clean();
    assert_eq!(stage.blobs(), 0);
    assert!(!error.remedy().is_empty());
    (stage, error)
}

#[test]
fn a_model_is_listed_and_fetched() {
    let stage = Stage::new("hub-plain");
    let hub = stage.hub();
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
    let before = stage.mock.seen().len();
    stage.fetch().unwrap();
    assert_eq!(stage.mock.seen().len(), before);
    // The configuration and the tokenizer of the other step are the same: they are not fetched again.
    for file in &hub.files(&repo(), &commit("step1")).unwrap() {
        hub.fetch(&repo(), &commit("step1"), file, &|_| ()).unwrap();
    }
    assert_eq!(stage.mock.count("config.json"), 1);
    assert_eq!(stage.blobs(), 4);
    stage.assert_clean();
}

#[test]
fn a_list_may_have_many_pages_but_not_endless_ones() {
    let stage = Stage::new("hub-pages");
    stage.mock.page(1);
    assert_eq!(stage.hub().files(&repo(), &commit("step0")).unwrap().len(), 3);
    // A page that always names itself as the next.
    let link = ("Link".to_owned(), "<http://x.invalid/?cursor=3>; rel=\"next\"".to_owned());
    stage.mock.page(1000);
    stage.mock.fault("/tree/", usize::MAX, Fault::Headers(vec![link]));
    let error = stage.hub().files(&repo(), &commit("step0")).unwrap_err();
    assert!(matches!(error, HubError::Answer { problem: AnswerProblem::TooManyPages { .. }, .. }), "{error}");
    assert!(stage.mock.seen().len() < 120);
}

#[test]
fn truncation_is_continued_where_it_broke() {
    let half = 2_000_000;
    for (name, fault) in [
        ("length", Fault::Truncate(half)),
        ("unsaid", Fault::TruncateUnsaid(half)),
        ("chunked", Fault::TruncateChunked(half)),
    ] {
        let stage = arrives_after(&format!("hub-truncated-{name}"), fault);
        assert!(ranges(&stage).contains(&format!("bytes={half}-{}", WEIGHTS - 1)), "{name}: {:?}", ranges(&stage));
    }
}

#[test]
fn truncation_without_end_is_an_error_that_keeps_what_came() {
    let stage = Stage::new("hub-truncated-always");
    stage.mock.fault(AT_CDN, usize::MAX, Fault::TruncateUnsaid(1000));
    let error = stage.fetch().unwrap_err();
    let HubError::Unreachable { problem, attempts, .. } = &error else { panic!("{error}") };
    assert!(error.is_temporary() && problem.contains("ended after") && *attempts >= 2, "{error}");
    stage.assert_clean();
    assert_eq!((stage.blobs(), stage.unfinished()), (0, 1));
    stage.mock.heal();
    stage.fetch().unwrap();
    assert!(ranges(&stage).last().unwrap().starts_with("bytes=6000-"), "{:?}", ranges(&stage));
    stage.assert_clean();
    assert_eq!((stage.blobs(), stage.unfinished()), (1, 0));
}

#[test]
fn a_flipped_bit_is_found() {
    for (name, at) in [("first", 0), ("middle", 2_222_222), ("last", WEIGHTS - 1)] {
        let stage = arrives_after(&format!("hub-flipped-{name}"), Fault::Flip(at));
        assert_eq!(stage.mock.count(AT_CDN), 2);
    }
    let (stage, error) = never_arrives("hub-flipped", Fault::Flip(77));
    let HubError::Hash { at, found } = &error else { panic!("{error}") };
    assert!(at.file.hash != *found && !error.is_temporary());
    assert_eq!((stage.mock.count(AT_CDN), stage.unfinished()), (2, 0));
}

#[test]
fn a_flipped_bit_of_a_small_file_is_found() {
    let stage = Stage::new("hub-flipped-small");
    stage.mock.fault("config.json", 2, Fault::Flip(3));
    let config = listed(&files("step0")[0]);
    let error = stage.hub().fetch(&repo(), &commit("step0"), &config, &|_| ()).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    assert_eq!(stage.blobs() + stage.unfinished(), 0);
    stage.hub().fetch(&repo(), &commit("step0"), &config, &|_| ()).unwrap();
    stage.assert_clean();
}

#[test]
fn a_size_that_is_not_the_listed_one_is_an_error() {
    for (name, fault, expected) in [
        ("short", Fault::ShortLength(1000), 1000),
        ("long", Fault::LongLength(5), WEIGHTS + 5),
        ("more", Fault::More(100_000), WEIGHTS + 1),
    ] {
        let (stage, error) = never_arrives(&format!("hub-size-{name}"), fault);
        let HubError::Size { found, .. } = error else { panic!("{error}") };
        assert_eq!((found, stage.unfinished()), (expected, 0), "{name}");
    }
}

#[test]
fn a_list_that_lies_about_a_size_or_a_hash_is_found_out() {
    let with = |change: &dyn Fn(&mut MockFile)| {
        let mut files = files("step0");
        change(&mut files[1]);
        MockRepo::new("org/model").branch("step0", files)
    };
    let cases: [(&str, MockRepo); 3] = [
        ("shorter", with(&|file| file.size -= 1)),
        ("longer", with(&|file| file.size += 1)),
        ("hash", with(&|file| file.oid = "ab".repeat(32))),
    ];
    for (name, repository) in cases {
        let stage = Stage::with(&format!("hub-lying-{name}"), vec![repository]);
        let hub = stage.hub();
        let file = hub.files(&repo(), &commit("step0")).unwrap().remove(1);
        let error = hub.fetch(&repo(), &commit("step0"), &file, &|_| ()).unwrap_err();
        assert!(matches!(error, HubError::Size { .. } | HubError::Hash { .. }), "{error}");
        assert!(!error.is_temporary());
        stage.assert_clean();
        assert_eq!((stage.blobs(), stage.unfinished()), (0, 0));
    }
}

#[test]
fn servers_that_are_busy_are_asked_again() {
    let after = |value: &str| vec![("Retry-After".to_owned(), value.to_owned())];
    let window = vec![("RateLimit".to_owned(), "\"resolvers\";r=0;t=42".to_owned())];
    for (name, fault, least) in [
        ("seconds", Fault::Status(429, after("7")), 7),
        ("date", Fault::Status(429, after("Sun, 06 Nov 1994 08:49:47 GMT")), 10),
        ("window", Fault::Status(429, window), 42),
        ("silent", Fault::Status(503, Vec::new()), 0),
    ] {
        let stage = arrives_after(&format!("hub-busy-{name}"), fault);
        let waited = stage.clock.waited();
        assert!(waited >= Duration::from_secs(least) && waited < Duration::from_secs(least + 5), "{name}: {waited:?}");
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let (stage, error) = never_arrives("hub-busy-always", Fault::Status(503, Vec::new()));
    assert!(matches!(error, HubError::Busy { status: 503, .. }) && error.is_temporary(), "{error}");
    assert!((2..=10).contains(&stage.mock.count(AT_CDN)));
    let patient = vec![("Retry-After".to_owned(), "86400".to_owned())];
    let (stage, error) = never_arrives("hub-busy-long", Fault::Status(429, patient));
    let HubError::Busy { after, .. } = error else { panic!("{error}") };
    assert_eq!((after, stage.mock.count(AT_CDN)), (Some(Duration::from_secs(86_400)), 1));
    assert!(stage.clock.waited() < Duration::from_secs(1), "it is not waited for a day");
}

#[test]
fn a_wait_that_one_thread_was_asked_for_holds_for_all() {
    let stage = Stage::new("hub-busy-shared");
    let hub = stage.hub();
    stage.mock.fault("/refs", 1, Fault::Status(429, vec![("Retry-After".to_owned(), "30".to_owned())]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| hub.branches(&repo()).unwrap());
        }
    });
    assert!(stage.clock.waited() >= Duration::from_secs(30));
}

#[test]
fn refusals_are_not_repeated() {
    for status in [400, 401, 403, 404, 410] {
        let (stage, error) = never_arrives(&format!("hub-status-{status}"), Fault::Status(status, Vec::new()));
        assert!(matches!(error, HubError::Status { status: found, .. } if found == status), "{error}");
        assert_eq!((stage.mock.count(AT_CDN), error.is_temporary()), (1, false));
    }
}

#[test]
fn broken_connections_are_opened_again() {
    for (name, fault) in [("garbage", Fault::Garbage), ("close", Fault::Close), ("early", Fault::Truncate(0))] {
        arrives_after(&format!("hub-broken-{name}"), fault);
    }
    let stage = Stage::new("hub-gone");
    stage.mock.die_after(0);
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }) && error.is_temporary(), "{error}");
}

#[test]
fn a_connection_that_hangs_or_drips_is_given_up_and_continued() {
    let stage = Stage::new("hub-hang");
    stage.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let mut settings = stage.settings();
    settings.patience.stall = Duration::from_millis(300);
    let start = Instant::now();
    Hub::new(settings).fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(ranges(&stage), vec![format!("bytes=2000000-{}", WEIGHTS - 1); 2]);
    stage.assert_clean();
    let stage = Stage::new("hub-trickle");
    stage.mock.fault(AT_CDN, 1, Fault::Drip(1, Duration::from_millis(20)));
    let mut settings = stage.settings();
    settings.patience.stall = Duration::from_millis(300);
    Hub::new(settings).fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    stage.assert_clean();
}

#[test]
fn ranges_that_are_not_heeded_begin_again() {
    for (name, fault) in [("ignored", Fault::IgnoreRange), ("wrong", Fault::WrongRange)] {
        let stage = Stage::new(&format!("hub-range-{name}"));
        stage.mock.fault(AT_CDN, 1, Fault::Truncate(2_000_000));
        stage.mock.fault(AT_CDN, 1, fault);
        assert_eq!(std::fs::read(stage.fetch().unwrap()).unwrap(), weights_body("step0").bytes());
        stage.assert_clean();
    }
    let stage = Stage::new("hub-range-refused");
    stage.mock.fault(AT_CDN, 1, Fault::Truncate(2_000_000));
    stage.mock.fault(AT_CDN, 1, Fault::Status(416, Vec::new()));
    stage.fetch().unwrap();
    stage.assert_clean();
}

#[test]
fn the_token_goes_home_only_and_is_never_printed() {
    const SECRET: &str = "hf_TheSecretOfThisTest";
    let stage = Stage::new("hub-token");
    let with_token = || Settings { token: Token::new(SECRET), ..stage.settings() };
    let hub = stage.hub_with(with_token());
    hub.fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    let seen = stage.mock.seen();
    assert!(seen.iter().any(|seen| seen.at_cdn) && seen.iter().any(|seen| !seen.at_cdn));
    for Seen { at_cdn, headers, path, .. } in &seen {
        let sent = headers.values().any(|value| value.contains(SECRET));
        assert_eq!(sent, !at_cdn, "{path}");
    }
    let mut printed = format!("{:?}", hub.settings());
    for fault in [
        Fault::Status(403, Vec::new()),
        Fault::Flip(0),
        Fault::Garbage,
        Fault::Redirect("ftp://x?X-Signature=s".into()),
    ] {
        for part in [AT_CDN, "resolve"] {
            stage.mock.heal();
            stage.mock.fault(part, usize::MAX, fault.clone());
            let other = stage.hub_with(with_token()).fetch(&repo(), &commit("step1"), &weights("step1"), &|_| ());
            let error = other.unwrap_err();
            printed += &format!("{error} {error:?} {}", error.remedy());
        }
    }
    assert!(!printed.contains(SECRET) && !printed.contains("X-Signature"), "{printed}");
}

#[test]
fn redirects_are_followed_five_times_and_nowhere_strange() {
    let stage = Stage::new("hub-redirects");
    let here = format!("{}/org/model/resolve/{}/model.safetensors", stage.mock.endpoint(), commit("step0"));
    stage.mock.fault("/resolve/", 4, Fault::Redirect(here.clone()));
    stage.fetch().unwrap();
    let stage = Stage::new("hub-redirect-loop");
    stage.mock.fault("/resolve/", usize::MAX, Fault::Redirect("?again[1]".into()));
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, HubError::Redirect { .. }), "{error}");
    assert_eq!(stage.mock.seen().len(), 6);
    for to in ["ftp://other/x", "file:///etc/passwd", "https://user:pass@other/", "http://"] {
        let (stage, error) = never_arrives("hub-redirect-strange", Fault::Redirect(to.into()));
        assert!(matches!(error, HubError::Redirect { .. }) && !error.to_string().contains("pass@"), "{to}: {error}");
        assert_eq!(stage.mock.count(AT_CDN), 1);
    }
}

#[test]
fn hostile_names_become_no_path() {
    for name in ["../evil", "../../../evil", "/tmp/evil", "a\\..\\evil", "evil\0", "a/../../evil", ".", "a//b"] {
        let mut hostile = MockFile::new("evil", Body::Bytes(b"evil".to_vec()));
        hostile.name = name.to_owned();
        let stage = Stage::with("hub-hostile-name", vec![MockRepo::new("org/model").branch("step0", vec![hostile])]);
        let error = stage.hub().files(&repo(), &commit("step0")).unwrap_err();
        assert!(matches!(error, HubError::Answer { problem: AnswerProblem::Name(_), .. }), "{name}: {error}");
        stage.assert_clean();
    }
    for oid in ["../../../evil", "/tmp/evil", "", "ab", "\0"] {
        let mut hostile = MockFile::new("config.json", Body::Bytes(b"evil".to_vec()));
        hostile.oid = oid.to_owned();
        let stage = Stage::with("hub-hostile-oid", vec![MockRepo::new("org/model").branch("step0", vec![hostile])]);
        assert!(matches!(stage.hub().files(&repo(), &commit("step0")), Err(HubError::Answer { .. })), "{oid}");
        stage.assert_clean();
    }
}

#[test]
fn hostile_headers_change_nothing() {
    let stage = Stage::new("hub-hostile-etag");
    let headers = [("ETag", "\"../../../../evil\""), ("X-Linked-Etag", "/tmp/evil"), ("X-Repo-Commit", "../evil")];
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    stage.mock.fault("", usize::MAX, Fault::Headers(headers));
    let hub = stage.hub();
    for file in &hub.files(&repo(), &commit("step0")).unwrap() {
        hub.fetch(&repo(), &commit("step0"), file, &|_| ()).unwrap();
    }
    stage.assert_clean();
}

#[test]
fn hostile_branches_are_left_out_and_never_written() {
    let mut hostile = MockRepo::new("org/model").branch("step0", files("step0"));
    hostile.branches.insert("../../../evil".to_owned(), commit_of("org/model", "step0"));
    let stage = Stage::with("hub-hostile-branch", vec![hostile]);
    let hub = stage.hub();
    assert_eq!(hub.branches(&repo()).unwrap().len(), 1);
    for branch in ["../../../evil", "/tmp/evil", "", "a\0", ".."] {
        assert!(matches!(hub.note_branch(&repo(), branch, &commit("step0")), Err(HubError::Name(_))), "{branch}");
    }
    stage.assert_clean();
    let mut hostile = MockRepo::new("org/model");
    hostile.branches.insert("step0".to_owned(), "../evil".to_owned());
    let stage = Stage::with("hub-hostile-commit", vec![hostile]);
    assert!(matches!(stage.hub().branches(&repo()), Err(HubError::Answer { .. })));
}

#[test]
fn lists_are_bounded_and_checked() {
    let stage = Stage::new("hub-lists");
    for text in ["", "[", "{}", "nonsense", "[{\"type\": \"file\"}]"] {
        stage.mock.heal();
        stage.mock.fault("/tree/", usize::MAX, Fault::Text(text.into()));
        let error = stage.hub().files(&repo(), &commit("step0")).unwrap_err();
        assert!(matches!(error, HubError::Answer { problem: AnswerProblem::Json(_), .. }), "{text}: {error}");
    }
    stage.mock.heal();
    stage.mock.fault("/refs", 1, Fault::Text(" ".repeat(17 << 20)));
    let error = stage.hub().branches(&repo()).unwrap_err();
    assert!(matches!(error, HubError::Answer { problem: AnswerProblem::TooLarge { .. }, .. }), "{error}");
    // A list that breaks off is asked for again.
    stage.mock.fault("/refs", 2, Fault::Truncate(20));
    assert_eq!(stage.hub().branches(&repo()).unwrap().len(), 2);
}

#[test]
fn a_branch_that_moves_between_list_and_fetch_changes_nothing() {
    let stage = Stage::new("hub-moved");
    let hub = stage.hub();
    let lock = Lock::resolve(&hub, &repo(), &["step0".to_owned()], &|_, _| ()).unwrap();
    stage.mock.move_branch("org/model", "step0", &commit_of("org/model", "step1"));
    let pin = &lock["step0"];
    for file in pin.needed(&BTreeSet::new()).unwrap() {
        hub.fetch(&repo(), &pin.commit, file, &|_| ()).unwrap();
    }
    let path = hub.snapshot_path(&repo(), &pin.commit, pin.file("model.safetensors").unwrap());
    assert_eq!(std::fs::read(path).unwrap(), weights_body("step0").bytes());
    // Asked again, the branch is another commit.
    assert_eq!(hub.branches(&repo()).unwrap()["step0"], commit("step1"));
    stage.assert_clean();
}

#[test]
fn a_commit_that_gives_other_content_than_it_lists_is_refused() {
    let stage = Stage::new("hub-other-content");
    let other = MockFile { body: weights_body("step1"), ..files("step0").remove(1) };
    let swapped = MockRepo::new("org/model").branch("step0", vec![other]);
    let stage_swapped = Stage::with("hub-other-content-2", vec![swapped]);
    let error = stage_swapped.fetch().unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    stage_swapped.assert_clean();
    assert_eq!(stage_swapped.blobs(), 0);
    stage.assert_clean();
}

#[test]
fn equal_content_of_many_branches_is_fetched_once() {
    let steps: Vec<String> = (0..77).map(|step| format!("step{step}")).collect();
    let add = |repo: MockRepo, step: &String| repo.branch(step, files("step0"));
    let stage = Stage::with("hub-duplicates", vec![steps.iter().fold(MockRepo::new("org/model"), add)]);
    let hub = stage.hub();
    let lock = Lock::resolve(&hub, &repo(), &steps, &|_, _| ()).unwrap();
    assert_eq!((lock.len(), stage.mock.count("/refs"), stage.mock.count("/tree/")), (77, 1, 77));
    for pin in lock.values() {
        for file in pin.needed(&BTreeSet::new()).unwrap() {
            hub.fetch(&repo(), &pin.commit, file, &|_| ()).unwrap();
        }
    }
    assert_eq!((stage.mock.count(AT_CDN), stage.blobs()), (1, 3));
    stage.assert_clean();
}

#[test]
fn a_lock_asks_once_for_commits_that_several_branches_share() {
    let mut shared = MockRepo::new("org/model").branch("step0", files("step0"));
    shared.branches.insert("main".to_owned(), commit_of("org/model", "step0"));
    let stage = Stage::with("hub-lock", vec![shared]);
    let hub = stage.hub();
    let names = ["main", "step0"].map(str::to_owned);
    let pins = Lock::resolve(&hub, &repo(), &names, &|_, _| ()).unwrap();
    assert_eq!((pins["main"] == pins["step0"], stage.mock.count("/tree/")), (true, 1));
    let lock = Lock { repos: [(repo(), pins)].into() };
    assert_eq!(Lock::from_json(lock.to_json().as_bytes()).unwrap(), lock);
    let error = Lock::resolve(&hub, &repo(), &["step5".to_owned()], &|_, _| ()).unwrap_err();
    assert!(matches!(error, LockError::NoBranch { .. }), "{error}");
    stage.mock.fault("/tree/", usize::MAX, Fault::Status(404, Vec::new()));
    assert!(matches!(Lock::resolve(&hub, &repo(), &names, &|_, _| ()), Err(LockError::Hub(HubError::Status { .. }))));
}

#[test]
fn offline_opens_no_connection() {
    let stage = Stage::new("hub-offline");
    let hub = stage.hub_with(Settings { offline: true, ..stage.settings() });
    let (commit, file) = (commit("step0"), weights("step0"));
    assert!(matches!(hub.branches(&repo()), Err(HubError::Offline { .. })));
    assert!(matches!(hub.files(&repo(), &commit), Err(HubError::Offline { .. })));
    assert!(matches!(hub.fetch(&repo(), &commit, &file, &|_| ()), Err(HubError::Offline { .. })));
    assert!(matches!(hub.read_range(&repo(), &commit, &file, 0..5), Err(HubError::Offline { .. })));
    assert_eq!(stage.mock.accepted(), 0);
    // Cached content can be used offline.
    stage.fetch().unwrap();
    let before = stage.mock.accepted();
    hub.fetch(&repo(), &commit, &file, &|_| ()).unwrap();
    assert_eq!(hub.read_range(&repo(), &commit, &file, 5..9).unwrap(), weights_body("step0").bytes()[5..9]);
    assert_eq!(stage.mock.accepted(), before);
}

#[test]
fn ranges_are_exact_or_an_error() {
    let stage = Stage::new("hub-ranges");
    let hub = stage.hub();
    let (commit, file, bytes) = (commit("step0"), weights("step0"), weights_body("step0").bytes());
    let read = |range: std::ops::Range<u64>| hub.read_range(&repo(), &commit, &file, range);
    for range in [0..1, 1000..1000, 1_000_000..3_000_000, WEIGHTS - 1..WEIGHTS, 0..WEIGHTS] {
        assert_eq!(read(range.clone()).unwrap(), bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges)]
    for range in [0..WEIGHTS + 1, 5..4, u64::MAX - 1..u64::MAX] {
        assert!(matches!(read(range.clone()), Err(HubError::Range { .. })), "{range:?}");
    }
    stage.mock.fault(AT_CDN, 1, Fault::Truncate(500_000));
    assert_eq!(read(100..2_000_000).unwrap(), bytes[100..2_000_000]);
    assert!(ranges(&stage).contains(&"bytes=500100-1999999".to_owned()));
    for fault in [Fault::IgnoreRange, Fault::WrongRange] {
        stage.mock.fault(AT_CDN, 1, fault);
        assert!(matches!(read(100..200), Err(HubError::Range { .. })));
    }
    // Ranges are not cached. A file in the cache is read from there.
    assert_eq!(stage.blobs() + stage.unfinished(), 0);
    stage.fetch().unwrap();
    let before = stage.mock.seen().len();
    assert_eq!(read(7..77).unwrap(), bytes[7..77]);
    assert_eq!(stage.mock.seen().len(), before);
}

#[test]
fn bad_content_that_is_there_already_is_replaced() {
    let stage = Stage::new("hub-damaged");
    let path = stage.fetch().unwrap();
    let blob = std::fs::canonicalize(&path).unwrap();
    // Content of the right size that is wrong, as a tool without checks leaves it; then too short, as a crash leaves
    // it.
    for damage in [vec![0; WEIGHTS as usize], vec![0; 100]] {
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, damage).unwrap();
        stage.fetch().unwrap();
        stage.assert_clean();
        assert_eq!(std::fs::read(&path).unwrap(), weights_body("step0").bytes());
    }
}

#[test]
fn stopping_ends_what_is_under_way_and_keeps_what_came() {
    let stage = Stage::new("hub-stop");
    stage.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let hub = Hub::new(stage.settings());
    let (seen, start) = (AtomicU64::new(0), Instant::now());
    let watch = |bytes| _ = seen.fetch_add(bytes, Ordering::SeqCst);
    let error = std::thread::scope(|scope| {
        let fetch = scope.spawn(|| hub.fetch(&repo(), &commit("step0"), &weights("step0"), &watch));
        while seen.load(Ordering::SeqCst) < 2_000_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        hub.stop();
        fetch.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, HubError::Stopped) && error.is_temporary(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(matches!(hub.branches(&repo()), Err(HubError::Stopped)));
    assert_eq!((stage.blobs(), stage.unfinished()), (0, 1));
    stage.fetch().unwrap();
    assert_eq!(ranges(&stage).last().unwrap(), &format!("bytes=2000000-{}", WEIGHTS - 1));
    stage.assert_clean();
}
