//! Content that is cut, changed, or not what was listed.

use pythia_hub::HubError;
use pythia_tests::hub::setup::{HubSetup, WEIGHTS, commit, files, listed, repo, weights_body};
use pythia_tests::hub::{Fault, MockFile, MockRepo};

use super::{AT_CDN, arrives_after, never_arrives, ranges};

#[test]
fn truncation_is_continued_where_it_broke() {
    let half = 2_000_000;
    for (name, fault) in [
        ("length", Fault::Truncate(half)),
        ("unsaid", Fault::TruncateUnsaid(half)),
        ("chunked", Fault::TruncateChunked(half)),
    ] {
        let setup = arrives_after(&format!("hub-truncated-{name}"), fault);
        assert!(ranges(&setup).contains(&format!("bytes={half}-{}", WEIGHTS - 1)), "{name}: {:?}", ranges(&setup));
    }
}

#[test]
fn endless_truncation_is_an_error_and_keeps_the_bytes_that_arrived() {
    let setup = HubSetup::new("hub-truncated-always");
    setup.mock.fault(AT_CDN, usize::MAX, Fault::TruncateUnsaid(1000));
    let error = setup.fetch().unwrap_err();
    let HubError::Unreachable { problem, attempts, .. } = &error else { panic!("{error}") };
    assert!(error.is_temporary() && problem.contains("ended after") && *attempts >= 2, "{error}");
    setup.assert_clean();
    assert_eq!((setup.blobs(), setup.unfinished()), (0, 1));
    setup.mock.heal();
    setup.fetch().unwrap();
    assert!(ranges(&setup).last().unwrap().starts_with("bytes=6000-"), "{:?}", ranges(&setup));
    setup.assert_clean();
    assert_eq!((setup.blobs(), setup.unfinished()), (1, 0));
}

#[test]
fn a_flipped_bit_is_detected() {
    for (name, at) in [("first", 0), ("middle", 2_222_222), ("last", WEIGHTS - 1)] {
        let setup = arrives_after(&format!("hub-flipped-{name}"), Fault::Flip(at));
        assert_eq!(setup.mock.count(AT_CDN), 2);
    }
    let (setup, error) = never_arrives("hub-flipped", Fault::Flip(77));
    let HubError::Hash { at, found } = &error else { panic!("{error}") };
    assert!(at.file.hash != *found && !error.is_temporary());
    assert_eq!((setup.mock.count(AT_CDN), setup.unfinished()), (2, 0));
}

#[test]
fn a_flipped_bit_of_a_small_file_is_detected() {
    let setup = HubSetup::new("hub-flipped-small");
    setup.mock.fault("config.json", 2, Fault::Flip(3));
    let config = listed(&files("step0")[0]);
    let error = setup.hub().fetch(&repo(), &commit("step0"), &config, &|_| ()).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    assert_eq!(setup.blobs() + setup.unfinished(), 0);
    setup.hub().fetch(&repo(), &commit("step0"), &config, &|_| ()).unwrap();
    setup.assert_clean();
}

#[test]
fn a_size_that_is_not_the_listed_one_is_an_error() {
    for (name, fault, expected) in [
        ("short", Fault::ShortLength(1000), 1000),
        ("long", Fault::LongLength(5), WEIGHTS + 5),
        ("more", Fault::More(100_000), WEIGHTS + 1),
    ] {
        let (setup, error) = never_arrives(&format!("hub-size-{name}"), fault);
        let HubError::Size { found, .. } = error else { panic!("{error}") };
        assert_eq!((found, setup.unfinished()), (expected, 0), "{name}");
    }
}

#[test]
fn a_list_with_a_wrong_size_or_hash_is_detected() {
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
        let setup = HubSetup::with(&format!("hub-lying-{name}"), vec![repository]);
        let hub = setup.hub();
        let file = hub.files(&repo(), &commit("step0")).unwrap().remove(1);
        let error = hub.fetch(&repo(), &commit("step0"), &file, &|_| ()).unwrap_err();
        assert!(matches!(error, HubError::Size { .. } | HubError::Hash { .. }), "{error}");
        assert!(!error.is_temporary());
        setup.assert_clean();
        assert_eq!((setup.blobs(), setup.unfinished()), (0, 0));
    }
}

#[test]
fn a_commit_that_gives_other_content_than_it_lists_is_refused() {
    let other = MockFile { body: weights_body("step1"), ..files("step0").remove(1) };
    let swapped = MockRepo::new("org/model").branch("step0", vec![other]);
    let setup = HubSetup::with("hub-other-content", vec![swapped]);
    let error = setup.fetch().unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    setup.assert_clean();
    assert_eq!(setup.blobs(), 0);
}

#[test]
fn bad_content_that_is_there_already_is_replaced() {
    let setup = HubSetup::new("hub-damaged");
    let path = setup.fetch().unwrap();
    let blob = std::fs::canonicalize(&path).unwrap();
    // Content of the right size that is wrong, as a tool without checks leaves it; then too short, as a crash leaves
    // it.
    for damage in [vec![0; WEIGHTS as usize], vec![0; 100]] {
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, damage).unwrap();
        setup.fetch().unwrap();
        setup.assert_clean();
        assert_eq!(std::fs::read(&path).unwrap(), weights_body("step0").bytes());
    }
}
